"""The worker's side of the journal: events into PostgreSQL in batches, and holds that nobody came back for.

Where the drain stands is written in the transaction that settles: a worker killed at any moment leaves nothing half
done, and the next one reads the same entries again.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from redis import Redis

from billing.holds import sweep
from billing.models.holds import JournalShard
from billing.models.usage import UnsettledEvent
from gateway.journal_event import EPOCH_KEY, FIELD, JournalEvent, stream_name
from gateway.settler import settle_events

BATCH = 500
LOCK = 0x52314A4F  # first half of an advisory lock; the second is the shard

log = structlog.get_logger(__name__)
Entry = tuple[bytes, dict[bytes, bytes]]

_WRITE_PLACE = """
INSERT INTO billing_journalshard (shard, epoch, last_ms, last_seq, settled_to, updated_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp())
    ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, last_ms = excluded.last_ms,
       last_seq = excluded.last_seq, updated_at = excluded.updated_at,
       settled_to = GREATEST(billing_journalshard.settled_to, excluded.settled_to)
"""


class _Place(NamedTuple):
    """Where a shard stands; entries are read after (ms, seq)."""

    epoch: str = ""
    ms: int = 0
    seq: int = 0


def drain(redis: Redis, *, batches: int = 200) -> int:
    """Settle what the journal holds; returns how many entries were taken. Safe to run twice and to be killed."""
    shards = list(range(settings.JOURNAL_SHARDS))
    random.shuffle(shards)  # so that two workers begin at different ones
    return sum(drain_shard(redis, shard, batches=batches) for shard in shards)


def drain_shard(redis: Redis, shard: int, *, batches: int = 200) -> int:
    done = 0
    for _ in range(batches):
        taken = _drain_batch(redis, shard)
        done += taken
        if taken < BATCH:
            break
    return done


def _drain_batch(redis: Redis, shard: int) -> int:
    """One batch in one transaction, under the shard's lock; 0 where another worker is at it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s, %s), clock_timestamp()", [LOCK, shard])
            is_mine, now = cursor.fetchone()
        if not is_mine:
            return 0
        place = _read_place(shard)
        epoch, entries = _read_entries(redis, shard, place)
        if epoch != place.epoch:
            # Redis lost the stream: what it has now begins anew.
            place = _Place(epoch)
            _, entries = _read_entries(redis, shard, place)
        if entries:
            _settle(entries)
        place = _after(place, entries)
        _write_place(shard, place, _settled_to(entries, now))
    if entries:
        redis.xtrim(stream_name(shard), minid=f"{place.ms}-{place.seq + 1}", approximate=False)
    return len(entries)


def _read_entries(redis: Redis, shard: int, place: _Place) -> tuple[str, list[Entry]]:
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.get(EPOCH_KEY)
        pipeline.xrange(stream_name(shard), min=f"({place.ms}-{place.seq}", count=BATCH)
        epoch, entries = pipeline.execute()
    return (epoch or b"").decode(), entries


def _settled_to(entries: list[Entry], now: datetime) -> datetime:
    """Every event appended before this time is settled. A minute's grace for clocks that differ."""
    if len(entries) < BATCH:
        return now - timedelta(seconds=2)  # read to the end; an append may have been on its way
    return datetime.fromtimestamp(_parts(entries[-1][0])[0] / 1000, UTC) - timedelta(seconds=60)


def _after(place: _Place, entries: list[Entry]) -> _Place:
    return _Place(place.epoch, *_parts(entries[-1][0])) if entries else place


def _parts(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)


def _read_place(shard: int) -> _Place:
    row = JournalShard.objects.filter(pk=shard).values_list("epoch", "last_ms", "last_seq").first()
    return _Place(*row) if row else _Place()


def _write_place(shard: int, place: _Place, settled_to: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_WRITE_PLACE, [shard, place.epoch, place.ms, place.seq, settled_to])


def _settle(entries: list[Entry]) -> None:
    """Settle a batch; halve one that fails until the bad event stands alone, and put that aside."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            settle_events(cursor, [JournalEvent.from_bytes(fields[FIELD]) for _, fields in entries])
    except (OperationalError, InterfaceError):
        raise  # the database is away: nothing is wrong with the events, they stay in the journal
    except (DatabaseError, ValueError, KeyError, TypeError) as error:
        if len(entries) == 1:
            _put_aside(entries[0], error)
            return
        middle = len(entries) // 2
        _settle(entries[:middle])
        _settle(entries[middle:])


def _put_aside(entry: Entry, error: Exception) -> None:
    raw = entry[1].get(FIELD, b"")
    try:
        event: Any = orjson.loads(raw)
        event_id = JournalEvent.from_bytes(raw).id
    except (ValueError, KeyError, TypeError):
        # Not one of ours: nothing of it is kept, for nobody knows what it holds.
        log.error("journal_entry_unreadable", size=len(raw))
        return
    UnsettledEvent.objects.get_or_create(id=event_id, defaults={"event": event, "error_class": type(error).__name__})
    log.error("event_unsettled", request_id=event_id, error_class=type(error).__name__)


def sweep_expired() -> int:
    """Free holds whose process never came back; returns how many. Only once every shard is settled beyond their end."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT clock_timestamp(), (SELECT min(settled_to) FROM billing_journalshard HAVING count(*) >= %s)",
            [settings.JOURNAL_SHARDS],
        )
        now, settled_to = cursor.fetchone()
        if settled_to is None:
            return 0
        return sweep(cursor, before=min(now - timedelta(seconds=settings.SWEEP_MARGIN_S), settled_to))
