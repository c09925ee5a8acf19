"""The limits while Redis is away: each process counts by itself and allows its share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

SCOPES_MAX = 100_000  # beyond, counting begins anew


class LimitedScope(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def requests(self) -> int | None: ...
    @property
    def tokens(self) -> int | None: ...
    @property
    def concurrent(self) -> int | None: ...


class LocalLimits:
    def __init__(self, processes: int) -> None:
        self._processes = max(1, processes)
        # Per scope: minute, requests and tokens in it, requests and tokens in the one before.
        self._counted: dict[str, list[int]] = {}
        self._busy: dict[str, int] = {}  # always up to date: Redis may go away at any time

    def admit(self, limits: Sequence[LimitedScope], tokens: int, now: float) -> list[Any]:
        """The same answer as the script's."""
        minute = int(now // 60)
        passed = now / 60 - minute
        rated = [limit for limit in limits if limit.requests is not None or limit.tokens is not None]
        tight: dict[str, tuple[int, int]] = {"requests": (0, 0), "tokens": (0, 0)}
        refusal: list[Any] = []
        for place, limit in enumerate(rated, 1):
            _, requests, used, last_requests, last_used = self._now(limit.name, minute)
            for what, most, cost, current, last in (
                ("requests", limit.requests, 1, requests, last_requests),
                ("tokens", limit.tokens, tokens, used, last_used),
            ):
                if most is None:
                    continue
                # A request above the share goes alone, so that Redis's absence does not shut it out.
                share = max(self._share(most), min(cost, most))
                room = math.floor(share - current - last * (1 - passed))
                if room < cost and not refusal:
                    refusal = [what.encode(), place, -1 if cost > most else 60_000 * (1 - passed)]
                if not tight[what][0] or room < tight[what][1]:
                    tight[what] = (place, room)
        refusal = refusal or self._too_busy(limits)
        costs = (0, 0) if refusal else (1, tokens)
        head = [0 if refusal else 1, minute, 60_000 * (1 - passed)]
        for (place, room), cost in zip(tight.values(), costs, strict=True):
            head += [place, max(0, room - cost)]
        if not refusal:
            for limit in rated:
                counted = self._now(limit.name, minute)
                counted[1] += 1
                counted[2] += tokens if limit.tokens is not None else 0
                self._counted[limit.name] = counted
        return head + refusal

    def enter(self, limits: Sequence[LimitedScope]) -> None:
        for limit in limits:
            if limit.concurrent is not None:
                self._busy[limit.name] = self._busy.get(limit.name, 0) + 1

    def leave(self, limits: Sequence[LimitedScope]) -> None:
        for limit in limits:
            if limit.concurrent is not None:
                left = self._busy.get(limit.name, 0) - 1
                if left > 0:
                    self._busy[limit.name] = left
                else:
                    self._busy.pop(limit.name, None)

    def correct(self, limits: Sequence[LimitedScope], excess: int, now: float) -> None:
        minute = int(now // 60)
        for limit in limits:
            if limit.tokens is not None and limit.name in self._counted:
                counted = self._now(limit.name, minute)
                counted[2] = max(0, counted[2] + excess)
                self._counted[limit.name] = counted

    def _too_busy(self, limits: Sequence[LimitedScope]) -> list[Any]:
        busy = [limit for limit in limits if limit.concurrent is not None]
        for place, limit in enumerate(busy, 1):
            if self._busy.get(limit.name, 0) >= self._share(limit.concurrent or 0):
                return [b"concurrency", place, 0]
        return []

    def _share(self, limit: int) -> int:
        return max(1, limit // self._processes)

    def _now(self, name: str, minute: int) -> list[int]:
        if len(self._counted) > SCOPES_MAX:
            self._counted.clear()
        at, requests, tokens, last_requests, last_tokens = self._counted.get(name, (minute, 0, 0, 0, 0))
        if at == minute:
            return [minute, requests, tokens, last_requests, last_tokens]
        return [minute, 0, 0, requests, tokens] if at == minute - 1 else [minute, 0, 0, 0, 0]
