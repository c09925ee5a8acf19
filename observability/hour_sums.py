"""Reads the hourly sums, added up by hour and by one of their dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

from django.db import connection

from observability.hours import SUMS

Dimension = Literal["model", "api_key_id", "project_id", "provider"]

SUMMED: Final = ", ".join(f"sum({name})::bigint AS {name}" for name in SUMS)


@dataclass(frozen=True, slots=True)
class SumsRow:
    """`at` is a day, or the beginning of an hour in UTC; `sums` are in the order of SUMS."""

    at: date | datetime
    name: Any
    sums: tuple[int, ...]


def sums_by_hour(
    organization_id: int, project_ids: Sequence[int], start: datetime, end: datetime, *, by: Dimension
) -> list[SumsRow]:
    """From `start` up to `end`, in the order of time and name."""
    sql = (
        f"SELECT hour, {by} AS name, {SUMMED} FROM observability_usagehour"  # noqa: S608 - parts are constants
        " WHERE organization_id = %(organization_id)s AND hour >= %(start)s AND hour < %(end)s"
        f" AND project_id = ANY(%(project_ids)s) GROUP BY hour, {by} ORDER BY 1, 2"
    )
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "project_ids": list(project_ids),
        "start": start,
        "end": end,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return [SumsRow(row[0], row[1], row[2:]) for row in cursor.fetchall()]
