"""The canonical error, as we say it to a caller and as we hear it from a provider."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

ProblemKind = Literal[
    "invalid_request",
    "authentication",
    "payment_required",
    "permission",
    "not_found",
    "too_large",
    "rate_limited",
    "timeout",
    "upstream",
    "overloaded",
    "server",
]

FailureKind = Literal[
    "bad_request",
    "context_length",
    "content_policy",
    "credential",
    "credit",
    "not_found",
    "rate_limited",
    "overloaded",
    "server_error",
    "malformed",
    "oversized",
    "cut",
]

STATUS_OF: Mapping[ProblemKind, int] = MappingProxyType(
    {
        "invalid_request": 400,
        "authentication": 401,
        "payment_required": 402,
        "permission": 403,
        "not_found": 404,
        "too_large": 413,
        "rate_limited": 429,
        "timeout": 504,
        "upstream": 502,
        "overloaded": 503,
        "server": 500,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """An error for a caller. ``details`` may hold scope, resets_at, top_up_url; ``status`` 0 means the kind's own."""

    kind: ProblemKind
    message: str
    code: str | None = None
    param: str | None = None
    status: int = 0
    retry_after_s: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.status:
            object.__setattr__(self, "status", STATUS_OF[self.kind])


class ProtocolError(Exception):
    """Something on the wire could not be understood; ``problem`` says what, in words for the caller."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.kind, problem.code, problem.param)
        self.problem = problem


def invalid(message: str, param: str | None = None, code: str | None = None) -> ProtocolError:
    return ProtocolError(Problem(kind="invalid_request", message=message, param=param, code=code))


# Providers quote pieces of our key, organization and user ids in their messages.
_SECRET = re.compile(
    r"\b(?:sk|pk|xai|gsk|key|org|proj|user|team|rk|AIza)[-_][\w*.\-]{6,}|AIza[\w\-]{10,}|[\w*]*\*{3,}[\w*]*"
    r"|https?://\S+",
    re.IGNORECASE,
)
_LONGEST_MESSAGE = 2000

_OURS: Mapping[FailureKind, tuple[ProblemKind, str, str]] = MappingProxyType(
    {
        "credential": ("upstream", "upstream_error", "The provider refused the request."),
        "credit": ("upstream", "upstream_error", "The provider refused the request."),
        "not_found": ("upstream", "upstream_error", "The provider does not serve this model."),
        "rate_limited": ("overloaded", "provider_overloaded", "The provider is busy. Try again shortly."),
        "overloaded": ("overloaded", "provider_overloaded", "The provider is overloaded. Try again shortly."),
        "server_error": ("upstream", "upstream_error", "The provider failed to answer."),
        "malformed": ("upstream", "upstream_error", "The provider's answer could not be read."),
        "oversized": ("upstream", "upstream_error", "The provider's answer could not be read."),
        "cut": ("upstream", "upstream_error", "The provider broke off its answer."),
    }
)
_CALLERS: Mapping[FailureKind, str] = MappingProxyType(
    {
        "bad_request": "invalid_value",
        "context_length": "context_length_exceeded",
        "content_policy": "content_policy_violation",
    }
)


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """A provider's refusal.

    ``status`` is the provider's own (200 for an error inside a stream), ``code`` a known word or "". ``message`` may
    quote the prompt: it may be shown to the caller by ``as_problem`` and must never be stored or logged.
    """

    status: int
    kind: FailureKind
    code: str = ""
    message: str = field(default="", repr=False)
    retry_after_s: int | None = None

    def as_problem(self) -> Problem:
        """What the caller hears: its own mistakes in the provider's words, the provider's troubles in ours."""
        if self.kind in _CALLERS:
            message = scrub(self.message) or "The provider refused the request as invalid."
            return Problem(kind="invalid_request", message=message, code=_CALLERS[self.kind])
        kind, code, message = _OURS[self.kind]
        return Problem(kind=kind, message=message, code=code, retry_after_s=self.retry_after_s)


def scrub(message: str) -> str:
    """The message without keys, account ids and addresses, at most 2,000 characters."""
    return _SECRET.sub("[…]", message[:_LONGEST_MESSAGE]).strip()
