"""Who sends a request: API keys looked up for the gateway, remembered in the process, forgotten when they change.

No Django here: this runs in the gateway's request path. A revoked key is refused within a second in every process,
also when the process has lost touch with Redis without noticing: see `_Hearing`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from accounts import ip_limits
from accounts.background import end_all
from accounts.ip_limits import Networks
from accounts.key_format import hash_key, looks_valid

log = structlog.get_logger(__name__)

CHANNEL = "r1:keys"
KNOWN_MAX_AGE_S = 30.0
DEAF_MAX_AGE_S = 1.0
REFUSED_MAX_AGE_S = 5.0
KNOWN_MAX = 50_000
REFUSED_MAX = 10_000
PING_EVERY_S = 0.4  # what is proved then is at most this old, and has to be younger than DEAF_MAX_AGE_S
FLUSH_EVERY_S = 5.0
LOOK_UP_TIMEOUT_S = 3.0

Reason = Literal["malformed", "unknown", "revoked", "expired", "suspended"]

# The tables of billing and routing are read here by their names: one query says all, and no app imports one above it.
_FIND = """
    SELECT k.id, k.project_id, p.organization_id, k.expires_at,
           k.revoked_at IS NOT NULL OR p.archived_at IS NOT NULL, o.suspended_at IS NOT NULL,
           k.allowed_models, p.strict_translation, k.allowed_ips, k.funding,
           k.requests_per_minute, k.tokens_per_minute, k.max_concurrent,
           p.requests_per_minute, p.tokens_per_minute, p.max_concurrent,
           o.requests_per_minute, o.tokens_per_minute, o.max_concurrent,
           s.terms -> 'covered_models', s.overflow, w.epoch,
           EXISTS (SELECT 1 FROM billing_budget b WHERE b.api_key_id = k.id),
           EXISTS (SELECT 1 FROM billing_budget b WHERE b.project_id = k.project_id),
           r.compiled
    FROM accounts_apikey k
    JOIN accounts_project p ON p.id = k.project_id
    JOIN accounts_organization o ON o.id = p.organization_id
    LEFT JOIN billing_subscription s ON s.organization_id = o.id AND s.state <> 'ended'
    LEFT JOIN routing_projectrouting r ON r.project_id = p.id
    LEFT JOIN billing_ledgeraccount w ON w.organization_id = o.id AND w.kind = 'wallet' AND w.currency = 'USD'
    WHERE k.key_hash = %s
"""
# Rows another process is just writing are skipped: that one writes as good a time.
_TOUCH = """
    WITH used AS (SELECT * FROM unnest(%s::bigint[], %s::timestamptz[]) AS u (id, at)),
         mine AS (SELECT k.id FROM accounts_apikey k JOIN used USING (id)
                  ORDER BY k.id FOR NO KEY UPDATE OF k SKIP LOCKED)
    UPDATE accounts_apikey k SET last_used_at = GREATEST(k.last_used_at, used.at)
    FROM mine JOIN used USING (id) WHERE k.id = mine.id
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """What the gateway knows of a request's sender.

    `expires_at` is in seconds since 1970. `allowed_models` are patterns for `model_limits.allows`, `allowed_ips`
    networks for `ip_limits.allows`; none: all. With `strict`, a request that would lose something in translation is
    refused. A limit of None: there is none. `plan_models` are patterns of what the live plan covers, None without a
    plan; `plan_overflow`: beyond the plan the wallet pays. `epoch` is the wallet's: credit that was set aside under a
    lower one may not be used any more. `budget_scope`: whether this key has a budget of its own or its project has.
    `routing` is the project's routing policy as JSON, "" where it has none; the keys of a project share the text.
    """

    organization_id: int
    project_id: int
    api_key_id: int
    requests_per_minute: int | None
    expires_at: float | None
    allowed_models: tuple[str, ...] = ()
    strict: bool = False
    allowed_ips: Networks = ()
    funding: str = "plan_first"  # or plan_only, wallet_only
    tokens_per_minute: int | None = None
    max_concurrent: int | None = None
    project_requests_per_minute: int | None = None
    project_tokens_per_minute: int | None = None
    project_max_concurrent: int | None = None
    organization_requests_per_minute: int | None = None
    organization_tokens_per_minute: int | None = None
    organization_max_concurrent: int | None = None
    plan_models: tuple[str, ...] | None = None
    plan_overflow: bool = False
    epoch: int = 0
    budget_scope: str = ""  # "", project or key
    routing: str = ""


class KeyRefused(Exception):
    """This key opens nothing."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class CallersUnavailable(Exception):
    """Nobody can say now whether the key is good: PostgreSQL is away and the key is not remembered."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a look-up said, and when it began (monotonic seconds)."""

    asked_at: float
    caller: Caller | None
    reason: Reason = "unknown"


class _Memory:
    """The last answers, the longest unused dropped first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[bytes, _Answer] = OrderedDict()

    def get(self, key_hash: bytes, max_age_s: float) -> _Answer | None:
        answer = self._answers.get(key_hash)
        if answer is None:
            return None
        if time.monotonic() - answer.asked_at > max_age_s:
            del self._answers[key_hash]
            return None
        self._answers.move_to_end(key_hash)
        return answer

    def put(self, key_hash: bytes, answer: _Answer) -> None:
        self._answers[key_hash] = answer
        self._answers.move_to_end(key_hash)
        if len(self._answers) > self._size:
            self._answers.popitem(last=False)

    def forget(self, key_hash: bytes | None) -> None:
        """None forgets everything."""
        if key_hash is None:
            self._answers.clear()
        else:
            self._answers.pop(key_hash, None)

    def __len__(self) -> int:
        return len(self._answers)


class _Hearing:
    """Until when we can be sure to have heard every change.

    Redis answers a subscriber in order: the answer to a ping proves that whatever was announced before that ping was
    sent has been heard. So a silent half-open connection is noticed by its missing answers, without an error.
    """

    def __init__(self) -> None:
        self.pinged_at: float | None = None  # of the ping that waits for its answer
        self._proved_at = float("-inf")

    def proved(self) -> None:
        if self.pinged_at is not None:
            self._proved_at = self.pinged_at
            self.pinged_at = None

    def lost(self) -> None:
        self.pinged_at = None

    @property
    def is_good(self) -> bool:
        return time.monotonic() - self._proved_at < DEAF_MAX_AGE_S


class CallerDirectory:
    """One per process; between `start` and `stop`."""

    def __init__(
        self, pool: AsyncConnectionPool, redis: Redis, *, pepper: bytes, default_requests_per_minute: int
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._pepper = pepper
        self._default_requests_per_minute = default_requests_per_minute
        self._known = _Memory(KNOWN_MAX)
        self._refused = _Memory(REFUSED_MAX)
        self._hashes: dict[str, bytes] = {}  # of well-formed keys, in memory alone: checking one costs more than a look
        self._hearing = _Hearing()
        self._changes = 0  # counts what was heard, so that an answer overtaken by a change is not kept
        self._running: dict[bytes, asyncio.Task[_Answer]] = {}
        self._used: dict[int, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Never fails: without Redis keys are remembered for a second only."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._flush_regularly())]

    async def stop(self) -> None:
        await end_all((*self._tasks, *self._running.values()))
        self._tasks = []
        await self._flush()

    @property
    def hears_changes(self) -> bool:
        return self._hearing.is_good

    async def find(self, raw_key: str) -> Caller:
        """Whose key this is.

        Raises KeyRefused, or CallersUnavailable when the database cannot be asked.
        """
        key_hash = self._hashes.get(raw_key)
        if key_hash is None:
            if not looks_valid(raw_key):
                raise KeyRefused("malformed")
            if len(self._hashes) >= KNOWN_MAX:
                self._hashes.clear()
            key_hash = self._hashes[raw_key] = hash_key(raw_key, self._pepper)
        answer = self._remembered(key_hash) or await self._ask_once(key_hash)
        if answer.caller is None:
            raise KeyRefused(answer.reason)
        if answer.caller.expires_at is not None and answer.caller.expires_at <= time.time():
            raise KeyRefused("expired")
        return answer.caller

    def mark_used(self, api_key_id: int) -> None:
        """Written to the key's row within a few seconds."""
        self._used[api_key_id] = time.time()

    def _remembered(self, key_hash: bytes) -> _Answer | None:
        max_age_s = KNOWN_MAX_AGE_S if self.hears_changes else DEAF_MAX_AGE_S
        return self._known.get(key_hash, max_age_s) or self._refused.get(key_hash, REFUSED_MAX_AGE_S)

    async def _ask_once(self, key_hash: bytes) -> _Answer:
        """Requests that ask for the same key at the same time share one question."""
        task = self._running.get(key_hash)
        if task is None:
            task = asyncio.create_task(self._ask(key_hash))
            self._running[key_hash] = task
            task.add_done_callback(lambda done: self._ended(key_hash, done))
        return await asyncio.shield(task)

    def _ended(self, key_hash: bytes, task: asyncio.Task[_Answer]) -> None:
        if self._running.get(key_hash) is task:
            del self._running[key_hash]
        if not task.cancelled():
            task.exception()  # seen, even if every asker has left

    async def _ask(self, key_hash: bytes) -> _Answer:
        asked_at, changes = time.monotonic(), self._changes
        try:
            async with self._pool.connection(timeout=LOOK_UP_TIMEOUT_S) as conn:
                row = await (await conn.execute(_FIND, (key_hash,))).fetchone()
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError) as error:
            log.warning("caller_look_up_failed", error=type(error).__name__)
            raise CallersUnavailable from error
        answer = self._read(row, asked_at)
        if changes == self._changes:
            (self._refused if answer.caller is None else self._known).put(key_hash, answer)
        return answer

    def _read(self, row: Any, asked_at: float) -> _Answer:
        if row is None:
            return _Answer(asked_at, None, "unknown")
        key_id, project_id, organization_id, expires_at, is_revoked, is_suspended, *rest = row
        if is_revoked:
            return _Answer(asked_at, None, "revoked")
        expires = None if expires_at is None else expires_at.timestamp()
        if expires is not None and expires <= time.time():
            return _Answer(asked_at, None, "expired")
        if is_suspended:
            return _Answer(asked_at, None, "suspended")
        patterns, is_strict, addresses, funding, *limits = rest[:13]
        plan_models, plan_overflow, epoch, key_has_budget, project_has_budget, routing = rest[13:]
        caller = Caller(
            organization_id=organization_id,
            project_id=project_id,
            api_key_id=key_id,
            requests_per_minute=self._default_requests_per_minute if limits[0] is None else limits[0],
            expires_at=expires,
            allowed_models=_shared(tuple(patterns)),
            strict=is_strict,
            allowed_ips=_networks(tuple(addresses)),
            funding=sys.intern(funding),
            tokens_per_minute=limits[1],
            max_concurrent=limits[2],
            project_requests_per_minute=limits[3],
            project_tokens_per_minute=limits[4],
            project_max_concurrent=limits[5],
            organization_requests_per_minute=limits[6],
            organization_tokens_per_minute=limits[7],
            organization_max_concurrent=limits[8],
            plan_models=None if plan_models is None else _shared(tuple(plan_models)),
            plan_overflow=bool(plan_overflow),
            epoch=epoch or 0,
            budget_scope="key" if key_has_budget else "project" if project_has_budget else "",
            routing=_shared_text(routing or ""),
        )
        return _Answer(asked_at, caller)

    # --- Changes ---------------------------------------------------------------------------------------------------
    async def _listen(self) -> None:
        while True:
            try:
                await self._hear_changes()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("key_changes_not_heard", error=type(error).__name__)
            self._hearing.lost()
            await asyncio.sleep(PING_EVERY_S)

    async def _hear_changes(self) -> None:
        """Until the connection fails, or leaves a ping unanswered."""
        async with self._redis.pubsub() as subscription:
            await subscription.subscribe(CHANNEL)
            pings = asyncio.create_task(self._ping_regularly(subscription))
            try:
                while message := await subscription.get_message(timeout=2 * DEAF_MAX_AGE_S):
                    self._hear(message)
            finally:
                await end_all((pings,))
            raise TimeoutError("a ping was not answered")

    async def _ping_regularly(self, subscription: PubSub) -> None:
        """Beside the reading, which so needs no timer of its own for each turn. An error is the reading's to report."""
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            while True:
                if self._hearing.pinged_at is None:
                    self._hearing.pinged_at = time.monotonic()
                    await subscription.ping()
                await asyncio.sleep(PING_EVERY_S)

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "pong":
            self._hearing.proved()
        elif message["type"] == "subscribe":  # anew, perhaps by the client itself: what went before was missed
            self._hearing.lost()
            self._forget(None)
        elif message["type"] == "message":
            self._forget(_key_hash_in(message["data"]))

    def _forget(self, key_hash: bytes | None) -> None:
        self._changes += 1
        self._known.forget(key_hash)
        self._refused.forget(key_hash)
        # A look-up that runs now may have read the old row: later requests ask anew.
        if key_hash is None:
            self._running.clear()
        else:
            self._running.pop(key_hash, None)

    # --- Last use --------------------------------------------------------------------------------------------------
    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            await self._flush()

    async def _flush(self) -> None:
        used, self._used = self._used, {}
        if not used:
            return
        times = [datetime.fromtimestamp(at, UTC) for at in used.values()]
        try:
            async with self._pool.connection(timeout=LOOK_UP_TIMEOUT_S) as conn:
                await conn.execute(_TOUCH, (list(used), times))
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError) as error:
            log.warning("last_use_not_written", error=type(error).__name__)
            self._used = used | self._used


@lru_cache(maxsize=4096)
def _shared(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The same tuple for the same texts: the keys of an organization mostly have the same ones."""
    return texts


@lru_cache(maxsize=4096)
def _shared_text(text: str) -> str:
    return text


@lru_cache(maxsize=4096)
def _networks(texts: tuple[str, ...]) -> Networks:
    return ip_limits.networks(texts)


def _key_hash_in(payload: bytes | str) -> bytes | None:
    """None, meaning every key, for "*" and whatever cannot be read."""
    text = payload.decode("ascii", "replace") if isinstance(payload, bytes) else payload
    with contextlib.suppress(ValueError):
        return bytes.fromhex(text)
    return None
