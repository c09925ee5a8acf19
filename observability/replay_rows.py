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
_FEW: Final = 60  # with fewer, parts of an hour might be empty
_GOLDEN: Final = 0.618  # its multiples spread evenly
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
    """`read` of `total` requests of the time; `rows` are those of them that were sent to somebody."""

    rows: list[Routed]
    read: int
    total: int


def read_routed(organization_id: int, project_id: int, *, since: datetime, until: datetime, most: int) -> Sample:
    """At most about `most` requests, spread over the time as the traffic was."""
    parts = _parts(organization_id, project_id, since, until, most)
    if not parts.most:
        return Sample([], 0, 0)
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
    return Sample([one for one in found if one.attempts], len(found), max(parts.total, len(found)))


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
    share, taken = min(1.0, most / total) if total else 1.0, 0
    due = 0.0  # fractions are carried on, so that quiet hours count no more than they should
    for place, (hour, number) in enumerate(counted):
        whole = share == 1 or number < _FEW
        spans = [(hour, hour + _HOUR)] if whole else _spans(hour, place)
        for low, high in spans:
            due += number * share / len(spans)
            wanted = round(due) - taken
            if wanted:
                taken += wanted
                parts.lows.append(first_id_at(low))
                parts.highs.append(first_id_at(high))
                parts.most.append(wanted)
    return parts


def _spans(hour: datetime, place: int) -> list[tuple[datetime, datetime]]:
    """Parts of an hour that begin at other minutes in each: what is read is the beginning of each part, and what is
    sent by a clock comes at the same minutes of every hour."""
    first, part, end = place * _GOLDEN % 1, _HOUR / _PARTS, hour + _HOUR
    begins = [hour + part * (number + first) for number in range(_PARTS)]
    return list(zip(begins, [*begins[1:], end], strict=True))


def _routed(row: tuple[Any, ...]) -> Routed:
    model, provider, charge, first, duration, text = row
    trace = orjson.loads(text) if text else None
    return Routed(model, provider, charge, first, duration, attempts_in(trace), decision_in(trace))
