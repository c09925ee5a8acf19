"""The usage journal: where an ended request is put down before its last byte goes out."""

from __future__ import annotations

import asyncio
import time
from collections import deque

import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from gateway.journal_event import JournalEvent
from gateway.settler import settle_events

STREAM = "r1:journal"
FIELD = b"event"

log = structlog.get_logger(__name__)


class Journal:
    """Appends to a stream; while that is away, writes straight to PostgreSQL; while both are, waits in memory.

    An event may reach both (an append that timed out after it worked): settlement takes it once.
    """

    def __init__(self, redis: Redis, *, conninfo: str, bound: int) -> None:
        self._redis = redis
        self._conninfo = conninfo
        self._bound = bound
        self._waiting: deque[JournalEvent] = deque()
        self._away_until = 0.0
        self._flusher: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        """True when no further request may be admitted, because its end could not be put down."""
        return len(self._waiting) >= self._bound

    async def start(self) -> None:
        self._flusher = asyncio.create_task(self._flush_for_ever())

    async def stop(self) -> None:
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        await self._flush()

    async def append(self, event: JournalEvent) -> None:
        """Returns when the event is down somewhere; never raises for a store that is away."""
        if not (await self._to_stream(event) or await self._to_database([event])):
            self._waiting.append(event)

    async def _to_stream(self, event: JournalEvent) -> bool:
        if time.monotonic() < self._away_until:
            return False
        try:
            await self._redis.xadd(STREAM, {FIELD: event.to_bytes()})
        except (RedisError, OSError, TimeoutError) as error:
            self._away_until = time.monotonic() + 1.0
            log.warning("journal_away", error_class=type(error).__name__)
            return False
        return True

    async def _to_database(self, events: list[JournalEvent]) -> bool:
        try:
            await asyncio.to_thread(self._write, events)
        except psycopg.Error as error:
            log.error("direct_settlement_failed", error_class=type(error).__name__, events=len(events))
            return False
        return True

    def _write(self, events: list[JournalEvent]) -> None:
        with psycopg.connect(self._conninfo, connect_timeout=3) as connection, connection.cursor() as cursor:
            settle_events(cursor, events)

    async def _flush_for_ever(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self._flush()

    async def _flush(self) -> None:
        while self._waiting:
            event = self._waiting[0]
            if not (await self._to_stream(event) or await self._to_database([event])):
                return
            self._waiting.popleft()
