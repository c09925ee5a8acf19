"""The worker's side of the journal: events into PostgreSQL in batches.

Where the drain stands in each shard is a row in PostgreSQL, written in the transaction that settles, and nowhere else:
a worker killed at any moment leaves nothing half done, and the next one reads the same entries again.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from django.conf import settings
from django.db import connection, transaction
from redis import Redis

from gateway import shard_places
from gateway.journal_event import EPOCH_KEY, stream_name
from gateway.shard_places import BEGINNING, DatabaseClock, Place
from gateway.unsettled import Entry, settle_or_put_aside

BATCH = 2_000
LOCK = 0x52314A4F  # first half of an advisory lock that ends with its transaction; the second is the shard
BUSY_PAUSE_S = 0.4  # a batch costs a dozen statements whatever its size, so a moment's events go together
IDLE_PAUSE_S = 0.5
STAMP_EVERY_S = 1.0
CLOCK_MARGIN_S = 5.0  # where a time comes from Redis's clock

_BUSY = -1  # another worker is at it

# After a flush a new stream may have ids as low as the old one's: what is of another epoch is left alone.
_TRIM = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
"""


class _Look(NamedTuple):
    """What one round trip saw of some shards: at most BATCH entries of each, after its place."""

    epoch: str
    begun: float  # time.monotonic() before the question
    redis_ms: int  # Redis's clock
    after: Mapping[int, Place]
    entries: Mapping[int, list[Entry]]


def drain(redis: Redis, *, limit_s: float = 20.0) -> int:
    """Settle what the journal holds until every shard is empty; returns how many entries were taken.

    Safe to run twice at once and to be killed. Raises what a store raises that is away; nothing is lost then.
    """
    run, end, done = Drain(redis), time.monotonic() + limit_s, 0
    while time.monotonic() < end:
        taken, is_busy = run.round()
        done += taken
        if is_busy:
            time.sleep(0.01)
        elif not taken:
            break
    return done


def drain_shard(redis: Redis, shard: int) -> int:
    """Settle one batch of one shard; returns how many entries were taken, 0 while another worker is at this shard."""
    return max(0, Drain(redis).batch(shard))


def follow(redis: Redis, *, run_s: float, may_go_on: Callable[[], bool]) -> int:
    """Settle what comes for so long; returns how many entries were taken."""
    run, end, done = Drain(redis), time.monotonic() + run_s, 0
    while time.monotonic() < end and may_go_on():
        taken, _ = run.round()
        done += taken
        time.sleep(BUSY_PAUSE_S if taken else IDLE_PAUSE_S)
    return done


class Drain:
    """One worker's run. It remembers where the shards stand, so that looking at empty ones is one round trip."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._trim = redis.register_script(_TRIM)
        self._clock = DatabaseClock()
        self._places: dict[int, Place] = {}
        self._stamped_at = 0.0

    def round(self) -> tuple[int, bool]:
        """Look once at all shards and empty those that have something.

        Returns how many entries were taken, and whether another worker kept us from a shard that had some.
        """
        shards = list(range(settings.JOURNAL_SHARDS))
        random.shuffle(shards)  # so that two workers begin at different ones
        if self._places.keys() != set(shards):
            stored = shard_places.load()
            self._places = {shard: stored.get(shard, BEGINNING) for shard in shards}
        look = self._look(self._places)
        done, is_busy = 0, False
        idle = []
        for shard in shards:
            if look.epoch == self._places[shard].epoch and not look.entries[shard]:
                idle.append(shard)
                continue
            taken = self._batch(shard, look)
            is_busy |= taken == _BUSY
            while taken > 0:
                done += taken
                taken = self.batch(shard) if taken == BATCH else 0
        self._stamp(look, idle)
        return done, is_busy

    def batch(self, shard: int) -> int:
        place = self._places.get(shard) or shard_places.load().get(shard, BEGINNING)
        return self._batch(shard, self._look({shard: place}))

    def _batch(self, shard: int, look: _Look) -> int:
        """Settle in one transaction, under the shard's lock, what was seen after its place."""
        with transaction.atomic():
            if not self._lock(shard):
                self._places.pop(shard, None)
                return _BUSY
            place = shard_places.load().get(shard, BEGINNING)  # as it is under the lock
            if look.after[shard] != place or look.epoch != place.epoch:
                look = self._look({shard: place})
            if look.epoch != place.epoch:  # Redis lost the stream: what it has now begins anew
                look = self._look({shard: Place(look.epoch, 0, 0)})
                if look.after[shard].epoch != look.epoch:
                    return 0
            entries = look.entries[shard]
            if entries:
                settle_or_put_aside(entries)
            place = Place.after(look.epoch, entries[-1][0]) if entries else look.after[shard]
            shard_places.store(shard, place, self._settled_to(look, entries))
        self._places[shard] = place
        if entries:
            self._trim(keys=[EPOCH_KEY, stream_name(shard)], args=[place.epoch, f"{place.ms}-{place.seq + 1}"])
        return len(entries)

    def _lock(self, shard: int) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s), clock_timestamp()", [LOCK, shard])
            is_mine, now = cursor.fetchone()
        self._clock.set(now, time.monotonic())
        return bool(is_mine)

    def _look(self, after: Mapping[int, Place]) -> _Look:
        """The epoch and the entries of one moment. A stream that has no name gets one."""
        begun = time.monotonic()
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.get(EPOCH_KEY)
            pipeline.time()
            for shard, place in after.items():
                pipeline.xrange(stream_name(shard), min=f"({place.ms}-{place.seq}", count=BATCH)
            epoch, (seconds, micros), *found = pipeline.execute()
        if epoch is None:
            self._redis.set(EPOCH_KEY, secrets.token_hex(8), nx=True)
            return self._look(after)
        redis_ms = int(seconds) * 1000 + int(micros) // 1000
        return _Look(epoch.decode(), begun, redis_ms, dict(after), dict(zip(after, found, strict=True)))

    def _settled_to(self, look: _Look, entries: list[Entry]) -> Any:
        """A time by the database's clock: every event that was appended before it is settled. None: not known."""
        if len(entries) < BATCH:
            return self._clock.at(look.begun)
        behind_s = (look.redis_ms - int(entries[-1][0].partition(b"-")[0])) / 1000
        if behind_s < 0:  # Redis's clock went back, and ids no longer tell the time
            return None
        return self._clock.at(look.begun - behind_s - CLOCK_MARGIN_S)

    def _stamp(self, look: _Look, idle: list[int]) -> None:
        """Shards without traffic are settled too, up to the moment when they were seen to be empty."""
        if not idle or look.begun < self._stamped_at + STAMP_EVERY_S:
            return
        if not self._clock.is_set:
            self._clock.set(shard_places.database_time(), time.monotonic())
        self._stamped_at = look.begun
        seen = {shard: look.after[shard] for shard in idle}
        now, moved = shard_places.stamp(seen, self._clock.at(look.begun))
        if now is not None:
            self._clock.set(now, time.monotonic())
        if moved:
            self._places.clear()  # another worker went on from there
