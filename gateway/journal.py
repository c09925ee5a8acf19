"""The usage journal: where an ended request is put down before its last byte goes out."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from gateway.journal_event import EPOCH_KEY, FIELD, JournalEvent, stream_name
from gateway.redis_link import RedisAway, RedisLink
from gateway.settler import settle_events, speaks_of_data

log = structlog.get_logger(__name__)

_WATCH_EVERY_S = 0.5
_DIRECT_BATCH = 500
_GET_EPOCH = (b"GET", EPOCH_KEY)
_LEAVE_WITHIN_S = 5.0
_PUT_ASIDE = """
INSERT INTO billing_unsettledevent (id, event, error_class, created_at) VALUES (%s, %s::jsonb, %s, now())
    ON CONFLICT DO NOTHING
"""
_WATERMARKS = "SELECT shard, epoch, last_ms, last_seq FROM billing_journalshard"


class _Kept:
    """An event in memory until it is settled."""

    __slots__ = ("data", "down", "epoch", "place", "put_at", "shard")

    def __init__(self, data: bytes, shard: int, down: asyncio.Future[None]) -> None:
        self.data = data
        self.shard = shard
        self.down = down  # done once the event is in the journal or in PostgreSQL, or must wait in memory
        self.epoch = b""
        self.place = b""  # its id in the stream
        self.put_at = 0.0


class Journal:
    """Appends to a stream per shard and keeps each event until PostgreSQL says that it is settled.

    While Redis is away events go straight to PostgreSQL; while both are, they wait in memory. Redis may forget what
    it acknowledged (a restart, a flush): what is not settled then is appended again. An event may so be settled twice;
    settlement takes it once.
    """

    def __init__(
        self,
        link: RedisLink,
        pool: AsyncConnectionPool[Any],
        *,
        conninfo: str,
        shards: int,
        bound: int,
        stalled_s: float = 15.0,
    ) -> None:
        self._link = link
        self._pool = pool
        self._conninfo = conninfo
        self._shards = shards
        self._bound = bound
        self._stalled_s = stalled_s  # an event that nobody settled for so long is written by this process itself
        self._streams = [stream_name(shard).encode() for shard in range(shards)]
        self._kept: list[deque[_Kept]] = [deque() for _ in range(shards)]
        self._outgoing: list[_Kept] = []
        self._waiting: deque[_Kept] = deque()
        self._count = 0
        self._epoch = b""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """True when no further request may be admitted, because its end could not be put down."""
        return self._count >= self._bound

    @property
    def unsettled(self) -> int:
        """Events of this process that PostgreSQL does not have yet."""
        return self._count

    async def start(self) -> None:
        await self._name_epoch()
        self._link.on_reconnect(lambda: self._run(self._begin_epoch()))
        self._run(self._watch())

    async def stop(self) -> None:
        give_up = time.monotonic() + _LEAVE_WITHIN_S
        while self._count and time.monotonic() < give_up:
            await self._look_after()
            await asyncio.sleep(0.1)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._count:
            log.warning("journal_left_unsettled", events=self._count)

    def append(self, organization_id: int, event: JournalEvent, *, at_once: bool = False) -> asyncio.Future[None]:
        """The returned future is done when the event is down somewhere; it never raises for a store that is away.

        What ends in the same turn of the loop shares one round trip; `at_once`: nothing else is about to end, so the
        round trip begins now.
        """
        loop = asyncio.get_running_loop()
        down: asyncio.Future[None] = loop.create_future()
        self._count += 1
        is_first = not self._outgoing
        self._outgoing.append(_Kept(event.to_bytes(), organization_id % self._shards, down))
        if is_first:
            if at_once:
                self._flush()
                self._link.flush()
            else:
                loop.call_soon(self._flush)
        return down

    # --- To Redis --------------------------------------------------------------------------------------------------
    def _send(self, kept: _Kept) -> None:
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(kept)

    def _flush(self) -> None:
        batch, self._outgoing = self._outgoing, []
        streams = self._streams
        commands: list[tuple[Any, ...]] = [(b"XADD", streams[kept.shard], b"*", FIELD, kept.data) for kept in batch]
        commands.append(_GET_EPOCH)
        try:
            answer = self._link.call_many(commands)
        except RedisAway:
            self._run(self._write_directly(batch))
            return
        answer.add_done_callback(lambda done: self._flushed(batch, done))

    def _flushed(self, batch: list[_Kept], answer: asyncio.Future[list[Any]]) -> None:
        if answer.cancelled() or answer.exception() is not None:
            self._run(self._write_directly(batch))
            return
        *places, epoch = answer.result()
        if epoch is None:
            self._run(self._begin_epoch())
            epoch = b""  # not known yet: these are appended again, if need be, under the new one
        elif not isinstance(epoch, bytes):
            epoch = b""
        self._epoch = epoch
        now = time.monotonic()
        refused = []
        for kept, place in zip(batch, places, strict=True):
            if not isinstance(place, bytes):
                refused.append(kept)  # an error of Redis, such as being out of memory
                continue
            kept.place, kept.epoch, kept.put_at = place, epoch, now
            self._kept[kept.shard].append(kept)
            if not kept.down.done():
                kept.down.set_result(None)
        if refused:
            self._run(self._write_directly(refused))

    async def _begin_epoch(self) -> None:
        """Redis was away or has lost the stream's name: what it acknowledged may be gone."""
        if await self._name_epoch():
            self._append_all_again()

    async def _name_epoch(self) -> bool:
        """Whoever comes first names a stream that has no name. False where Redis is away."""
        try:
            await self._link.call_many([(b"SET", EPOCH_KEY, secrets.token_hex(8), b"NX")])
        except (RedisAway, OSError, TimeoutError):
            return False
        return True

    def _append_all_again(self) -> None:
        """Redis may have lost what it acknowledged."""
        for shard in self._kept:
            again = list(shard)
            shard.clear()
            for kept in again:
                self._send(kept)

    # --- To PostgreSQL ---------------------------------------------------------------------------------------------
    async def _write_directly(self, batch: list[_Kept]) -> None:
        async with self._writing:  # events that come meanwhile are written together
            try:
                for start in range(0, len(batch), _DIRECT_BATCH):
                    await asyncio.to_thread(self._write, batch[start : start + _DIRECT_BATCH])
                self._count -= len(batch)
            except Exception as error:  # whatever it was, the request must end and the event must stay
                log.error("direct_settlement_failed", error_class=type(error).__name__, events=len(batch))
                self._waiting.extend(batch)
        _set_down(batch)

    def _write(self, batch: Sequence[_Kept]) -> None:
        try:
            with psycopg.connect(self._conninfo, connect_timeout=3) as connection, connection.cursor() as cursor:
                settle_events(cursor, [JournalEvent.from_bytes(kept.data) for kept in batch])
        except Exception as error:
            if not speaks_of_data(error):
                raise  # the database is away: nothing is wrong with the events
            if len(batch) == 1:
                self._put_aside(batch[0], error)
                return
            middle = len(batch) // 2
            self._write(batch[:middle])
            self._write(batch[middle:])

    def _put_aside(self, kept: _Kept, error: Exception) -> None:
        event = JournalEvent.from_bytes(kept.data)
        log.error("event_unsettled", request_id=event.id, error_class=type(error).__name__)
        with psycopg.connect(self._conninfo, connect_timeout=3, autocommit=True) as connection:
            try:
                connection.execute(_PUT_ASIDE, (event.id, kept.data.decode(), type(error).__name__))
            except psycopg.DataError:  # not even JSON for PostgreSQL (a NUL in a name)
                connection.execute(_PUT_ASIDE, (event.id, "{}", type(error).__name__))

    # --- Until settled ---------------------------------------------------------------------------------------------
    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            try:
                await self._look_after()
            except Exception as error:  # this watch must outlive whatever a store does
                log.warning("journal_watch_failed", error_class=type(error).__name__)

    async def _look_after(self) -> None:
        if self._waiting:
            again, self._waiting = list(self._waiting), deque()
            for kept in again:
                self._send(kept)
        if not any(self._kept):
            return
        await self._check_epoch()
        try:
            async with self._pool.connection(timeout=2.0) as connection:
                rows = await (await connection.execute(_WATERMARKS)).fetchall()
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError):
            return  # PostgreSQL is away: nothing is settled now, everything stays
        for shard, epoch, last_ms, last_seq in rows:
            if shard < self._shards:
                self._forget(self._kept[shard], epoch.encode(), (last_ms, last_seq))
        await self._write_stalled()

    async def _check_epoch(self) -> None:
        try:
            (epoch,) = await self._link.call_many([(b"GET", EPOCH_KEY)])
        except (RedisAway, OSError, TimeoutError):
            return
        if epoch is None:
            await self._begin_epoch()
        elif isinstance(epoch, bytes):
            self._epoch = epoch
            lost = [kept for shard in self._kept for kept in shard if kept.epoch != epoch]
            if lost:
                self._append_all_again()

    def _forget(self, shard: deque[_Kept], epoch: bytes, settled: tuple[int, int]) -> None:
        while shard and shard[0].epoch == epoch and _place(shard[0].place) <= settled:
            shard.popleft()
            self._count -= 1

    async def _write_stalled(self) -> None:
        """Settle what no worker came for. The same event may wait in the stream too: it counts once."""
        before = time.monotonic() - self._stalled_s
        for shard in self._kept:
            if not shard or shard[0].put_at > before:
                continue
            old = [kept for kept in shard if kept.put_at <= before][:_DIRECT_BATCH]
            log.warning("journal_not_drained", events=len(old))
            for _ in old:
                shard.popleft()
            await self._write_directly(old)

    def _run(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _place(id_: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = id_.partition(b"-")
    return int(milliseconds), int(sequence)


def _set_down(batch: Iterable[_Kept]) -> None:
    for kept in batch:
        if not kept.down.done():
            kept.down.set_result(None)
