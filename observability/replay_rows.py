"""Reads a project's requests of the last days with the reasons of their routes; evenly, where they are too many.

The hourly sums say how many there are; each part of an hour then gives as many as its share, from the index of the
project's log.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from django.db import connection
from django.db.models import Sum

from observability.decision import Decision, decision_in
from observability.models import UsageHour
from observability.partitions import first_id_at
from observability.records import AttemptRecord, attempts_in

_HOUR: Final = timedelta(hours=1)
_PARTS: Final = 6  # of an hour
_READ: Final = """
SELECT found.* FROM unnest(%(lows)s::uuid[], %(highs)s::uuid[], %(most)s::int[]) AS part(low, high, most)
 CROSS JOIN LATERAL (
       SELECT model, provider, charge_nanos, first_token_ms, duration_ms, trace::text FROM observability_requestlog
        WHERE project_id = %(project_id)s AND organization_id = %(organization_id)s
          AND id >= part.low AND id < part.high AND id >= %(low)s AND id < %(high)s
        ORDER BY id LIMIT part.most) found
"""


class Routed(NamedTuple):
    """A request that was sent to somebody, and what was decided about it."""

    model: str
    provider: str
    charge_nanos: int
    first_token_ms: int | None
    duration_ms: int
    attempts: list[AttemptRecord]
    decision: Decision


class Sample(NamedTuple):
    """`total`: how many requests of the time reached a provider or might have, those not read included."""

    rows: list[Routed]
    total: int


def read_routed(organization_id: int, project_id: int, *, since: datetime, until: datetime, most: int) -> Sample:
    """At most about `most` requests, spread over the time as the traffic was."""
    parts = _parts(organization_id, project_id, since, until, most)
    if not parts.most:
        return Sample([], 0)
    values: dict[str, Any] = {
        "organization_id": organization_id,
        "project_id": project_id,
        "low": first_id_at(since),
        "high": first_id_at(until),
        "lows": parts.lows,
        "highs": parts.highs,
        "most": parts.most,
    }
    with connection.cursor() as cursor:
        cursor.execute(_READ, values)
        found = [_routed(row) for row in cursor.fetchall()]
    return Sample([one for one in found if one.attempts], max(parts.total, len(found)))


class _Parts(NamedTuple):
    lows: list[Any]
    highs: list[Any]
    most: list[int]
    total: int


def _parts(organization_id: int, project_id: int, since: datetime, until: datetime, most: int) -> _Parts:
    hours = (
        UsageHour.objects.filter(organization_id=organization_id, project_id=project_id)
        .filter(hour__gt=since - _HOUR, hour__lt=until)
        .values_list("hour")
        .annotate(number=Sum("requests"))
        .order_by("hour")
    )
    counted = [(hour.astimezone(UTC), number) for hour, number in hours if number]
    total = sum(number for _, number in counted)
    parts = _Parts([], [], [], total)
    for hour, number in counted:
        pieces = 1 if total <= most else _PARTS
        share = number if total <= most else max(1, round(number * most / total / pieces))
        for piece in range(pieces):
            parts.lows.append(first_id_at(hour + _HOUR * piece / pieces))
            parts.highs.append(first_id_at(hour + _HOUR * (piece + 1) / pieces))
            parts.most.append(share)
    return parts


def _routed(row: tuple[Any, ...]) -> Routed:
    model, provider, charge, first, duration, text = row
    trace = orjson.loads(text) if text else None
    return Routed(model, provider, charge, first, duration, attempts_in(trace), decision_in(trace))
