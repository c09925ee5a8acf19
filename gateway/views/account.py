"""GET /v1/key and /v1/credits: what a key may still do, and what the wallet holds. They answer without credit too."""

from __future__ import annotations

from typing import Any

import orjson

from accounts.caller import Caller
from billing.pricing.money import NANOS_PER_USD
from gateway import admission, answers
from gateway.errors import NotAvailable
from gateway.exchange import Exchange
from gateway.request import ClientRequest
from gateway.routes import Route
from gateway.services import Services
from observability.limit_lookups import Limit, PlanNow
from observability.lookups import LookupsUnavailable

_RESETS = {"day": "daily", "week": "weekly", "month": "monthly"}


async def show_key(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers for the key that asks, in OpenRouter's shape and ours. Raises GatewayError."""
    caller = exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    try:
        key = await services.lookups.key(caller.api_key_id)
        budgets = await services.lookups.budgets(caller.api_key_id)
        plan = await services.lookups.plan(caller.organization_id)
    except LookupsUnavailable:
        raise _away() from None
    if key is None:  # deleted by hand a moment ago
        raise _away()
    own = [budget for budget in budgets if budget.scope == "key_budget"]
    tightest = min(own, key=lambda budget: budget.left_nanos, default=None)
    await _answer(
        request,
        exchange,
        {
            "label": key.label,
            "name": key.name,
            "limit": _usd(tightest.limit_nanos) if tightest else None,
            "limit_remaining": _usd(tightest.left_nanos) if tightest else None,
            "limit_reset": _RESETS.get(tightest.window_name) if tightest else None,
            "usage": _usd(key.total_nanos),
            "usage_daily": _usd(key.day_nanos),
            "usage_weekly": _usd(key.week_nanos),
            "usage_monthly": _usd(key.month_nanos),
            "rate_limit": {"requests": caller.requests_per_minute, "interval": "1m"},
            "expires_at": key.expires_at.isoformat() if key.expires_at else None,
            "allowed_models": key.allowed_models,
            # Ours, beyond OpenRouter's.
            "funding": caller.funding,
            "limits": _rates(caller),
            "budgets": [_limit(budget) for budget in budgets],
            "plan": _plan(plan),
        },
    )


async def show_credits(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers for the wallet and the plan of the key's organization, in OpenRouter's shape and ours.

    Raises GatewayError.
    """
    caller = exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    try:
        credit = await services.lookups.credits(caller.organization_id)
        plan = await services.lookups.plan(caller.organization_id)
    except LookupsUnavailable:
        raise _away() from None
    await _answer(
        request,
        exchange,
        {
            "total_credits": _usd(credit.total_nanos),
            "total_usage": _usd(credit.used_nanos),
            "balance": _usd(credit.balance_nanos),
            "posted": _usd(credit.posted_nanos),
            "reserved": _usd(credit.idle_nanos),
            "available": _usd(credit.available_nanos),
            "currency": "USD",
            "plan": _plan(plan),
        },
    )


def _rates(caller: Caller) -> dict[str, dict[str, int | None]]:
    """None: no limit of that kind."""
    return {
        "key": _rate(caller.requests_per_minute, caller.tokens_per_minute, caller.max_concurrent),
        "project": _rate(
            caller.project_requests_per_minute, caller.project_tokens_per_minute, caller.project_max_concurrent
        ),
        "organization": _rate(
            caller.organization_requests_per_minute,
            caller.organization_tokens_per_minute,
            caller.organization_max_concurrent,
        ),
    }


def _rate(requests: int | None, tokens: int | None, concurrent: int | None) -> dict[str, int | None]:
    return {"requests_per_minute": requests, "tokens_per_minute": tokens, "max_concurrent": concurrent}


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "scope": limit.scope,
        "window": limit.window_name,
        "limit": _usd(limit.limit_nanos),
        "spent": _usd(limit.spent_nanos),
        "remaining": _usd(limit.left_nanos),
        "reserved": _usd(limit.reserved_nanos),
        "resets_at": limit.resets_at.isoformat() if limit.resets_at else None,
    }


def _plan(found: tuple[PlanNow, list[Limit]] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    plan, windows = found
    return {
        "id": plan.slug,
        "name": plan.name,
        "state": plan.state,
        "overflow": plan.overflow,
        "ends_at": plan.ends_at.isoformat(),
        "windows": [_limit(window) for window in windows],
    }


async def _answer(request: ClientRequest, exchange: Exchange, data: dict[str, Any]) -> None:
    exchange.status = 200
    await request.answer(200, orjson.dumps({"data": data}), answers.headers(exchange, answers.JSON))


def _usd(nanos: int) -> float:
    return nanos / NANOS_PER_USD


def _away() -> NotAvailable:
    return NotAvailable("This can't be looked up right now.", code="temporarily_unavailable", retry_after_s=2)
