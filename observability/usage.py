"""Sums of usage by time and by one of its dimensions, all from stored sums: the log itself is never read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.http import urlencode

from observability.charts import BarChart, stacked_bars
from observability.day_sums import Wanted, sums_by_day
from observability.hour_sums import Dimension, SumsRow, sums_by_hour
from observability.overview import CHARGE, Figures, added_up, figures_of

RANGES: Final = {"today": 1, "7d": 7, "30d": 30, "90d": 90}  # days, today included
MOST_DAYS: Final = 366
MOST_DAYS_BY_HOUR: Final = 3
DIMENSIONS: Final[dict[str, Dimension]] = {
    "model": "model",
    "key": "api_key_id",
    "project": "project_id",
    "provider": "provider",
}
Name = str | int
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """What the usage page shows, as it stands in its address. `last` is the last day that is shown."""

    first: date
    last: date
    range_name: str  # "" for days of the reader's own choice
    by: str = "model"
    project: int | None = None

    @property
    def by_hour(self) -> bool:
        return (self.last - self.first).days < MOST_DAYS_BY_HOUR

    def query(self, **changed: str) -> str:
        """The address's query string, with some values changed, defaults left out."""
        own = not self.range_name
        values = {
            "range": "" if own or self.range_name == "30d" else self.range_name,
            "from": self.first.isoformat() if own else "",
            "to": self.last.isoformat() if own else "",
            "by": self.by if self.by != "model" else "",
            "project": str(self.project or ""),
        } | changed
        return urlencode({name: value for name, value in values.items() if value})


def read_usage_filter(query: QueryDict, *, today: date) -> UsageFilter:
    """What makes no sense is ignored; days the wrong way round are turned, and of too many the last ones are shown."""
    by = query.get("by", "")
    project = query.get("project", "")
    is_id = project.isascii() and project.isdigit() and len(project) < 19
    first, last = _day(query.get("from", "")), _day(query.get("to", ""))
    name = ""
    if first is None and last is None:
        name = query.get("range", "") if query.get("range", "") in RANGES else "30d"
        first, last = today - timedelta(days=RANGES[name] - 1), today
    first, last = sorted((first or last or today, last or today))
    first = max(first, last - timedelta(days=MOST_DAYS - 1))
    return UsageFilter(first, last, name, by if by in DIMENSIONS else "model", int(project) if is_id else None)


def _day(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year <= 9000 else None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """Sums of one moment and one name, in the order of SUMS: `at` is a day, or the beginning of an hour in the
    organization's time zone."""

    at: date | datetime
    name: Name
    sums: tuple[int, ...]

    @property
    def figures(self) -> Figures:
        return figures_of(self.sums)


@dataclass(frozen=True, slots=True)
class Usage:
    rows: tuple[UsageRow, ...]
    moments: tuple[date | datetime, ...]  # all that are shown, those without any usage too

    @property
    def total(self) -> Figures:
        return added_up([row.sums for row in self.rows])

    def by_name(self) -> list[tuple[Name, Figures]]:
        """The dearest first."""
        found = _grouped((row.name, row.sums) for row in self.rows)
        return sorted(found.items(), key=lambda item: (-item[1].charged_nanos, -item[1].requests, str(item[0])))

    def by_moment(self) -> list[tuple[date | datetime, Figures]]:
        """The latest first; moments without usage are left out."""
        found = _grouped((row.at, row.sums) for row in self.rows)
        return sorted(found.items(), key=lambda item: item[0], reverse=True)

    def chart(self, labels: Mapping[Name, str]) -> BarChart:
        charges: dict[tuple[date, str], int] = {}
        for row in self.rows:
            place = (row.at, labels.get(row.name, str(row.name)))
            charges[place] = charges.get(place, 0) + row.sums[CHARGE]
        return stacked_bars(self.moments, charges)


def read_usage(organization_id: int, project_ids: Sequence[int], chosen: UsageFilter, zone: ZoneInfo) -> Usage:
    """Sums for the days of the filter. An hour counts to the day in which it begins in `zone`."""
    by = DIMENSIONS[chosen.by]
    if chosen.by_hour:
        start, end = (datetime.combine(day, time(), tzinfo=zone) for day in (chosen.first, _after(chosen.last)))
        found = sums_by_hour(organization_id, project_ids, start, end, by=by)
        return Usage(tuple(_row(one, zone) for one in found), tuple(_hours_between(start, end)))
    days = tuple(_days_between(chosen))
    found = sums_by_day(Wanted(organization_id, project_ids, days, zone), by=by)
    return Usage(tuple(_row(one, zone) for one in found), days)


def _after(day: date) -> date:
    return day + timedelta(days=1)


def _row(found: SumsRow, zone: ZoneInfo) -> UsageRow:
    at = found.at.astimezone(zone) if isinstance(found.at, datetime) else found.at
    return UsageRow(at, found.name, found.sums)


def _grouped(pairs: Iterable[tuple[Group, tuple[int, ...]]]) -> dict[Group, Figures]:
    found: dict[Group, list[tuple[int, ...]]] = {}
    for name, sums in pairs:
        found.setdefault(name, []).append(sums)
    return {name: added_up(many) for name, many in found.items()}


def _days_between(chosen: UsageFilter) -> Iterable[date]:
    return (chosen.first + timedelta(days=number) for number in range((chosen.last - chosen.first).days + 1))


def _hours_between(start: datetime, end: datetime) -> Iterable[datetime]:
    """Each hour that begins meanwhile, also where the clocks change or differ by half an hour from UTC."""
    moment = start.astimezone(UTC)
    if moment.minute:
        moment = moment.replace(minute=0) + timedelta(hours=1)
    while moment < end:
        yield moment.astimezone(start.tzinfo)
        moment += timedelta(hours=1)
