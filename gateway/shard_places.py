"""Where the drain stands in each shard of the journal, kept in PostgreSQL alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import connection

_LOAD = "SELECT shard, epoch, last_ms, last_seq FROM billing_journalshard"
_STORE = """
INSERT INTO billing_journalshard (shard, epoch, last_ms, last_seq, settled_to, updated_at)
VALUES (%s, %s, %s, %s, %s, clock_timestamp())
    ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, last_ms = excluded.last_ms,
       last_seq = excluded.last_seq, updated_at = excluded.updated_at,
       settled_to = GREATEST(billing_journalshard.settled_to, excluded.settled_to)
"""
# No lock: a place that is still the same shows that nothing was appended beyond it when the shard was seen empty.
_STAMP = """
UPDATE billing_journalshard s SET settled_to = GREATEST(s.settled_to, %s), updated_at = clock_timestamp()
  FROM unnest(%s::int[], %s::text[], %s::bigint[], %s::bigint[]) AS seen(shard, epoch, ms, seq)
 WHERE s.shard = seen.shard AND s.epoch = seen.epoch AND s.last_ms = seen.ms AND s.last_seq = seen.seq
RETURNING clock_timestamp()
"""


class Place(NamedTuple):
    """Everything of the stream `epoch` up to the entry (ms, seq) is settled."""

    epoch: str
    ms: int
    seq: int

    @classmethod
    def after(cls, epoch: str, entry_id: bytes) -> Place:
        milliseconds, _, sequence = entry_id.partition(b"-")
        return cls(epoch, int(milliseconds), int(sequence))


BEGINNING = Place("", 0, 0)


class DatabaseClock:
    """Moments of this process by the database's clock, never later than they were."""

    def __init__(self) -> None:
        self._offset_s: float | None = None

    @property
    def is_set(self) -> bool:
        return self._offset_s is not None

    def set(self, database_time: datetime, received: float) -> None:
        """`received`: time.monotonic() after the database said its time, so the offset is too small if anything."""
        self._offset_s = database_time.timestamp() - received

    def at(self, moment: float) -> datetime:
        assert self._offset_s is not None
        return datetime.fromtimestamp(moment + self._offset_s, UTC)


def load() -> dict[int, Place]:
    with connection.cursor() as cursor:
        cursor.execute(_LOAD)
        return {shard: Place(*place) for shard, *place in cursor.fetchall()}


def store(shard: int, place: Place, settled_to: datetime | None) -> None:
    """In the transaction that settled everything up to there. `settled_to` never goes back."""
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [shard, *place, settled_to])


def stamp(seen: Mapping[int, Place], settled_to: datetime) -> tuple[datetime | None, bool]:
    """Shards that were seen empty beyond these places; returns the database's time and whether one has moved since."""
    epochs, milliseconds, sequences = zip(*seen.values(), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_STAMP, [settled_to, list(seen), list(epochs), list(milliseconds), list(sequences)])
        rows = cursor.fetchall()
    return (rows[0][0] if rows else None), len(rows) < len(seen)


def database_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
