"""What the limits say about one request: a value, its headers in two vendors' names, and its words."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Scope = Literal["", "key", "project", "organization"]
What = Literal["", "requests", "tokens", "concurrency"]
Header = tuple[bytes, bytes]


@dataclass(slots=True)
class RateDecision:
    """Whether a request may go on.

    The `…_requests` and `…_tokens` figures are of the scope with the least room; a limit of None: there is none.
    `reset_s`: when nothing of now counts any more. A refusal says whose limit (`scope`) of `what` it met, `limit`, how
    many it `asked` for where those are tokens, and `retry_after_s`: whole seconds, at least 1. `never`: the request
    alone is above the limit, so repeating it is in vain.
    """

    allowed: bool
    reset_s: float = 0.0
    limit_requests: int | None = None
    remaining_requests: int = 0
    limit_tokens: int | None = None
    remaining_tokens: int = 0
    scope: Scope = ""
    what: What = ""
    limit: int = 0
    asked: int = 0
    retry_after_s: int | None = None
    never: bool = False

    @property
    def remaining(self) -> int:
        """Of what the refusal is about; of requests where there is none."""
        if self.what == "concurrency":
            return 0
        return self.remaining_tokens if self.what == "tokens" else self.remaining_requests

    def refused(self, scope: Scope, what: What, limit: int, wait_s: float, *, asked: int = 0) -> RateDecision:
        """A negative `wait_s` means never."""
        return replace(
            self,
            allowed=False,
            scope=scope,
            what=what,
            limit=limit,
            asked=asked,
            never=wait_s < 0,
            retry_after_s=60 if wait_s < 0 else max(1, math.ceil(wait_s)),
        )

    def headers(self, *, anthropic: bool = False) -> list[Header]:
        """In OpenAI's names, or Anthropic's; on a refusal with `retry-after`."""
        found: list[Header] = []
        if anthropic:
            at = _moment(int(time.time() + self.reset_s) + 1)
            if self.limit_requests is not None:
                found += (
                    (b"anthropic-ratelimit-requests-limit", b"%d" % self.limit_requests),
                    (b"anthropic-ratelimit-requests-remaining", b"%d" % self.remaining_requests),
                    (b"anthropic-ratelimit-requests-reset", at),
                )
            if self.limit_tokens is not None:
                found += (
                    (b"anthropic-ratelimit-tokens-limit", b"%d" % self.limit_tokens),
                    (b"anthropic-ratelimit-tokens-remaining", b"%d" % self.remaining_tokens),
                    (b"anthropic-ratelimit-tokens-reset", at),
                )
        else:
            after = _duration(math.ceil(self.reset_s))
            if self.limit_requests is not None:
                found += (
                    (b"x-ratelimit-limit-requests", b"%d" % self.limit_requests),
                    (b"x-ratelimit-remaining-requests", b"%d" % self.remaining_requests),
                    (b"x-ratelimit-reset-requests", after),
                )
            if self.limit_tokens is not None:
                found += (
                    (b"x-ratelimit-limit-tokens", b"%d" % self.limit_tokens),
                    (b"x-ratelimit-remaining-tokens", b"%d" % self.remaining_tokens),
                    (b"x-ratelimit-reset-tokens", after),
                )
        if self.retry_after_s is not None:
            found.append((b"retry-after", b"%d" % self.retry_after_s))
        if self.never:
            found.append((b"x-should-retry", b"false"))
        return found


UNLIMITED = RateDecision(True)


@lru_cache(maxsize=512)
def _moment(at_s: int) -> bytes:
    """RFC 3339, of whole seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)).encode()


@lru_cache(maxsize=512)
def _duration(seconds: int) -> bytes:
    """As OpenAI writes it: `42s`, `1m7s`."""
    return b"%ds" % seconds if seconds < 60 else b"%dm%ds" % divmod(seconds, 60)


_WHOSE = {"key": "This API key", "project": "This project", "organization": "This organization"}
_WHERE = {
    "key": "the key's page in the dashboard",
    "project": "the project's settings in the dashboard",
    "organization": "support, who set it",
}


def refusal_text(decision: RateDecision) -> str:
    """For the client: whose limit, how much, and what would help."""
    whose, where = _WHOSE[decision.scope], _WHERE[decision.scope]
    raise_it = f"the limit can be raised by {where}" if decision.scope == "organization" else f"raise it on {where}"
    if decision.what == "requests":
        return (
            f"{whose} may send {decision.limit:,} requests a minute. Try again in {decision.retry_after_s} s,"
            f" or {raise_it}."
        )
    if decision.what == "concurrency":
        return (
            f"{whose} may have {decision.limit:,} requests running at the same time. Wait until one has ended,"
            f" or {raise_it}."
        )
    if decision.never:
        return (
            f"{whose} may use {decision.limit:,} tokens a minute, and this request alone is estimated at"
            f" {decision.asked:,}. Send a shorter prompt or a lower output limit, or {raise_it}."
        )
    return (
        f"{whose} may use {decision.limit:,} tokens a minute; this request is estimated at {decision.asked:,}."
        f" Try again in {decision.retry_after_s} s, or {raise_it}."
    )
