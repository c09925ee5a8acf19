"""Reads sums by day: from days that are added up, and from the hours of all other days.

One statement, so one view of the database: a day comes from the one or the other, and is whole either way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection

from observability.days import bounds_of
from observability.hour_sums import SUMMED, Dimension, SumsRow
from observability.hours import SUMS

_COLUMNS: Final = ", ".join(SUMS)
_FOUND: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT wanted.day, added.id FROM unnest(%(days)s::date[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
               AS wanted(day, starts_at, ends_at)
      JOIN observability_usageday added ON added.organization_id = %(organization_id)s AND added.zone = %(zone)s
           AND added.starts_at = wanted.starts_at AND added.ends_at = wanted.ends_at AND NOT added.stale
), found AS (
    SELECT wanted.day, sums.name, {_COLUMNS} FROM wanted JOIN observability_usagedaysum sums ON sums.day_id = wanted.id
     WHERE sums.dimension = %(by)s AND sums.project_id = ANY(%(project_ids)s)
    UNION ALL
    SELECT open.day, hours.* FROM unnest(%(days)s::date[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
               AS open(day, starts_at, ends_at) CROSS JOIN LATERAL (
           SELECT {{by}}::text AS name, {SUMMED} FROM observability_usagehour
            WHERE organization_id = %(organization_id)s AND project_id = ANY(%(project_ids)s)
              AND hour >= open.starts_at AND hour < open.ends_at
            GROUP BY {{by}}) hours
     WHERE open.day NOT IN (SELECT day FROM wanted)
)
"""  # noqa: S608 - parts are constants
_BY_DAY: Final = f"{_FOUND} SELECT day, name, {SUMMED} FROM found GROUP BY 1, 2 ORDER BY 1, 2"  # noqa: S608
_DEAREST: Final = f"""{_FOUND}
SELECT name, sum(charge_nanos)::bigint, sum(requests)::bigint FROM found
 GROUP BY name ORDER BY 2 DESC, 3 DESC, name LIMIT %(limit)s
"""  # noqa: S608 - parts are constants
_NUMBERS: Final = ("api_key_id", "project_id")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Days of a time zone; an hour counts to the day in which it begins."""

    organization_id: int
    project_ids: Sequence[int]
    days: Sequence[date]
    zone: ZoneInfo

    def values(self, by: Dimension) -> dict[str, Any]:
        bounds = [bounds_of(day, self.zone) for day in self.days]
        return {
            "organization_id": self.organization_id,
            "project_ids": list(self.project_ids),
            "zone": str(self.zone),
            "by": by,
            "days": list(self.days),
            "starts": [start for start, _ in bounds],
            "ends": [end for _, end in bounds],
        }


def sums_by_day(wanted: Wanted, *, by: Dimension) -> list[SumsRow]:
    """In the order of time and name; a day and name without usage has no row."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_DAY.format(by=by), wanted.values(by))
        return [SumsRow(row[0], _name(row[1], by), row[2:]) for row in cursor.fetchall()]


def dearest(wanted: Wanted, *, by: Dimension, limit: int) -> list[tuple[Any, int, int]]:
    """Names with their charges in nanos and their requests, the dearest first."""
    with connection.cursor() as cursor:
        cursor.execute(_DEAREST.format(by=by), {**wanted.values(by), "limit": limit})
        return [(_name(name, by), charged, number) for name, charged, number in cursor.fetchall()]


def _name(text: str, by: Dimension) -> str | int:
    return int(text) if by in _NUMBERS else text
