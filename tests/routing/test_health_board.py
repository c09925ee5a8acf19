"""What the health board says of breakers and credentials, and the way of a check to the worker."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone
from redis.asyncio import Redis

from gateway.gossip import Gossip
from gateway.health import Health
from routing import probes
from routing.credentials import encrypt
from routing.live_breakers import STREAM, Listener
from routing.management.commands.load_catalogue import load
from routing.models import Check, Credential, Deployment, Provider
from routing.policy.candidate import CredentialInfo
from tests.routing.test_planner import deployment as info

pytestmark = pytest.mark.django_db
BOARD = "/admin/routing/provider/board/"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Listener:
    """One that has heard nothing yet."""
    listener = Listener()
    monkeypatch.setattr("routing.health_board.listener", listener)
    return listener


@pytest.fixture
def store() -> Iterator[redis.Redis]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(STREAM, "celery")
        yield client
        client.delete(STREAM, "celery")


@pytest.fixture
def staff(client: Client, write: Any) -> Client:
    load(write())
    Provider.objects.update(enabled=True)
    client.force_login(get_user_model().objects.create_superuser("root@example.test", "a long enough one"))
    return client


@pytest.fixture
def credential(staff: Client) -> Credential:
    return Credential.objects.create(
        provider=Provider.objects.get(slug="acme"),
        name="main",
        secret_encrypted=encrypt("sk-1", settings.CREDENTIAL_KEYS),
        last_four="6789",
    )


def say(store: redis.Redis, *changes: list[Any]) -> None:
    """As a gateway process says it."""
    news = {"health": {"d": [], "b": list(changes)}}
    store.xadd(STREAM, {"p": "another", "t": str(time.time()), "n": json.dumps(news)})


def shown(staff: Client, query: str = "") -> str:
    return staff.get(BOARD + query).content.decode()


# --- Breakers --------------------------------------------------------------------------------------------------------
def test_a_cooling_credential_is_shown_until_it_is_tried_again(
    staff: Client, credential: Credential, store: redis.Redis
) -> None:
    assert "cooling until" not in shown(staff)
    say(store, ["credential", credential.pk, time.time() + 120])
    page = shown(staff)
    assert re.search(r"main …6789 <b[^>]*>cooling until <time", page)
    say(store, ["credential", credential.pk, 0])
    assert "cooling until" not in shown(staff)


def test_its_provider_is_among_those_in_trouble(staff: Client, credential: Credential, store: redis.Redis) -> None:
    assert "Nobody is in trouble." in shown(staff, "?shown=trouble")
    say(store, ["credential", credential.pk, time.time() + 120])
    page = shown(staff, "?shown=trouble")
    assert "cooling until" in page and "None of its deployments is in trouble." in page


def test_an_open_breaker_says_when_the_deployment_is_tried_again(staff: Client, store: redis.Redis) -> None:
    last = Provider.objects.order_by("-name").first()
    assert last is not None
    say(store, ["deployment", Deployment.objects.filter(provider=last)[0].pk, time.time() + 60])
    page = shown(staff)
    assert "breaker open" in page and "tried again at <time" in page
    headings = re.findall(r'<h2><a href="/admin/routing/provider/(\d+)/', page)
    assert headings[0] == str(last.pk)  # who is in trouble stands first


def test_what_a_gateway_tells_is_what_is_read(redis_url: str, fresh: Listener) -> None:
    async def tell() -> None:
        async with Redis.from_url(redis_url) as client:
            health = Health(client)
            health.failed(info(4), CredentialInfo(31, "x", 1), "rate_limited", retry_after_s=90)
            await Gossip(client, [health]).tell()

    asyncio.run(tell())
    found = fresh.open_until()
    assert list(found) == [("credential", 31)]
    assert timedelta(seconds=60) < found["credential", 31] - timezone.now() < timedelta(seconds=91)


def test_only_what_is_new_is_read_and_what_is_over_is_forgotten(
    store: redis.Redis, fresh: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(store, ["credential", 1, time.time() + 30])
    assert set(fresh.open_until()) == {("credential", 1)}
    store.xtrim(STREAM, maxlen=0, approximate=False)  # what was said before is not needed again
    say(store, ["credential", 2, time.time() + 300], ["credential", 3, time.time() + 90_000])
    assert set(fresh.open_until()) == {("credential", 1), ("credential", 2), ("credential", 3)}
    now = time.time()
    monkeypatch.setattr("routing.live_breakers.time.time", lambda: now + 60)
    assert set(fresh.open_until()) == {("credential", 2), ("credential", 3)}
    monkeypatch.setattr("routing.live_breakers.time.time", lambda: now + 700)
    assert fresh.open_until() == {}  # nobody is left alone for longer than the gateway would


def test_nonsense_and_a_lost_redis_are_no_error(
    store: redis.Redis, fresh: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("no json", "[]", '{"health": {"b": [[1]]}}', '{"health": 5}', '{"affinity": [1]}'):
        store.xadd(STREAM, {"p": "x", "t": "1", "n": text})
    store.xadd(STREAM, {"p": "x"})
    say(store, ["credential", 1, time.time() + 30])
    assert set(fresh.open_until()) == {("credential", 1)}
    monkeypatch.setattr("routing.live_breakers.redis_client", lambda: redis.Redis(port=1))
    assert set(fresh.open_until()) == {("credential", 1)}


# --- Checks ----------------------------------------------------------------------------------------------------------
def test_a_check_reaches_the_queue_of_the_worker(staff: Client, store: redis.Redis) -> None:
    """Also from a process that serves pages and knows no worker's application."""
    probes.send_check(5)
    message = json.loads(store.lindex("celery", 0))  # type: ignore[arg-type]
    assert message["headers"]["task"] == probes.TASK and message["headers"]["argsrepr"] == "[5]"


def test_a_check_that_the_worker_did_not_make_does_not_wait_for_ever(staff: Client) -> None:
    check = Check.objects.create(deployment=Deployment.objects.all()[0], kind=Check.Kind.TEST)
    assert "waiting for the worker" in shown(staff)
    Check.objects.filter(pk=check.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    page = shown(staff)
    assert "the worker did not make it" in page and "waiting for the worker" not in page


def test_the_result_of_a_check_is_in_words(staff: Client) -> None:
    values = {"deployment": Deployment.objects.all()[0], "kind": Check.Kind.TEST, "ended_at": timezone.now()}
    check = Check.objects.create(**values, error_class="server_error", status=503)
    assert "an error of the provider 503" in shown(staff)
    Check.objects.filter(pk=check.pk).update(error_class="cut", status=200)
    page = shown(staff)
    assert "the connection broke" in page and "broke 200" not in page  # the status was not what was wrong


def test_every_form_can_be_left(staff: Client, credential: Credential) -> None:
    deployment = Deployment.objects.all()[0]
    for url, back in (
        (f"{BOARD}deployment/{deployment.pk}/out/", BOARD),
        (
            f"/admin/routing/provider/{credential.provider_id}/rotate/",
            f"/admin/routing/provider/{credential.provider_id}/change/",
        ),
        ("/admin/routing/catalogueupload/add/", "/admin/routing/catalogueupload/"),
    ):
        assert re.search(rf'href="{back}">Cancel<', staff.get(url).content.decode()), url
