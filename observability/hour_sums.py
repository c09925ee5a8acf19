"""Reads the hourly sums, added up by day or hour and by one of their dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

from django.db import connection

from observability.hours import SUMS

Dimension = Literal["model", "api_key_id", "project_id", "provider"]

_SUMMED: Final = ", ".join(f"sum({name})::bigint AS {name}" for name in SUMS)


@dataclass(frozen=True, slots=True)
class SumsRow:
    """`at` is a day, or the beginning of an hour in UTC; `sums` are in the order of SUMS."""

    at: date | datetime
    name: Any
    sums: tuple[int, ...]


def read_sums(
    organization_id: int,
    project_ids: Sequence[int],
    start: datetime,
    end: datetime,
    *,
    by: Dimension,
    days_of: ZoneInfo | None,
) -> list[SumsRow]:
    """From `start` up to `end`, by days of that time zone, or by hour for None. In the order of time and name.

    Hours first and days from those: so the many rows are added up as they lie, and only few are turned into days.
    """
    hours = (
        f"SELECT hour, {by} AS name, {_SUMMED} FROM observability_usagehour"  # noqa: S608 - parts are constants
        " WHERE organization_id = %(organization_id)s AND hour >= %(start)s AND hour < %(end)s"
        f" AND project_id = ANY(%(project_ids)s) GROUP BY hour, {by}"
    )
    at = "hour" if days_of is None else "(hour AT TIME ZONE %(zone)s)::date"
    sql = f"SELECT {at} AS at, name, {_SUMMED} FROM ({hours}) AS hours GROUP BY 1, 2 ORDER BY 1, 2"  # noqa: S608
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "project_ids": list(project_ids),
        "start": start,
        "end": end,
        "zone": str(days_of),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [SumsRow(row[0], row[1], tuple(int(value) for value in row[2:])) for row in cursor.fetchall()]
