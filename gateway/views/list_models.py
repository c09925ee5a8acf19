"""GET /v1/models and /v1/models/{id}: the catalogue in OpenAI's shape, with the fields that OpenRouter added."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from gateway import admission, answers
from gateway.errors import NotFound
from gateway.exchange import Exchange
from gateway.request import ClientRequest
from gateway.serve import Services
from routing import planner
from routing.catalogue import Catalogue, ModelInfo
from routing.policy.candidate import card_in_force

_MILLION = Decimal(1_000_000)
_PRICES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write",
}


async def list_models(request: ClientRequest, services: Services, exchange: Exchange, name: str | None) -> None:
    """Answers the list, or one model where `name` is given. Raises GatewayError."""
    exchange.caller = await admission.authenticate(request, services.callers)
    catalogue = services.catalogue.current
    if name is None:
        entries = [entry for model in catalogue.models.values() if (entry := describe(catalogue, model, exchange.at))]
        body: dict[str, Any] = {
            "object": "list",
            "data": entries,
            "has_more": False,
            "first_id": entries[0]["id"] if entries else None,
            "last_id": entries[-1]["id"] if entries else None,
        }
    else:
        found = catalogue.resolve(name)
        entry = describe(catalogue, found, exchange.at) if found else None
        if entry is None:
            raise NotFound(f"The model '{name[:160]}' does not exist or no provider serves it now.", param="model")
        body = entry
    exchange.status = 200
    await request.answer(200, orjson.dumps(body), answers.headers(exchange, "application/json"))


def describe(catalogue: Catalogue, model: ModelInfo, at: datetime) -> dict[str, Any] | None:
    """One entry, or None for a model that nobody can call now. Prices are decimal strings, USD per single token."""
    try:
        first = planner.plan(catalogue, model.slug, at=at).steps[0].deployment
    except (planner.NoDeployment, planner.UnknownModel, IndexError):
        return None
    created = (
        datetime.combine(model.released, datetime.min.time(), UTC)
        if model.released
        else datetime(2023, 1, 1, tzinfo=UTC)
    )
    card = card_in_force(first, at=at, holidays=catalogue.holidays)
    units = catalogue.units_per_usd(first.currency, at)
    pricing = {
        public: f"{(card.rates[bucket] / units / _MILLION).normalize():f}"
        for public, bucket in _PRICES.items()
        if card is not None and bucket in card.rates
    }
    return {
        "id": model.slug,
        "object": "model",
        "type": "model",
        "created": int(created.timestamp()),
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "owned_by": model.author,
        "name": model.name,
        "display_name": model.name,
        "description": model.description,
        "context_length": model.context_length,
        "architecture": {
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
        },
        "pricing": pricing,
        "top_provider": {
            "context_length": first.context_length,
            "max_completion_tokens": first.max_output_tokens or model.max_output_tokens,
        },
        "expiration_date": first.retires_on.isoformat() if first.retires_on else None,
    }
