"""Embedding models of the built-in catalogue: where they go and what they cost."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connections
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from billing.pricing.price import price
from billing.pricing.rates import choose_card
from billing.pricing.usage import TokenUsage
from gateway.upstream.address import dialect_for, url_of
from gateway.views.list_models import describe
from routing.catalogue import Catalogue, CatalogueSnapshots
from routing.management.commands.load_catalogue import load
from routing.planner import plan

CATALOGUE = Path(__file__).resolve().parents[2] / "routing/data/catalogue"
DIALECT = "openai_embeddings"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def _load() -> None:
    try:
        load(CATALOGUE)
    finally:
        connections.close_all()


async def _builtin(conninfo: str) -> Catalogue:
    await sync_to_async(_load)()
    async with AsyncConnectionPool[Any](conninfo, min_size=1, max_size=2, open=False) as pool:
        snapshots = CatalogueSnapshots(pool, Redis(host="127.0.0.1", port=1), credential_keys=settings.CREDENTIAL_KEYS)
        await snapshots.refresh()
        return snapshots.current


@pytest.mark.parametrize(
    ("key", "name", "slug", "url", "nanos"),
    [
        ("OPENAI_API_KEY", "text-embedding-3-small", "openai/text-embedding-3-small",
         "https://api.openai.com/v1/embeddings", 20_000_000),
        ("GEMINI_API_KEY", "gemini-embedding-001", "google/gemini-embedding-001",
         "https://generativelanguage.googleapis.com/v1beta/openai/embeddings", 150_000_000),
        ("MISTRAL_API_KEY", "mistral-embed", "mistralai/mistral-embed",
         "https://api.mistral.ai/v1/embeddings", 100_000_000),
    ],
)  # fmt: skip
async def test_an_embedding_model_goes_to_its_provider_and_costs_its_input_only(
    key: str, name: str, slug: str, url: str, nanos: int, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(key, "sk-embed-0123456789")
    catalogue = await _builtin(conninfo)
    found = plan(catalogue, name, at=NOW)
    assert found.model.slug == slug and found.model.output_modalities == ("embedding",)
    (step,) = found.steps
    assert dialect_for(step.deployment, DIALECT, frozenset({DIALECT, "openai_chat"})) == DIALECT
    assert dialect_for(step.deployment, "openai_chat", frozenset({DIALECT, "openai_chat"})) is None
    assert url_of(step.deployment, DIALECT, "/embeddings") == url
    card = choose_card(step.deployment.price_cards, at=NOW, tier="standard", prompt_size=0)
    assert card is not None
    usage = TokenUsage(input=1_000_000, output=1_000_000)  # no host reports output; if one did, it would be free
    assert price(usage, card, units_per_usd=Decimal(1), markup=Decimal(1)).total_nanos == nanos
    listed = describe(catalogue, found.model, NOW)
    assert listed is not None and listed["architecture"]["modality"] == "text->embedding"
    assert Decimal(listed["pricing"]["prompt"]) * 10**15 == nanos and Decimal(listed["pricing"]["completion"]) == 0
