"""From usage and a price card to a charge."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from billing.pricing.money import exact, round_nanos
from billing.pricing.rates import RateCard, rate_of
from billing.pricing.usage import BUCKETS, TokenUsage

_PER_CALL = frozenset({"web_search", "request"})
# Nanos for one unit at a rate of 1: rates are per million tokens or per thousand calls, a dollar is 1e9 nanos.
_NANOS_PER_TOKEN = Decimal(1_000)
_NANOS_PER_CALL = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """One bucket of a charge. `rate` is the card's own figure and currency; `nanos` is not rounded, markup included."""

    bucket: str
    quantity: int
    rate: Decimal
    nanos: Decimal


@dataclass(frozen=True, slots=True)
class Charge:
    """`total_nanos` is the sum of the lines, rounded once."""

    total_nanos: int
    lines: tuple[ChargeLine, ...]


def price(usage: TokenUsage, card: RateCard, *, units_per_usd: Decimal, markup: Decimal) -> Charge:
    """What `usage` costs on `card`, in nano-USD.

    `units_per_usd` converts the card's currency (1 for USD), `markup` is a factor. A bucket that was used has a line
    even when it is free, so that a missing search rate can be seen; the request line only when it costs.
    Raises InvalidRateCard, and ValueError for a rate of exchange or markup out of range.
    """
    if not units_per_usd > 0 or not markup >= 0:
        raise ValueError("units per USD must be above zero and the markup not below")
    with exact():
        # Summed before the division: a total of thirds must not lose what three rounded thirds would.
        priced = [(name, quantity, rate_of(card, name)) for name, quantity in _used(usage)]
        products = [quantity * rate * nanos_per_unit(name) * markup for name, quantity, rate in priced]
        lines = tuple(
            ChargeLine(name, quantity, rate, product / units_per_usd)
            for (name, quantity, rate), product in zip(priced, products, strict=True)
            if name != "request" or rate
        )
        return Charge(round_nanos(sum(products, Decimal(0)) / units_per_usd), lines)


def nanos_per_unit(bucket: str) -> Decimal:
    """Nanos that one unit of `bucket` costs at a rate of one US dollar."""
    return _NANOS_PER_CALL if bucket in _PER_CALL else _NANOS_PER_TOKEN


def _used(usage: TokenUsage) -> list[tuple[str, int]]:
    return [(name, getattr(usage, name)) for name in BUCKETS if getattr(usage, name)]
