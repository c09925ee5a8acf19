from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connections
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from routing.catalogue import CatalogueSnapshots
from routing.management.commands.load_catalogue import load
from routing.models import Deployment, Model, PriceCard, Provider


@pytest.fixture
async def pool(conninfo: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=2, open=False) as pool:
        yield pool


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


async def in_thread(work: Callable[..., Any], /, *args: Any, **named: Any) -> None:
    """Database work of Django beside the loop, on a connection of its own that does not stay open."""

    def run() -> None:
        try:
            work(*args, **named)
        finally:
            connections.close_all()

    await sync_to_async(run)()


async def load_in_thread(folder: Path) -> None:
    await in_thread(load, folder)


async def test_a_snapshot_holds_what_was_loaded(
    pool: Any, redis: Redis, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TEST_KEY", "sk-acme-0123456789")
    await load_in_thread(write())
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=settings.CREDENTIAL_KEYS)
    await snapshots.start()
    try:
        current = snapshots.current
        model = current.resolve("one-latest")
        assert model is not None and model.slug == "acme/one" and model.capabilities == {"tools": True}
        assert current.successor_of("Zero") == "acme/one"
        acme, local = sorted(model.deployments, key=lambda d: d.provider)
        assert (acme.secret, local.secret) == ("sk-acme-0123456789", None)
        assert local.base_urls == {
            "openai_chat": "http://127.0.0.1:9/v1",
            "anthropic_messages": "http://127.0.0.1:9/v1",
        }
        assert [card.min_prompt_tokens for card in local.price_cards] == [0, 200001]
        assert "sk-acme" not in repr(current)
    finally:
        await snapshots.stop()


async def test_an_announced_change_arrives(pool: Any, redis: Redis, write: Any, models: dict[str, Any]) -> None:
    await load_in_thread(write())
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=settings.CREDENTIAL_KEYS, check_every_s=3600)
    await snapshots.start()
    try:
        await _subscribed(redis)
        models["models"][0]["name"] = "Renamed"
        await load_in_thread(write())
        await until(lambda: snapshots.current.models["acme/one"].name == "Renamed")
    finally:
        await snapshots.stop()


async def _subscribed(redis: Redis) -> None:
    async with asyncio.timeout(20):
        while not dict(await redis.pubsub_numsub("r1:catalogue"))[b"r1:catalogue"]:
            await asyncio.sleep(0.01)


async def test_a_change_without_an_announcement_is_found(pool: Any, write: Any) -> None:
    await load_in_thread(write())
    nowhere = Redis(host="127.0.0.1", port=1)
    snapshots = CatalogueSnapshots(pool, nowhere, credential_keys=settings.CREDENTIAL_KEYS, check_every_s=0.02)
    await snapshots.start()
    try:
        await in_thread(Model.objects.filter(slug="acme/two").update, enabled=False)
        await until(lambda: "acme/two" not in snapshots.current.models)
        await in_thread(PriceCard.objects.filter(deployment__upstream_id="one").delete)
        await until(lambda: not _deployment(snapshots, "acme").price_cards)
    finally:
        await snapshots.stop()
        await nowhere.aclose()


def _deployment(snapshots: CatalogueSnapshots, provider: str) -> Any:
    return next(d for d in snapshots.current.models["acme/one"].deployments if d.provider == provider)


async def test_an_unchanged_catalogue_is_not_read_again(pool: Any, redis: Redis, write: Any) -> None:
    await load_in_thread(write())
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=settings.CREDENTIAL_KEYS)
    assert await snapshots.refresh()
    first = snapshots.current
    assert not await snapshots.refresh()
    assert snapshots.current is first


async def test_the_last_snapshot_stays_while_the_database_is_away(conninfo: str, redis: Redis, write: Any) -> None:
    await load_in_thread(write())
    pool = AsyncConnectionPool(conninfo, min_size=1, max_size=1, timeout=1, open=False)
    await pool.open()
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=settings.CREDENTIAL_KEYS, check_every_s=0.02)
    await snapshots.start()
    await pool.close()
    await asyncio.sleep(0.1)
    assert "acme/one" in snapshots.current.models
    await snapshots.stop()


async def test_a_credential_that_no_key_opens_counts_as_absent(
    pool: Any, redis: Redis, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TEST_KEY", "sk-acme-0123456789")
    await load_in_thread(write())
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=[Fernet.generate_key().decode()])
    await snapshots.refresh()
    assert _deployment(snapshots, "acme").secret is None


async def test_a_placeholder_without_a_value_leaves_the_address_out(
    pool: Any, redis: Redis, write: Any, providers: dict[str, Any]
) -> None:
    providers["providers"][1]["base_urls"]["openai_chat"] = "https://{region}.local.test/v1"
    await load_in_thread(write())
    snapshots = CatalogueSnapshots(pool, redis, credential_keys=settings.CREDENTIAL_KEYS)
    await snapshots.refresh()
    assert "openai_chat" not in _deployment(snapshots, "local").base_urls
    await in_thread(Provider.objects.filter(slug="local").update, url_variables={"region": "eu"})
    await snapshots.refresh()
    assert _deployment(snapshots, "local").base_urls["openai_chat"] == "https://eu.local.test/v1"
    await in_thread(Deployment.objects.filter(upstream_id="one-local").update, base_url="http://10.0.0.1/v1/")
    await snapshots.refresh()
    assert _deployment(snapshots, "local").base_urls["openai_chat"] == "http://10.0.0.1/v1"
