"""The worker's side of the journal: events into PostgreSQL in batches, and holds that nobody came back for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from redis import Redis

from billing.holds import sweep
from billing.models.usage import UnsettledEvent
from gateway.journal import FIELD, STREAM
from gateway.journal_event import JournalEvent
from gateway.settler import settle_events

BATCH = 500
LOCK = 0x52314A4F  # one drain at a time; an advisory lock that ends with its transaction
SWEEP_MARGIN = timedelta(minutes=2)

log = structlog.get_logger(__name__)
Entry = tuple[bytes, dict[bytes, bytes]]


def drain(redis: Redis, *, batches: int = 200) -> int:
    """Settle what the journal holds; returns how many entries were taken. Safe to run twice and to be killed."""
    done = 0
    for _ in range(batches):
        entries: list[Entry] = redis.xrange(STREAM, count=BATCH)  # type: ignore[assignment]
        if not entries or not _settle_locked(entries):
            break
        redis.xdel(STREAM, *[entry_id for entry_id, _ in entries])
        done += len(entries)
    return done


def _settle_locked(entries: list[Entry]) -> bool:
    """False when another worker is at it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK])
            if not cursor.fetchone()[0]:
                return False
        _settle(entries)
    return True


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
        event = orjson.loads(raw)
        event_id = event["request"]["id"]
    except (ValueError, KeyError, TypeError):
        # Not one of ours: nothing of it is kept, for nobody knows what it holds.
        log.error("journal_entry_unreadable", size=len(raw))
        return
    UnsettledEvent.objects.get_or_create(id=event_id, defaults={"event": event, "error_class": type(error).__name__})
    log.error("event_unsettled", request_id=str(event_id), error_class=type(error).__name__)


def sweep_expired(redis: Redis) -> int:
    """Give back holds whose request ended without a word; returns how many.

    Only those that expired before the oldest event still in the journal: the event of a later one may be in there.
    """
    before = datetime.now(UTC) - SWEEP_MARGIN
    oldest: list[Entry] = redis.xrange(STREAM, count=1)  # type: ignore[assignment]
    if oldest:
        before = min(before, datetime.fromtimestamp(int(oldest[0][0].split(b"-")[0]) / 1000, UTC))
    with transaction.atomic(), connection.cursor() as cursor:
        return sweep(cursor, before=before)
