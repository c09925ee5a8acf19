"""The figures of the overview, all from the hourly sums: the log itself is never scanned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Min, QuerySet, Sum

from observability.charts import BarChart, stacked_bars
from observability.hour_sums import read_sums
from observability.hours import SUMS
from observability.models import UsageHour

RANGES: Final = {"today": 1, "7d": 7, "30d": 30}  # days, today included
MOST_KEYS: Final = 5


@dataclass(frozen=True, slots=True)
class Figures:
    charged_nanos: int = 0
    requests: int = 0
    answered: int = 0
    failed_over: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    first_token_ms_sum: int = 0
    first_token_count: int = 0

    @property
    def answered_percent(self) -> str:
        """Rounded down to two places, so that 100% means all."""
        hundredths = self.answered * 10_000 // self.requests if self.requests else 0
        return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")

    @property
    def first_token_ms(self) -> int | None:
        return self.first_token_ms_sum // self.first_token_count if self.first_token_count else None

    @property
    def failed_percent(self) -> str:
        """Of requests that were not answered, whatever the reason; rounded up to two places, so that 0% means none."""
        hundredths = -((self.answered - self.requests) * 10_000 // self.requests) if self.requests else 0
        return f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")

    @property
    def cached_percent(self) -> int:
        return self.cache_read_tokens * 100 // self.input_tokens if self.input_tokens else 0


@dataclass(frozen=True, slots=True)
class TopKey:
    api_key_id: int
    charged_nanos: int
    requests: int


@dataclass(frozen=True, slots=True)
class Overview:
    figures: Figures
    chart: BarChart
    top_keys: tuple[TopKey, ...]


def days_of(range_name: str, *, now: datetime, zone: ZoneInfo) -> list[date]:
    """The days of a range in the user's time zone, oldest first, today last."""
    today = now.astimezone(zone).date()
    count = RANGES[range_name]
    return [today - timedelta(days=ago) for ago in range(count - 1, -1, -1)]


def hours_since(organization_id: int, project_ids: Sequence[int], start: datetime) -> QuerySet[UsageHour]:
    return UsageHour.objects.filter(organization_id=organization_id, project_id__in=project_ids, hour__gte=start)


def summarize(organization_id: int, project_ids: Sequence[int], days: Sequence[date], zone: ZoneInfo) -> Overview:
    """Sums for the days. An hour counts to the day in which it begins in `zone`."""
    start, end = (datetime.combine(day, time(), tzinfo=zone) for day in (days[0], days[-1] + timedelta(days=1)))
    by_day = read_sums(organization_id, project_ids, start, end, by="model", days_of=zone)
    figures = figures_of(tuple(map(sum, zip(*(row.sums for row in by_day), strict=True))))
    charges = {(row.at, row.name): row.sums[_CHARGE] for row in by_day}
    return Overview(figures, stacked_bars(days, charges), _top_keys(hours_since(organization_id, project_ids, start)))


_CHARGE: Final = SUMS.index("charge_nanos")


def figures_of(sums: Sequence[int]) -> Figures:
    """Figures from sums in the order of SUMS; zeros from none at all."""
    by_name = dict(zip(SUMS, sums or [0] * len(SUMS), strict=True))
    return Figures(charged_nanos=by_name.pop("charge_nanos"), **by_name)


def _top_keys(hours: QuerySet[UsageHour]) -> tuple[TopKey, ...]:
    rows = (
        hours.values("api_key_id")
        .annotate(charged=Sum("charge_nanos"), number=Sum("requests"))
        .order_by("-charged", "-number", "api_key_id")[:MOST_KEYS]
    )
    return tuple(TopKey(row["api_key_id"], row["charged"], row["number"]) for row in rows)


def first_request_at(organization_id: int) -> datetime | None:
    """The hour of the organization's first request, or None."""
    found = UsageHour.objects.filter(organization_id=organization_id).aggregate(first=Min("hour"))
    first: datetime | None = found["first"]
    return first


def charged_so_far(organization_id: int) -> int:
    """All charges of the organization, in nanos."""
    found = UsageHour.objects.filter(organization_id=organization_id).aggregate(total=Sum("charge_nanos"))
    return found["total"] or 0
