"""The worked example of the docs page about plans and charges: its figures; the published formula does the rest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing.plans.proration import Unused, unused
from billing.pricing.money import NANOS_PER_USD

_PAID = datetime(2026, 12, 1, tzinfo=UTC)
_LEFT = _PAID + timedelta(days=12)


@dataclass(frozen=True, slots=True)
class Example:
    """Pro, left for Max after 12 of 30 days with 18 of 25 dollars spent. Amounts in nano-USD."""

    unused: Unused
    used_nanos: int
    next_price_nanos: int

    @property
    def due_nanos(self) -> int:
        return self.next_price_nanos - self.unused.credit_nanos


def example() -> Example:
    used = 18 * NANOS_PER_USD
    figures = unused(
        price_nanos=20 * NANOS_PER_USD,
        allowance_nanos=25 * NANOS_PER_USD,
        used_nanos=used,
        starts_at=_PAID,
        ends_at=_PAID + timedelta(days=30),
        now=_LEFT,
    )
    return Example(figures, used, 100 * NANOS_PER_USD)
