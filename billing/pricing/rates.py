"""Price cards: which one applies, and which rate of it a bucket pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

STANDARD = "standard"

# Where a card has no rate for a bucket, the next name is looked up; at the end a bucket is free or the card is invalid.
_RATE_KEYS: Mapping[str, tuple[str, ...]] = {
    "input": ("input",),
    "input_audio": ("input_audio", "input"),
    "cache_read": ("cache_read", "input"),
    "cache_read_audio": ("cache_read_audio", "cache_read", "input"),
    "cache_write": ("cache_write", "input"),
    "cache_write_long": ("cache_write_long", "cache_write", "input"),
    "output": ("output",),
    "reasoning": ("reasoning", "output"),
    "output_audio": ("output_audio", "output"),
    "output_image": ("output_image", "output"),
    "web_search": ("web_search_per_1k",),
    "request": ("request_per_1k",),
}
_FREE_WITHOUT_RATE = frozenset({"web_search", "request"})


class InvalidRateCard(ValueError):
    """The card lacks a rate that it must have, or a rate is not a non-negative number."""


class NoRateCard(LookupError):
    """No standard card is live for this prompt size."""


@dataclass(frozen=True, slots=True)
class RateCard:
    """A complete set of rates under conditions.

    `rates` are in the deployment's currency per million tokens, `…_per_1k` keys per thousand calls. `valid_from` and
    `valid_until` are aware and half open, None for open. `schedule` is the catalogue's shape: timezone, windows of
    "HH:MM" pairs, ISO weekdays, the name of a holiday calendar on whose dates it does not apply.
    """

    id: int | None
    tier: str
    valid_from: datetime | None
    valid_until: datetime | None
    min_prompt_tokens: int
    schedule: Mapping[str, Any] | None = field(hash=False)
    rates: Mapping[str, Decimal] = field(hash=False)

    def is_dated(self, at: datetime) -> bool:
        """Whether `at` lies within the card's dates, whatever its schedule says."""
        return (self.valid_from is None or self.valid_from <= at) and (
            self.valid_until is None or at < self.valid_until
        )


def rate_of(card: RateCard, bucket: str) -> Decimal:
    """The rate that `bucket` pays on this card, fallbacks included. Raises InvalidRateCard."""
    for key in _RATE_KEYS[bucket]:
        rate = card.rates.get(key)
        if rate is None:
            continue
        if not rate.is_finite() or rate < 0:
            raise InvalidRateCard(f"rate {key} of price card {card.id} is not a non-negative number")
        return rate
    if bucket in _FREE_WITHOUT_RATE:
        return Decimal(0)
    raise InvalidRateCard(f"price card {card.id} has no rate for {bucket}")


def choose_card(
    cards: Iterable[RateCard],
    *,
    at: datetime,
    tier: str,
    prompt_size: int,
    holidays: Mapping[str, frozenset[date]] = {},
) -> RateCard | None:
    """The one card a request pays: of its tier, live at `at`; a live schedule beats none, then the longest length step.

    `at` is the moment of completion, aware. A tier without a live card pays the standard one. None if there is none.
    """
    live = [c for c in cards if c.min_prompt_tokens <= prompt_size and c.is_dated(at) and _in_schedule(c, at, holidays)]
    of_tier = [c for c in live if c.tier == tier] or [c for c in live if c.tier == STANDARD]
    return max(of_tier, key=_rank, default=None)


def _rank(card: RateCard) -> tuple[bool, int, datetime]:
    # The newest start decides between two cards that should not overlap at all.
    return (card.schedule is not None, card.min_prompt_tokens, card.valid_from or datetime.min.replace(tzinfo=UTC))


def _in_schedule(card: RateCard, at: datetime, holidays: Mapping[str, frozenset[date]]) -> bool:
    if card.schedule is None:
        return True
    local = at.astimezone(_zone(card.schedule.get("timezone") or "UTC"))
    return any(_in_window(local, window, card.schedule, holidays) for window in card.schedule.get("windows", ()))


def _in_window(
    local: datetime, window: Iterable[str], schedule: Mapping[str, Any], holidays: Mapping[str, frozenset[date]]
) -> bool:
    start, end = (_minute_of_day(edge) for edge in window)
    minute = local.hour * 60 + local.minute
    if end > start:
        return start <= minute < end and _is_working_day(local.date(), schedule, holidays)
    # The window passes midnight: its small hours belong to the day on which it began.
    if minute >= start:
        return _is_working_day(local.date(), schedule, holidays)
    return minute < end and _is_working_day(local.date() - timedelta(days=1), schedule, holidays)


def _is_working_day(day: date, schedule: Mapping[str, Any], holidays: Mapping[str, frozenset[date]]) -> bool:
    weekdays = schedule.get("weekdays")
    if weekdays is not None and day.isoweekday() not in weekdays:
        return False
    calendar = schedule.get("except_holidays")
    return calendar is None or day not in holidays.get(calendar, frozenset())


def _minute_of_day(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)
