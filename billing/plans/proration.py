"""What the unused part of a period is worth when a plan is left before the period's end. Pure; a published formula.

by time      = price x time left / length of the period
by allowance = price x allowance left / allowance of the period
credit       = the smaller of the two, never below zero, rounded down to a nano-dollar
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Unused:
    """The figures of the formula. Amounts in nano-USD."""

    price_nanos: int
    allowance_nanos: int
    used_nanos: int
    length_s: int
    left_s: int

    @property
    def allowance_left_nanos(self) -> int:
        return min(self.allowance_nanos, max(0, self.allowance_nanos - self.used_nanos))

    @property
    def by_time_nanos(self) -> int:
        return _share(self.price_nanos, self.left_s, self.length_s)

    @property
    def by_allowance_nanos(self) -> int:
        return _share(self.price_nanos, self.allowance_left_nanos, self.allowance_nanos)

    @property
    def credit_nanos(self) -> int:
        return min(self.by_time_nanos, self.by_allowance_nanos)


def unused(
    *, price_nanos: int, allowance_nanos: int, used_nanos: int, starts_at: datetime, ends_at: datetime, now: datetime
) -> Unused:
    """Of the period from `starts_at` to `ends_at` as it was sold, left at `now`."""
    length_s = max(0, (ends_at - starts_at) // _SECOND)
    left_s = min(length_s, max(0, (ends_at - now) // _SECOND))
    return Unused(price_nanos, allowance_nanos, used_nanos, length_s, left_s)


def _share(price: int, part: int, whole: int) -> int:
    """Zero of nothing; never more than the price."""
    if whole <= 0 or part <= 0:
        return 0
    return price * min(part, whole) // whole
