"""Reads rows of the log by index, whatever the filters and however long the log is.

The log is indexed by project and by key, each in the order of ids, which is that of time. Models and providers have no
index there: the hourly sums know in which hours there are how many rows of which, so that only those hours are looked
through, and only as many as fill the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from observability.models import RequestLog, UsageHour
from observability.partitions import first_id_at, moment_of

LOWEST: Final = UUID(int=0)
HIGHEST: Final = UUID(int=2**128 - 1)
_HOUR: Final = timedelta(hours=1)
_MARGIN: Final = timedelta(seconds=2)  # a request's id and its time are made one after the other
_MOST_CUT: Final = 4
# A list of rows shows nothing of their traces, which are larger than all else together; one that is asked for is read.
_COLUMNS: Final = ", ".join(str(one.column) for one in RequestLog._meta.concrete_fields if one.name != "trace")
_TROUBLE: Final = ("client_left", "failed", "refused")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows. Empty means any; `low` is the first id, `high` the first beyond the last."""

    organization_id: int
    project_ids: Sequence[int]
    key: int | None = None
    models: Sequence[str] | None = None
    provider: str = ""
    result: str = ""  # an outcome, or "failover"
    status: int | None = None  # of an error: 400 or more
    low: UUID = LOWEST
    high: UUID = HIGHEST

    @property
    def needs_hours(self) -> bool:
        """Whether they may be few among many: an index knows what went wrong, and that is seldom much."""
        if self.result in _TROUBLE or self.result == "failover" or self.status is not None:
            return False
        return self.models is not None or bool(self.provider)


Range = tuple[UUID, UUID]


def read_rows(wanted: Wanted, *, limit: int, newest_first: bool = True) -> list[RequestLog]:
    """At most `limit` rows from that end."""
    if not wanted.project_ids or wanted.models == []:
        return []
    ranges = _hours_of(wanted, limit, newest_first) if wanted.needs_hours else [(wanted.low, wanted.high)]
    if not ranges:
        return []
    sql, values = _statement(wanted, ranges, limit, newest_first)
    return list(RequestLog.objects.raw(sql, values))


def _statement(wanted: Wanted, ranges: Sequence[Range], limit: int, newest_first: bool) -> tuple[str, dict[str, Any]]:
    """One look into the index per project, or into that of the key; and per range, where there are many.

    One range is a constant: so partitions are left out beforehand, and the order of the index is kept. Many are looked
    into one after the other; with constants as well the planner takes them for so small that it reads everybody's rows.
    """
    conditions, values = _conditions(wanted)
    owner = "api_key_id" if wanted.key else "project_id"
    order = "DESC" if newest_first else "ASC"
    values |= {
        "owners": [wanted.key] if wanted.key else list(wanted.project_ids),
        "limit": limit,
    }
    conditions.append(f"{owner} = owner.id")
    if len(ranges) == 1:
        spans, [(values["low"], values["high"])] = "", ranges
        conditions.append("id >= %(low)s AND id < %(high)s")
    else:
        values |= {"lows": [low for low, _ in ranges], "highs": [high for _, high in ranges]}
        spans = " CROSS JOIN unnest(%(lows)s::uuid[], %(highs)s::uuid[]) AS span(low, high)"
        conditions.append("id >= span.low AND id < span.high")
    sql = (
        f"SELECT found.* FROM unnest(%(owners)s::bigint[]) AS owner(id){spans}"  # noqa: S608 - parts are constants
        f" CROSS JOIN LATERAL (SELECT {_COLUMNS} FROM {RequestLog._meta.db_table} WHERE {' AND '.join(conditions)}"
        f" ORDER BY id {order} LIMIT %(limit)s) found ORDER BY found.id {order} LIMIT %(limit)s"
    )
    return sql, values


def _conditions(wanted: Wanted) -> tuple[list[str], dict[str, Any]]:
    conditions = ["organization_id = %(organization_id)s"]
    values: dict[str, Any] = {"organization_id": wanted.organization_id}
    if wanted.key:
        conditions.append("project_id = ANY(%(project_ids)s)")
        values["project_ids"] = list(wanted.project_ids)
    if wanted.models is not None:
        conditions.append("model = ANY(%(models)s)")
        values["models"] = list(wanted.models)
    if wanted.provider:
        conditions.append("provider = %(provider)s")
        values["provider"] = wanted.provider
    if wanted.result == "failover":
        conditions.append("attempt_count > 1 AND outcome = 'answered'")
    elif wanted.result:
        conditions.append("outcome = %(outcome)s")
        values["outcome"] = wanted.result
    if wanted.result in _TROUBLE:  # word for word as the index says it
        conditions.append("outcome IN ('client_left', 'failed', 'refused')")
    if wanted.status is not None:
        conditions.append("status = %(status)s AND status >= 400")
        values["status"] = wanted.status
    return conditions, values


def _hours_of(wanted: Wanted, limit: int, newest_first: bool) -> list[Range]:
    """The spans of ids that hold the first `limit` rows: whole hours, neighbours as one."""
    number = "answered" if wanted.result == "answered" else "requests"
    hours = _narrowed(wanted).values("hour").annotate(number=Sum(number)).filter(number__gt=0)
    chosen, counted = [], 0
    for row in hours.order_by("-hour" if newest_first else "hour")[: limit + _MOST_CUT]:
        chosen.append(row["hour"])
        # Of an hour in which the page begins or ends nobody knows how many rows count.
        counted += 0 if _is_cut(row["hour"], wanted) else row["number"]
        if counted >= limit:
            break
    return _clipped(_joined(sorted(chosen)), wanted)


def _narrowed(wanted: Wanted) -> QuerySet[UsageHour]:
    first, last = _moment(wanted.low), _moment(wanted.high)
    conditions = Q(organization_id=wanted.organization_id, project_id__in=wanted.project_ids)
    if first is not None:
        conditions &= Q(hour__gt=first - _HOUR - _MARGIN)
    if last is not None:
        conditions &= Q(hour__lte=last + _MARGIN)
    if wanted.key:
        conditions &= Q(api_key_id=wanted.key)
    if wanted.models is not None:
        conditions &= Q(model__in=wanted.models)
    if wanted.provider:
        conditions &= Q(provider=wanted.provider)
    return UsageHour.objects.filter(conditions)


def _moment(id_: UUID) -> datetime | None:
    return None if id_ in (LOWEST, HIGHEST) else moment_of(id_)


def _is_cut(hour: datetime, wanted: Wanted) -> bool:
    first, last = first_id_at(hour - _MARGIN), first_id_at(hour + _HOUR + _MARGIN)
    return first < wanted.low or last > wanted.high


def _joined(hours: Iterable[datetime]) -> list[tuple[datetime, datetime]]:
    spans: list[tuple[datetime, datetime]] = []
    for hour in hours:
        start, end = hour - _MARGIN, hour.astimezone(UTC) + _HOUR + _MARGIN
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


def _clipped(spans: Sequence[tuple[datetime, datetime]], wanted: Wanted) -> list[Range]:
    ids = [(max(first_id_at(start), wanted.low), min(first_id_at(end), wanted.high)) for start, end in spans]
    return [(low, high) for low, high in ids if low < high]
