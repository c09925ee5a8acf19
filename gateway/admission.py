"""Key to caller: who sends this request, and may they send it now."""

from __future__ import annotations

from urllib.parse import parse_qs

from accounts.caller import Caller, CallerDirectory, CallersUnavailable, KeyRefused
from accounts.ip_limits import Networks, allows, client_ip
from gateway.errors import NotAllowed, NotAuthenticated, NotAvailable, TooManyRequests
from gateway.limits import RateDecision, refusal_text
from gateway.request import ClientRequest

_REFUSALS = {
    "malformed": (
        "The API key is malformed. A key begins with sk-ro- and is shown once when it is made.",
        "invalid_api_key",
    ),
    "unknown": ("The API key is not known. Check it, or make a new one in the dashboard.", "invalid_api_key"),
    "revoked": ("This API key has been revoked. Make a new one in the dashboard.", "api_key_revoked"),
    "expired": ("This API key has expired. Make a new one in the dashboard.", "api_key_expired"),
}


def presented_key(request: ClientRequest, dialect: str) -> str:
    """The key from `Authorization: Bearer`, `x-api-key` or, for Gemini's clients, `x-goog-api-key`; else ""."""
    scheme, _, value = request.header(b"authorization").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    key = request.header(b"x-api-key")
    if not key and dialect == "gemini_generate":
        key = request.header(b"x-goog-api-key")
    return key


async def authenticate(request: ClientRequest, callers: CallerDirectory, dialect: str) -> Caller:
    """Raises NotAuthenticated, NotAllowed or NotAvailable."""
    raw = presented_key(request, dialect)
    if not raw and b"key" in parse_qs(request.query):
        raise NotAuthenticated(
            "Keys in the address are not taken: addresses end up in logs. Send the header 'x-goog-api-key'"
            " or 'Authorization: Bearer'.",
            code="key_in_url",
        )
    if not raw:
        raise NotAuthenticated(
            "No API key. Send it as 'Authorization: Bearer sk-ro-…' or 'x-api-key: sk-ro-…'.", code="missing_api_key"
        )
    try:
        return await callers.find(raw)
    except KeyRefused as refused:
        if refused.reason == "suspended":
            raise NotAllowed(
                "This organization is suspended. Please contact support.", code="organization_suspended"
            ) from None
        message, code = _REFUSALS[refused.reason]
        raise NotAuthenticated(message, code=code) from None
    except CallersUnavailable:
        raise NotAvailable(
            "API keys can't be checked right now.", code="temporarily_unavailable", retry_after_s=2
        ) from None


def check_address(caller: Caller, request: ClientRequest, trusted: Networks) -> None:
    """Raises NotAllowed where the key may not be used from the client's address."""
    if caller.allowed_ips:
        address = client_ip(request.peer, request.headers, trusted)
        if not allows(caller.allowed_ips, address):
            raise NotAllowed(
                f"This API key may not be used from {address or 'this address'}. Its allowed addresses are on the key's"
                " page in the dashboard.",
                code="address_not_allowed",
            )


def check_rate(decision: RateDecision) -> None:
    """Raises TooManyRequests where the key, its project or organization has used up a limit."""
    if not decision.allowed:
        raise TooManyRequests(
            refusal_text(decision),
            retry_after_s=decision.retry_after_s,
            details={"scope": decision.scope, "what": decision.what, "limit": decision.limit},
        )
