"""The figures of the overview, all from stored sums: the log itself is never scanned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import Min

from observability.charts import BarChart, stacked_bars
from observability.day_sums import Wanted, dearest, sums_by_day
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


def summarize(organization_id: int, project_ids: Sequence[int], days: Sequence[date], zone: ZoneInfo) -> Overview:
    """Sums for the days. An hour counts to the day in which it begins in `zone`."""
    wanted = Wanted(organization_id, project_ids, days, zone)
    by_day = sums_by_day(wanted, by="model")
    figures = added_up([row.sums for row in by_day])
    charges = {(row.at, row.name): row.sums[CHARGE] for row in by_day}
    top_keys = tuple(TopKey(*found) for found in dearest(wanted, by="api_key_id", limit=MOST_KEYS))
    return Overview(figures, stacked_bars(days, charges), top_keys)


CHARGE: Final = SUMS.index("charge_nanos")


def figures_of(sums: Sequence[int]) -> Figures:
    """Figures from sums in the order of SUMS; zeros from none at all."""
    by_name = dict(zip(SUMS, sums or [0] * len(SUMS), strict=True))
    return Figures(charged_nanos=by_name.pop("charge_nanos"), **by_name)


def added_up(sums: Sequence[Sequence[int]]) -> Figures:
    return figures_of(tuple(map(sum, zip(*sums, strict=True))))


def first_request_at(organization_id: int) -> datetime | None:
    """The hour of the organization's first request, or None."""
    found = UsageHour.objects.filter(organization_id=organization_id).aggregate(first=Min("hour"))
    first: datetime | None = found["first"]
    return first
