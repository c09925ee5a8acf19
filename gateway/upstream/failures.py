"""What an upstream failure means: for the next attempt, for the caller, for the log."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.errors import BadRequest, GatewayError, NotAvailable, TookTooLong, TooManyRequests, UpstreamTrouble
from gateway.protocol.problem import UpstreamFailure, scrub
from gateway.upstream.client import TransportFailure

# The request itself is at fault: another provider would say the same, and the caller has to mend it.
_CALLERS_OWN = frozenset({"bad_request", "context_length", "content_policy"})


@dataclass(frozen=True, slots=True)
class AttemptFailure(Exception):
    """One attempt that brought nothing. `message` is the provider's text: for the caller's eyes only, never kept."""

    error_class: str
    status: int | None = None
    error_code: str = ""
    message: str = ""
    retry_after_s: int | None = None

    @property
    def is_callers_own(self) -> bool:
        return self.error_class in _CALLERS_OWN


def from_transport(failure: TransportFailure) -> AttemptFailure:
    return AttemptFailure(failure.failure)


def from_upstream(failure: UpstreamFailure) -> AttemptFailure:
    return AttemptFailure(
        error_class=failure.kind,
        status=failure.status,
        error_code=failure.code,
        message=scrub(failure.message),
        retry_after_s=failure.retry_after_s,
    )


def to_caller(failure: AttemptFailure, attempts: int) -> GatewayError:
    """The last failure, as the caller hears it. Trouble with our own credential is never the caller's 401 or 402."""
    tried = "" if attempts == 1 else f" ({attempts} providers tried)"
    if failure.is_callers_own:
        code = {"context_length": "context_length_exceeded", "content_policy": "content_policy_violation"}.get(
            failure.error_class, failure.error_code or "invalid_request"
        )
        return BadRequest(failure.message or "The provider refused the request as invalid.", code=code)
    if failure.error_class == "rate_limited":
        return TooManyRequests(
            f"The provider is limiting requests to this model right now{tried}. You were not charged.",
            code="upstream_rate_limited",
            retry_after_s=failure.retry_after_s or 1,
            details={"scope": "upstream"},
        )
    if failure.error_class in ("overloaded", "credential", "credit", "not_found"):
        return NotAvailable(
            f"No provider can serve this model right now{tried}. You were not charged.",
            code="provider_unavailable",
            retry_after_s=failure.retry_after_s or 5,
        )
    if failure.error_class in ("first_byte_timeout", "connect_timeout", "deadline", "stalled"):
        return TookTooLong(
            f"The provider did not answer in time{tried}. You were not charged.", code="upstream_timeout"
        )
    return UpstreamTrouble(f"The provider failed to answer{tried}. You were not charged.")
