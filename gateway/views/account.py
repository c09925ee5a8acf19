"""GET /v1/key and /v1/credits: what a key may still do, and what the wallet holds. They answer without credit too."""

from __future__ import annotations

from typing import Any

import orjson

from billing.pricing.money import NANOS_PER_USD
from gateway import admission, answers
from gateway.errors import NotAvailable
from gateway.exchange import Exchange
from gateway.request import ClientRequest
from gateway.routes import Route
from gateway.services import Services
from observability.lookups import LookupsUnavailable


async def show_key(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers for the key that asks, in OpenRouter's shape. Raises GatewayError."""
    exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    try:
        key = await services.lookups.key(exchange.caller.api_key_id)
    except LookupsUnavailable:
        raise _away() from None
    if key is None:  # deleted by hand a moment ago
        raise _away()
    await _answer(
        request,
        exchange,
        {
            "label": key.label,
            "name": key.name,
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "usage": _usd(key.total_nanos),
            "usage_daily": _usd(key.day_nanos),
            "usage_weekly": _usd(key.week_nanos),
            "usage_monthly": _usd(key.month_nanos),
            "rate_limit": {"requests": exchange.caller.requests_per_minute, "interval": "1m"},
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "allowed_models": key.allowed_models,
        },
    )


async def show_credits(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers for the wallet of the key's organization, in OpenRouter's shape and ours. Raises GatewayError."""
    exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    try:
        credit = await services.lookups.credits(exchange.caller.organization_id)
    except LookupsUnavailable:
        raise _away() from None
    await _answer(
        request,
        exchange,
        {
            "total_credits": _usd(credit.total_nanos),
            "total_usage": _usd(credit.used_nanos),
            "posted": _usd(credit.posted_nanos),
            "reserved": _usd(credit.reserved_nanos),
            "available": _usd(credit.available_nanos),
            "currency": "USD",
        },
    )


async def _answer(request: ClientRequest, exchange: Exchange, data: dict[str, Any]) -> None:
    exchange.status = 200
    await request.answer(200, orjson.dumps({"data": data}), answers.headers(exchange, answers.JSON))


def _usd(nanos: int) -> float:
    return nanos / NANOS_PER_USD


def _away() -> NotAvailable:
    return NotAvailable("This can't be looked up right now.", code="temporarily_unavailable", retry_after_s=2)
