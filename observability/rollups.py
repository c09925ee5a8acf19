"""Adds up the hours of days that are over, so that pages over months read a few rows per day.

May be repeated, stopped and run twice at once: a day is added up in one short transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from itertools import takewhile
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db import DatabaseError, connection, transaction

from observability.days import ADDED_UP_AFTER, LOCK, bounds_of, days_from, slot_of
from observability.hours import SUMS
from observability.models import UsageDay

log = structlog.get_logger(__name__)

# Pages show days in the zone of the organization or of the reader.
_WANTED: Final = """
SELECT wanted.organization_id, wanted.zone,
       (SELECT min(day.starts_at) FROM observability_usageday day
         WHERE day.organization_id = wanted.organization_id AND day.zone = wanted.zone),
       (SELECT max(day.ends_at) FROM observability_usageday day
         WHERE day.organization_id = wanted.organization_id AND day.zone = wanted.zone),
       (SELECT min(hour) FROM observability_usagehour hours WHERE hours.organization_id = wanted.organization_id),
       (SELECT max(hour) FROM observability_usagehour hours WHERE hours.organization_id = wanted.organization_id)
  FROM (SELECT id AS organization_id, coalesce(nullif(timezone, ''), 'UTC') AS zone FROM accounts_organization
        UNION
        SELECT member.organization_id, reader.timezone FROM accounts_membership member
          JOIN accounts_user reader ON reader.id = member.user_id WHERE reader.timezone <> '') wanted
 ORDER BY 1, 2
"""
_DIMENSIONS: Final = "('model', model), ('provider', provider), ('api_key_id', api_key_id::text),"
_ADD_UP: Final = f"""
INSERT INTO observability_usagedaysum (day_id, dimension, project_id, name, {", ".join(SUMS)})
SELECT %(day_id)s, one.dimension, project_id, one.name, {", ".join(f"sum({name})" for name in SUMS)}
  FROM observability_usagehour CROSS JOIN LATERAL
       (VALUES {_DIMENSIONS} ('project_id', project_id::text)) AS one(dimension, name)
 WHERE organization_id = %(organization_id)s AND hour >= %(starts_at)s AND hour < %(ends_at)s
 GROUP BY one.dimension, project_id, one.name ORDER BY one.dimension, project_id, one.name
"""  # noqa: S608 - parts are constants


@dataclass(frozen=True, slots=True)
class _Wanted:
    """All days from `begun` up to `reached` are added up; None where there is nothing yet."""

    organization_id: int
    zone_name: str
    begun: datetime | None
    reached: datetime | None
    first_hour: datetime | None
    last_hour: datetime | None


def add_up_days(now: datetime) -> int:
    """Every day that is over and not added up yet, and those whose hours have changed since; how many these were.

    What fails is said and tried again the next time; until then pages read the hours.
    """
    done = sum(_tried(*stale) for stale in _stale())
    for one in _wanted():
        for day in _missing(one, now):
            if not _tried(one.organization_id, one.zone_name, day):
                break  # those that follow wait for it: a gap would stay one
            done += 1
    return done


def _tried(organization_id: int, zone_name: str, day: date) -> bool:
    try:
        add_up(organization_id, zone_name, day)
    except DatabaseError as error:
        log.error("usage_day_failed", organization_id=organization_id, error_class=type(error).__name__)
        return False
    return True


def add_up(organization_id: int, zone_name: str, day: date) -> None:
    """The sums of one day, in place of any before."""
    starts_at, ends_at = bounds_of(day, ZoneInfo(zone_name))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '3s'")
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [LOCK, slot_of(organization_id)])
        row, _made = UsageDay.objects.update_or_create(
            organization_id=organization_id,
            zone=zone_name,
            starts_at=starts_at,
            defaults={"ends_at": ends_at, "stale": False},
        )
        values: dict[str, Any] = {
            "day_id": row.pk,
            "organization_id": organization_id,
            "starts_at": starts_at,
            "ends_at": ends_at,
        }
        cursor.execute("DELETE FROM observability_usagedaysum WHERE day_id = %(day_id)s", values)
        cursor.execute(_ADD_UP, values)


def _wanted() -> list[_Wanted]:
    with connection.cursor() as cursor:
        cursor.execute(_WANTED)
        return [_Wanted(*row) for row in cursor.fetchall()]


def _missing(one: _Wanted, now: datetime) -> Iterator[date]:
    """Days that are over and have no sums, each beside one that has: what fails leaves no gap."""
    zone = _zone(one.zone_name)
    if zone is None or one.first_hour is None or one.last_hour is None:
        return
    begun = one.begun or one.first_hour
    if one.first_hour < begun:  # a request of before the first day came late
        days = takewhile(lambda day: bounds_of(day, zone)[0] < begun, days_from(one.first_hour, zone))
        yield from reversed(list(days))
    for day in days_from(one.reached or one.first_hour, zone):
        starts_at, ends_at = bounds_of(day, zone)
        if starts_at > one.last_hour or ends_at > now - ADDED_UP_AFTER:
            return
        yield day


def _stale() -> list[tuple[int, str, date]]:
    found = UsageDay.objects.filter(stale=True).order_by("id").values_list("organization_id", "zone", "starts_at")
    return [(one, zone, starts_at.astimezone(ZoneInfo(zone)).date()) for one, zone, starts_at in found]


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return None
