"""GET /v1/generation?id=gen-…: one settled request in OpenRouter's shape, and its receipt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson

from billing.pricing.money import NANOS_PER_USD
from billing.receipts.document import public_id, receipt_document, request_id_in
from gateway import admission, answers
from gateway.errors import BadRequest, NotAvailable, NotFound
from gateway.exchange import Exchange
from gateway.request import ClientRequest
from gateway.routes import Route
from gateway.services import Services
from observability.lookups import Generation, LookupsUnavailable

_SETTLING_S = 600.0  # for so long after the longest request its charge may wait in the journal, in bad times
# Fields of OpenRouter's that nothing is kept for.
_NOT_KEPT = (
    "upstream_id",
    "cache_discount",
    "upstream_inference_cost",
    "moderation_latency",
    "native_finish_reason",
    "num_media_prompt",
    "num_media_completion",
    "router",
    "preset_id",
    "service_tier",
    "session_id",
    "user",
)


async def generation(request: ClientRequest, services: Services, exchange: Exchange, route: Route) -> None:
    """Answers one request of the caller's organization. Raises GatewayError."""
    exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    asked = parse_qs(request.query).get(b"id", [b""])[-1].decode("latin-1")
    if not asked:
        raise BadRequest("Name the request: /v1/generation?id=gen-…", code="missing_required_parameter", param="id")
    request_id = request_id_in(asked)
    if request_id is None:
        raise _unknown()
    try:
        found = await _settled(services, exchange, exchange.caller.organization_id, request_id)
    except LookupsUnavailable:
        raise NotAvailable(
            "Requests can't be looked up right now.", code="temporarily_unavailable", retry_after_s=2
        ) from None
    body = {"data": _describe(request_id, found, services.config.public_url)}
    exchange.status = 200
    await request.answer(200, orjson.dumps(body), answers.headers(exchange, answers.JSON))


async def _settled(services: Services, exchange: Exchange, organization_id: int, request_id: UUID) -> Generation:
    found = await services.lookups.generation(organization_id, request_id)
    if found is not None:
        return found
    longest_s = services.config.max_request_s + _SETTLING_S
    if await services.lookups.is_pending(request_id, exchange.at, longest_s):
        raise NotFound(
            "This request is still running or not settled yet. Ask again in a second.",
            code="generation_pending",
            param="id",
            retry_after_s=1,
        )
    raise _unknown()


def _unknown() -> NotFound:
    return NotFound("Your organization has no request with this id.", code="generation_not_found", param="id")


def _describe(request_id: UUID, found: Generation, issuer: str) -> dict[str, Any]:
    log = found.log or {}
    last: Mapping[str, Any] = found.records[-1] if found.records else {}
    receipt = receipt_document(request_id, found.records, found.attempts, issuer=issuer) if found.records else None
    charge_nanos = receipt["charge_nanos"] if receipt else 0
    prompt, written = log.get("input_tokens"), log.get("output_tokens")
    at = log.get("created_at") or last["occurred_at"]
    return {
        "id": public_id(request_id),
        "created_at": at.isoformat(),
        "model": log.get("model") or last.get("model"),
        "provider_name": log.get("provider") or last.get("provider"),
        "total_cost": charge_nanos / NANOS_PER_USD,
        "usage": charge_nanos / NANOS_PER_USD,
        "is_byok": False,
        "streamed": log.get("stream"),
        "cancelled": log.get("outcome") == "client_left" if log else None,
        "finish_reason": log.get("finish_reason") or None,
        "latency": log.get("duration_ms"),
        "generation_time": found.attempts[-1]["duration_ms"] if found.attempts else None,
        "tokens_prompt": prompt,
        "tokens_completion": written,
        "native_tokens_prompt": prompt,
        "native_tokens_completion": written,
        "native_tokens_reasoning": log.get("reasoning_tokens"),
        "native_tokens_cached": log.get("cache_read_tokens"),
        "num_search_results": sum(record["usage"].get("web_search", 0) for record in found.records),
        "provider_responses": _provider_responses(found.attempts),
        **dict.fromkeys(_NOT_KEPT),
        # Ours, beyond OpenRouter's.
        "outcome": log.get("outcome"),
        "status": log.get("status"),
        "error_code": log.get("error_code") or None,
        "endpoint": log.get("endpoint"),
        "model_requested": log.get("model_requested"),
        "first_token_ms": log.get("first_token_ms"),
        "receipt": receipt,
    }


def _provider_responses(attempts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "provider_name": attempt["provider"],
            "status": attempt["status"],
            "latency": attempt["duration_ms"],
            "is_byok": False,
            "error": attempt["error_class"] or None,
        }
        for attempt in attempts
    ]
