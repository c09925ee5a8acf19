"""The log's partitions: made ahead, dropped by retention.

A request's id is a UUIDv7, so the log in order of ids is the log in order of time, and a bound is the lowest id of a
moment. Each function is one short transaction per table and may run twice, and at the same time as itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import DatabaseError, connection, transaction
from psycopg import sql

log = structlog.get_logger(__name__)

TABLE: Final = "observability_requestlog"
OTHERS: Final = f"{TABLE}_other"  # what no other partition takes
LENGTH: Final = timedelta(days=7)
AHEAD: Final = timedelta(days=14)
_BOUND: Final = re.compile(r"FOR VALUES FROM \((MINVALUE|'[0-9a-f-]{36}')\) TO \('([0-9a-f-]{36})'\)")
_LAST_MS: Final = 253_402_214_400_000  # the last day of the year 9999
_LOCK: Final = 0x6C6F67  # of whoever makes or drops partitions


@dataclass(frozen=True, slots=True)
class Partition:
    """`end` is the first moment after it."""

    name: str
    end: datetime


def first_id_at(moment: datetime) -> UUID:
    """The lowest UUIDv7 of that moment."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def moment_of(id_: UUID) -> datetime:
    """The time in a UUIDv7, to the millisecond; the end of all times for what says that it is later."""
    return datetime.fromtimestamp(min(id_.int >> 80, _LAST_MS) / 1000, UTC)


def is_partitioned() -> bool:
    """False in the middle of the migrations alone."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(%s)", [TABLE])
        row = cursor.fetchone()
    return row is not None and bool(row[0])


def existing() -> list[Partition]:
    """All but the one for others, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i"
            " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass",
            [TABLE],
        )
        found = [(name, _BOUND.fullmatch(bound)) for name, bound in cursor.fetchall()]
    known = [Partition(name, moment_of(UUID(bound[2]))) for name, bound in found if bound]
    return sorted(known, key=lambda partition: partition.end)


def make_ahead(now: datetime, *, since: datetime | None = None) -> list[str]:
    """Partitions until AHEAD of now, where there are none from `since` on; the names of those that were made."""
    made = []
    known = existing()
    start = known[-1].end if known else (since or now).replace(hour=0, minute=0, second=0, microsecond=0)
    while start <= now + AHEAD:
        end = start + LENGTH
        made.append(_make(start, end))
        start = end
    return made


def drop_before(moment: datetime) -> list[str]:
    """Drop the partitions whose every row is older; the names of those that were dropped."""
    old = [partition.name for partition in existing() if partition.end <= moment]
    for name in old:
        with transaction.atomic(), connection.cursor() as cursor:
            _begin(cursor)
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {OTHERS} WHERE id < %s", [first_id_at(moment)])  # noqa: S608 - a constant
    return old


def strays() -> int:
    """How many rows lie where no partition is: of a clock that is wrong, or of partitions that were made too late."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM (SELECT FROM {OTHERS} LIMIT 1000) few")  # noqa: S608 - a constant
        return int(cursor.fetchone()[0])


def maintain(now: datetime, keep: timedelta) -> None:
    """What the daily job does. Whatever fails is said and tried again the next time; inserts never fail meanwhile."""
    steps: tuple[Callable[[], list[str]], ...] = (partial(make_ahead, now), partial(drop_before, now - keep))
    for step in steps:
        try:
            changed = step()
        except DatabaseError as error:
            log.error("log_partitions_failed", error_class=type(error).__name__)
        else:
            if changed:
                log.info("log_partitions_changed", names=changed)
    if found := strays():
        log.warning("log_rows_outside_partitions", rows=found)


def _make(start: datetime, end: datetime) -> str:
    """A table beside the log first, with what waits for it among the others, then attached: no reader has to wait."""
    name = f"{TABLE}_{start:%Y%m%d}"
    low, high = str(first_id_at(start)), str(first_id_at(end))
    with transaction.atomic(), connection.cursor() as cursor:
        _begin(cursor)
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone()[0]:
            return name
        cursor.execute(f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING ALL)")
        cursor.execute(
            f"WITH moved AS (DELETE FROM {OTHERS} WHERE id >= %s AND id < %s RETURNING *)"  # noqa: S608 - constants
            f" INSERT INTO {name} SELECT * FROM moved",
            [low, high],
        )
        cursor.execute(f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{low}') TO ('{high}')")
    return name


def _begin(cursor: Any) -> None:
    cursor.execute("SET LOCAL lock_timeout = '3s'")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
