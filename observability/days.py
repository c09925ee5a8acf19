"""Days that are added up once and read often: which they are, and how they stay exact.

A writer of hours holds a shared lock of its organizations until it commits, and marks the days that are already added
up and that it changes. Adding a day up takes that lock alone: it waits for the writers before it and sees what they
wrote, and those after it see its day and mark it. Only hours of long ago can belong to such a day, so nearly always
the lock is all that a writer needs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

ADDED_UP_AFTER: Final = timedelta(hours=4)  # how long ago a day ended
# Hours that begin later than this ago are of no day that is added up; clocks may differ by the rest of the time above.
FRESH: Final = timedelta(hours=2)

LOCK: Final = 0x646179  # of those who change the sums of an organization's days
_SLOTS: Final = 64  # few enough that a batch of many organizations fills no table of locks

_SHARE: Final = "SELECT pg_advisory_xact_lock_shared(%s, slot) FROM unnest(%s::int[]) AS slot"
# In the order of ids, so that no two writers wait for each other.
_MARK: Final = """
UPDATE observability_usageday SET stale = true WHERE id IN (
    SELECT day.id FROM observability_usageday day
      JOIN unnest(%s::bigint[], %s::timestamptz[]) AS late(organization_id, hour)
           ON day.organization_id = late.organization_id AND day.starts_at <= late.hour AND day.ends_at > late.hour
     WHERE NOT day.stale ORDER BY day.id FOR UPDATE OF day)
"""


class Cursor(Protocol):
    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...


def slot_of(organization_id: int) -> int:
    """The second half of its lock."""
    return organization_id % _SLOTS


def before_hours_change(cur: Cursor, hours: Collection[tuple[int, str]]) -> None:
    """`hours`: organizations and the beginnings of their hours, ISO in UTC. Comes before the first hour is written."""
    cur.execute(_SHARE, [LOCK, sorted({slot_of(organization_id) for organization_id, _ in hours})])
    fresh = (datetime.now(UTC) - FRESH).isoformat()
    late = sorted({one for one in hours if one[1] < fresh})
    if late:
        cur.execute(_MARK, [[one[0] for one in late], [one[1] for one in late]])


def bounds_of(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Its first moment and the first moment after it, in UTC."""
    return _midnight(day, zone), _midnight(day + timedelta(days=1), zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)


def days_from(moment: datetime, zone: ZoneInfo) -> Iterator[date]:
    """The day of that moment and all that follow."""
    day = moment.astimezone(zone).date()
    while True:
        yield day
        day += timedelta(days=1)
