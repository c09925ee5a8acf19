"""Requests a minute, taken some at a time: one question to Redis for a moment's requests of a busy key.

Only where requests a minute are all that is limited. What is taken counts in Redis at once, so that no limit is ever
passed; it is never more than a hundredth of what is left, and what is not used within a second goes back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Protocol

from gateway.limit_decision import RateDecision
from gateway.limit_scripts import GIVE, TAKE
from gateway.redis_link import RedisAway, RedisLink, RedisRefused

LEASE_S = 1.0
_AHEAD_S = 0.25  # how long what is taken should last at the pace of now
_LEAST_S = 0.02  # two requests one behind the other are no pace yet
_DRY_S = 0.5
_MOST = 1_000
_MOST_LEASES = 50_000


class LimitedScope(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def requests(self) -> int | None: ...


class Lease:
    """What one key may still send without asking. All zeros before it has asked."""

    __slots__ = ("asking", "began", "dry_until", "keys", "left", "limit", "minute", "reset_s", "room", "taken", "until")

    def __init__(self) -> None:
        self.asking = False
        self.began = 0.0  # time.monotonic() of the last question
        self.until = 0.0
        self.dry_until = 0.0  # the limit was met
        self.taken = 0
        self.left = 0
        self.keys: list[str] = []
        self.minute = 0
        self.limit = 0  # of the scope with the least room
        self.room = 0  # left in that scope besides this lease
        self.reset_s = 0.0

    def wish(self, now: float) -> int:
        """How many to ask for: as many as come in a quarter of a second, by what came since the last question."""
        passed = now - self.began
        if passed > LEASE_S:
            return 1
        return max(1, min(_MOST, int((self.taken - self.left) * _AHEAD_S / max(passed, _LEAST_S))))

    def decision(self) -> RateDecision:
        return RateDecision(True, self.reset_s, self.limit, self.room + self.left)


class Leases:
    """By API key. One per process, a part of its `Limiter`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._leases: dict[int, Lease] = {}

    def take(self, api_key_id: int) -> RateDecision | None:
        """One request of what was taken ahead; None: ask."""
        lease = self._leases.get(api_key_id)
        if lease is None or not lease.left or time.monotonic() >= lease.until:
            return None
        lease.left -= 1
        return lease.decision()

    async def ask(self, api_key_id: int, limits: Sequence[LimitedScope]) -> RateDecision | None:
        """One request and some ahead. None: no room, no Redis, or somebody is asking already; then the request is to
        be counted by itself."""
        lease = self._leases.get(api_key_id)
        if lease is None:
            if len(self._leases) >= _MOST_LEASES:
                self.give_back_all()
            lease = self._leases[api_key_id] = Lease()
        now = time.monotonic()
        if lease.asking or now < lease.dry_until:
            return None
        wish = lease.wish(now)
        self._give_back(lease)
        keys = [f"r1:rate:{limit.name}" for limit in limits]
        lease.asking = True
        try:
            answer = await self._link.run(TAKE, len(keys), *keys, wish, *[limit.requests or 0 for limit in limits])
        except (RedisAway, RedisRefused):
            return None
        finally:
            lease.asking = False
        taken, minute, left_ms, which, room = answer
        if not taken:
            lease.dry_until = now + _DRY_S
            return None
        # Counted from before the question: what goes back must not have been used meanwhile.
        lease.began, lease.until = now, now + LEASE_S
        lease.taken, lease.left = taken, taken - 1
        lease.keys, lease.minute = keys, minute
        lease.limit, lease.room = limits[which - 1].requests or 0, room
        lease.reset_s = left_ms / 1000 + 60  # what was counted in this minute weighs until the end of the next
        decision = lease.decision()
        if self._leases.get(api_key_id) is not lease:  # forgotten meanwhile
            self._give_back(lease)
        return decision

    def forget(self, api_key_id: int) -> None:
        """The key's limits changed."""
        lease = self._leases.pop(api_key_id, None)
        if lease is not None:
            self._give_back(lease)

    def give_back_unused(self) -> None:
        now = time.monotonic()
        for api_key_id, lease in list(self._leases.items()):
            if now >= lease.until and not lease.asking:
                self._give_back(lease)
                if now - lease.began > 60:
                    del self._leases[api_key_id]

    def give_back_all(self) -> None:
        for lease in self._leases.values():
            self._give_back(lease)
        self._leases.clear()

    def _give_back(self, lease: Lease) -> None:
        """Lost where Redis is away: it has forgotten by the end of the next minute."""
        if lease.left:
            left, lease.left = lease.left, 0
            with contextlib.suppress(RedisAway):
                self._link.tell("EVALSHA", GIVE.sha, len(lease.keys), *lease.keys, lease.minute, left)
