"""Requests a minute, tokens a minute and requests at the same time: of a key, its project and its organization.

One Lua call asks all of them at once, and a request that one of them refuses counts in none. Where only requests a
minute are limited, a busy key's are taken some at a time (`limit_leases`). While Redis is away each process allows its
own share.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from accounts.caller import Caller
from gateway.limit_decision import UNLIMITED, RateDecision, Scope, refusal_text
from gateway.limit_leases import Leases
from gateway.limit_scripts import ADMIT, ALL, DONE, KEEP, LEASE_S
from gateway.local_limits import LocalLimits
from gateway.redis_link import Argument, RedisAway, RedisLink, RedisRefused

__all__ = ["Limiter", "RateDecision", "refusal_text"]

KEEP_EVERY_S = LEASE_S / 3
GIVE_BACK_EVERY_S = 0.5
_MOST_CALLERS = 50_000
CONCURRENCY_RETRY_S = 1.0  # nobody knows when a running request ends


class Limited(NamedTuple):
    """One of a caller's scopes that has a limit. `name` is its key in Redis without the prefix; none: no such limit."""

    scope: Scope
    name: str
    requests: int | None
    tokens: int | None
    concurrent: int | None


class _Known(NamedTuple):
    """The limits of a caller. `holds`: an admitted request has something to give back; `leases`: only requests a minute
    are limited."""

    caller: Caller
    limits: list[Limited]
    holds: bool
    leases: bool


class _Running(NamedTuple):
    """What an admitted request must give back. `minute` is None where it was counted by this process alone."""

    limits: list[Limited]
    minute: int | None
    tokens: int


def limits_of(caller: Caller) -> list[Limited]:
    """Key, project, organization, as far as they have a limit. Braces keep an organization in one cluster slot."""
    home = f"{{{caller.organization_id}}}"
    found = []
    rpm, tpm, concurrent = caller.requests_per_minute, caller.tokens_per_minute, caller.max_concurrent
    if rpm is not None or tpm is not None or concurrent is not None:
        found.append(Limited("key", f"{home}:k{caller.api_key_id}", rpm, tpm, concurrent))
    rpm, tpm, concurrent = (
        caller.project_requests_per_minute,
        caller.project_tokens_per_minute,
        caller.project_max_concurrent,
    )
    if rpm is not None or tpm is not None or concurrent is not None:
        found.append(Limited("project", f"{home}:p{caller.project_id}", rpm, tpm, concurrent))
    rpm, tpm, concurrent = (
        caller.organization_requests_per_minute,
        caller.organization_tokens_per_minute,
        caller.organization_max_concurrent,
    )
    if rpm is not None or tpm is not None or concurrent is not None:
        found.append(Limited("organization", f"{home}:o", rpm, tpm, concurrent))
    return found


class Limiter:
    """One per process; between `start` and `stop`."""

    def __init__(self, link: RedisLink, *, processes: int = 1) -> None:
        self._link = link
        self._local = LocalLimits(processes)
        self._running: dict[str, _Running] = {}
        self._limits: dict[int, _Known] = {}
        self._leases = Leases(link)
        self._tasks: list[asyncio.Task[None]] = []
        for script in ALL:
            link.add_script(script)
        link.on_reconnect(self.keep_all)

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(_regularly(KEEP_EVERY_S, self.keep_all)),
            asyncio.create_task(_regularly(GIVE_BACK_EVERY_S, self._leases.give_back_unused)),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._leases.give_back_all()

    def admit_at_once(self, caller: Caller) -> RateDecision | None:
        """A request for which nobody has to be asked; None: `admit` it."""
        known = self._limits.get(caller.api_key_id)
        if known is None or known.caller is not caller:
            return None
        if known.leases:
            return self._leases.take(caller.api_key_id)
        return None if known.limits else UNLIMITED

    async def admit(self, caller: Caller, request_id: str, tokens: int) -> RateDecision:
        """Count this request, estimated at `tokens`, if every limit allows it. Never raises.

        What was admitted must end with `done` or `done_command`; requests without a limit on tokens or concurrency
        leave nothing to give back, for them both do nothing.
        """
        known = self._limits.get(caller.api_key_id)
        if known is None or known.caller is not caller:
            known = self._read_limits(caller)
        _, limits, holds_something, leases = known
        if not limits:
            return UNLIMITED
        if leases:
            taken = self._leases.take(caller.api_key_id) or await self._leases.ask(caller.api_key_id, limits)
            if taken is not None:
                return taken
        try:
            answer = await self._link.run(ADMIT, *_admit_arguments(limits, request_id, tokens))
            minute: int | None = answer[1]
        except (RedisAway, RedisRefused):
            answer, minute = self._local.admit(limits, tokens, time.time()), None
        decision = _decision(limits, answer, tokens)
        if decision.allowed and holds_something:
            self._running[request_id] = _Running(limits, minute, tokens)
            self._local.enter(limits)
        return decision

    def _read_limits(self, caller: Caller) -> _Known:
        """Kept with the caller that they are of: its next look-up is another object."""
        if len(self._limits) >= _MOST_CALLERS:
            self._limits.clear()
        limits = limits_of(caller)
        before = self._limits.get(caller.api_key_id)
        if before is not None and before.limits != limits:
            self._leases.forget(caller.api_key_id)
        holds_something = any(limit.tokens is not None or limit.concurrent is not None for limit in limits)
        known = _Known(caller, limits, holds_something, bool(limits) and not holds_something)
        self._limits[caller.api_key_id] = known
        return known

    def done_command(self, request_id: str, tokens_used: int) -> list[Argument] | None:
        """The command that frees the request's place and corrects its tokens from the estimate to what it used.

        None: nothing to send. For the Redis of the limits, which may not be the journal's. Safe to repeat.
        """
        running = self._running.pop(request_id, None)
        if running is None:
            return None
        self._local.leave(running.limits)
        excess = tokens_used - running.tokens
        if running.minute is None:
            self._local.correct(running.limits, excess, time.time())
            excess = 0
        rates = [f"r1:rate:{limit.name}" for limit in running.limits if limit.tokens is not None] if excess else []
        places = [f"r1:busy:{limit.name}" for limit in running.limits if limit.concurrent is not None]
        if not rates and len(places) <= 1:
            return ["ZREM", places[0], request_id] if places else None
        keys: list[Argument] = [*rates, *places]
        return ["EVALSHA", DONE.sha, len(keys), *keys, len(rates), running.minute or 0, excess, request_id]

    def done(self, request_id: str, tokens_used: int) -> None:
        """`done_command`, sent without waiting. Lost where Redis is away: the place frees itself a little later."""
        command = self.done_command(request_id, tokens_used)
        if command is not None:
            with contextlib.suppress(RedisAway):
                self._link.tell(*command)

    def keep_all(self) -> None:
        """Refresh the places of all running requests, in one write; also after Redis forgot them."""
        places: dict[str, list[str]] = {}
        for request_id, running in self._running.items():
            for limit in running.limits:
                if limit.concurrent is not None:
                    places.setdefault(f"r1:busy:{limit.name}", []).append(request_id)
        with contextlib.suppress(RedisAway):
            for key, request_ids in places.items():
                self._link.tell("EVALSHA", KEEP.sha, 1, key, *request_ids)


async def _regularly(every_s: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(every_s)
        work()


def _admit_arguments(limits: list[Limited], request_id: str, tokens: int) -> list[Argument]:
    """Number of keys, keys, arguments of `limit_scripts.ADMIT`."""
    keys: list[Argument] = []
    values: list[Argument] = []
    busy_keys: list[Argument] = []
    busy_values: list[Argument] = []
    for _, name, requests, tokens_limit, concurrent in limits:
        if requests is not None or tokens_limit is not None:
            keys.append("r1:rate:" + name)
            values += (-1 if requests is None else requests, -1 if tokens_limit is None else tokens_limit)
        if concurrent is not None:
            busy_keys.append("r1:busy:" + name)
            busy_values.append(concurrent)
    count = len(keys)
    if busy_keys:
        busy_values.append(request_id)
    return [count + len(busy_keys), *keys, *busy_keys, tokens, count, *values, *busy_values]


def _decision(limits: list[Limited], answer: Sequence[Any], tokens: int) -> RateDecision:
    """From a script's answer: see `limit_scripts.ADMIT`."""
    allowed, _, left_ms, by_requests, requests_left, by_tokens, tokens_left = answer[:7]
    rated = limits
    if by_requests or by_tokens or not allowed:
        rated = [limit for limit in limits if limit.requests is not None or limit.tokens is not None]
    decision = RateDecision(
        allowed=bool(allowed),
        reset_s=left_ms / 1000 + 60,  # what was counted in this minute weighs until the end of the next
        limit_requests=rated[by_requests - 1].requests if by_requests else None,
        remaining_requests=requests_left,
        limit_tokens=rated[by_tokens - 1].tokens if by_tokens else None,
        remaining_tokens=tokens_left,
    )
    if allowed:
        return decision
    what, place, wait_ms = answer[7:10]
    if what == b"concurrency":
        busy = [limit for limit in limits if limit.concurrent is not None][place - 1]
        return decision.refused(busy.scope, "concurrency", busy.concurrent or 0, CONCURRENCY_RETRY_S)
    by = rated[place - 1]
    if what == b"requests":
        return decision.refused(by.scope, "requests", by.requests or 0, wait_ms / 1000)
    return decision.refused(by.scope, "tokens", by.tokens or 0, wait_ms / 1000, asked=tokens)
