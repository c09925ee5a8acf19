"""GET /v1/models and /v1/models/{id}: the catalogue in OpenAI's, Anthropic's and OpenRouter's shape at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs

import orjson

from accounts.model_limits import allows
from gateway import admission, answers
from gateway.errors import NotFound
from gateway.exchange import Exchange
from gateway.request import ClientRequest
from gateway.routes import Route
from gateway.services import Services
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


async def list_models(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers the list, or one model where the route names one. Raises GatewayError.

    One body serves OpenAI's and Anthropic's clients alike: each ignores the other's fields. Without a key the whole
    catalogue is listed, since it is public; with one, what that key may use.
    """
    patterns: Sequence[str] = ()
    if admission.presented_key(request, route.dialect):
        exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
        patterns = exchange.caller.allowed_models
    catalogue = services.catalogue.current
    body: dict[str, Any] | None
    if route.model is None:
        models = [model for model in catalogue.models.values() if allows(patterns, model.slug)]
        body = _page([entry for model in models if (entry := describe(catalogue, model, exchange.at))], request.query)
    else:
        found = catalogue.resolve(route.model)
        body = describe(catalogue, found, exchange.at) if found and allows(patterns, found.slug) else None
        if body is None:
            raise NotFound(
                f"The model '{route.model[:160]}' does not exist, no provider serves it now, or this key may not"
                " use it.",
                param="model",
            )
    exchange.status = 200
    await request.answer(200, orjson.dumps(body), answers.headers(exchange, answers.JSON))


def _page(entries: list[dict[str, Any]], query: bytes) -> dict[str, Any]:
    """The list, cut by Anthropic's `limit` and `after_id` where they are sent; OpenAI's clients send neither."""
    asked = {name.decode("latin-1"): values[-1].decode("latin-1") for name, values in parse_qs(query).items()}
    total = len(entries)
    after = asked.get("after_id")
    place = next((index for index, entry in enumerate(entries) if entry["id"] == after), -1)
    entries = entries[place + 1 :]
    limit = asked.get("limit", "")
    shown = entries[: int(limit)] if limit.isascii() and limit.isdigit() and int(limit[:6]) > 0 else entries
    return {
        "object": "list",
        "data": shown,
        "has_more": len(shown) < len(entries),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "total_count": total,
    }


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
    factor = catalogue.markup(first, at) / catalogue.units_per_usd(first.currency, at)
    pricing = {
        public: f"{(card.rates[bucket] * factor / _MILLION).normalize():f}"
        for public, bucket in _PRICES.items()
        if card is not None and bucket in card.rates
    }
    return {
        "id": model.slug,
        "canonical_slug": model.slug,
        "object": "model",
        "type": "model",
        "created": int(created.timestamp()),
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "owned_by": model.author,
        "name": model.name,
        "display_name": model.name,
        "description": model.description,
        "context_length": model.context_length,
        "max_input_tokens": model.context_length,
        "max_tokens": first.max_output_tokens or model.max_output_tokens,
        "lifecycle": model.status,
        "architecture": {
            "modality": f"{'+'.join(model.input_modalities)}->{'+'.join(model.output_modalities)}",
            "input_modalities": list(model.input_modalities),
            "output_modalities": list(model.output_modalities),
        },
        "pricing": pricing,
        "top_provider": {
            "context_length": first.context_length,
            "max_completion_tokens": first.max_output_tokens or model.max_output_tokens,
        },
        "supported_parameters": _parameters(model),
        "expiration_date": first.retires_on.isoformat() if first.retires_on else None,
    }


_ALWAYS = ("max_tokens", "stop", "stream")
_SAMPLING = ("temperature", "top_p", "seed", "frequency_penalty", "presence_penalty")
# capability of the catalogue -> request parameters, in OpenRouter's names
_BY_CAPABILITY = {
    "sampling_params": _SAMPLING,
    "tools": ("tools", "tool_choice"),
    "parallel_tools": ("parallel_tool_calls",),
    "structured_output": ("response_format", "structured_outputs"),
    "reasoning": ("reasoning", "include_reasoning"),
}


def _parameters(model: ModelInfo) -> list[str]:
    if "text" not in model.output_modalities:
        return ["dimensions", "encoding_format"]
    more = [
        name for capability, names in _BY_CAPABILITY.items() if model.capabilities.get(capability) for name in names
    ]
    return sorted([*_ALWAYS, *more])
