"""Price cards made ready for many requests: whole numbers over one denominator, so that a charge is a few products.

`billing.pricing.price` and `billing.pricing.estimate` say the same with decimals and line by line; tests hold both to
the same nano.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import lcm
from operator import mul
from typing import NamedTuple

from billing.pricing.price import nanos_per_unit
from billing.pricing.rates import STANDARD, InvalidRateCard, NoRateCard, RateCard, rate_of
from billing.pricing.usage import BUCKETS, TokenUsage

_PROMPT_BUCKETS = ("input", "cache_read", "cache_write", "cache_write_long")
_OUTPUT_BUCKETS = ("output", "reasoning")
_PLAIN = frozenset(("input", "output", "request"))


class CardPrice:
    """One card at one exchange rate and markup."""

    __slots__ = ("_denominator", "_plain", "_products", "_unknown", "card", "markup", "units_per_usd")

    def __init__(self, card: RateCard, *, units_per_usd: Decimal, markup: Decimal) -> None:
        """Raises ValueError for a rate of exchange or markup out of range."""
        self.card = card
        self.units_per_usd = units_per_usd
        self.markup = markup
        factor = _factor(units_per_usd, markup)
        per_unit: dict[str, Fraction] = {}
        self._unknown: frozenset[str] = frozenset()
        for bucket in BUCKETS:
            try:
                per_unit[bucket] = Fraction(rate_of(card, bucket)) * Fraction(nanos_per_unit(bucket)) * factor
            except InvalidRateCard:
                self._unknown |= {bucket}  # matters only if a request uses it
        self._denominator = lcm(*(product.denominator for product in per_unit.values())) if per_unit else 1
        products = {bucket: int(product * self._denominator) for bucket, product in per_unit.items()}
        self._products = tuple(products.get(bucket, 0) for bucket in BUCKETS)
        self._plain = tuple(products.get(bucket, 0) for bucket in ("input", "output", "request"))

    def plain_nanos(self, prompt_tokens: int, output_tokens: int) -> int:
        """The charge for plain input and output of one request. Raises InvalidRateCard where either has no rate."""
        if self._unknown & _PLAIN:
            raise InvalidRateCard(f"price card {self.card.id} lacks a rate")
        per_prompt, per_output, per_request = self._plain
        total = prompt_tokens * per_prompt + output_tokens * per_output + per_request
        return (2 * total + self._denominator) // (2 * self._denominator)

    def nanos(self, usage: TokenUsage) -> int:
        """The charge for this usage, rounded half up once. Raises InvalidRateCard for a bucket without a rate."""
        if self._unknown and any(getattr(usage, bucket) for bucket in self._unknown):
            raise InvalidRateCard(f"price card {self.card.id} lacks a rate")
        total: int = sum(map(mul, usage, self._products))
        return (2 * total + self._denominator) // (2 * self._denominator)


class _Line(NamedTuple):
    least_prompt: int
    per_prompt_token: int
    per_output_token: int
    per_request: int


class CostBound:
    """The most that a request can cost on any of some cards: what a hold has to cover."""

    __slots__ = ("_denominator", "_lines")

    def __init__(self, offers: Iterable[tuple[Iterable[RateCard], Decimal, Decimal]], *, at: datetime) -> None:
        """`offers`: cards, units per USD and markup of each deployment that may answer. Every standard card dated for
        `at` counts, scheduled ones at any hour: the hour of completion decides and is not known yet."""
        raw: list[tuple[int, Fraction, Fraction, Fraction]] = []
        for cards, units_per_usd, markup in offers:
            factor = _factor(units_per_usd, markup)
            token = Fraction(nanos_per_unit("output")) * factor
            raw += [
                (
                    card.min_prompt_tokens,
                    Fraction(max(rate_of(card, bucket) for bucket in _PROMPT_BUCKETS)) * token,
                    Fraction(max(rate_of(card, bucket) for bucket in _OUTPUT_BUCKETS)) * token,
                    Fraction(rate_of(card, "request")) * Fraction(nanos_per_unit("request")) * factor,
                )
                for card in cards
                if card.tier == STANDARD and card.is_dated(at)
            ]
        self._denominator = lcm(1, *(part.denominator for line in raw for part in line[1:]))
        lines = {
            _Line(least, *(int(part * self._denominator) for part in (prompt, output, request)))
            for least, prompt, output, request in raw
        }
        self._lines = tuple(line for line in lines if not _is_below_another(line, lines))

    def nanos(self, prompt_tokens: int, output_tokens: int) -> int:
        """Rounded up. Raises NoRateCard."""
        most = -1
        for least_prompt, per_prompt_token, per_output_token, per_request in self._lines:
            if least_prompt <= prompt_tokens:
                cost = prompt_tokens * per_prompt_token + output_tokens * per_output_token + per_request
                if cost > most:
                    most = cost
        if most < 0:
            raise NoRateCard(f"no standard price card for {prompt_tokens} prompt tokens")
        return -(-most // self._denominator)

    def affordable(self, prompt_tokens: int, nanos: int, wanted: int) -> int:
        """The largest number of output tokens up to `wanted` that `nanos` pay for, at least 1."""
        most = wanted
        for line in self._lines:
            if line.least_prompt <= prompt_tokens:
                left = nanos * self._denominator - prompt_tokens * line.per_prompt_token - line.per_request
                if line.per_output_token:
                    most = min(most, left // line.per_output_token)
                elif left < 0:  # tokens are free, but not the rest
                    most = 1
        return max(1, most)


def rates_text(rates: Mapping[str, Decimal]) -> str:
    """The rates as JSON text: what a usage record keeps."""
    return "{" + ",".join(f'"{name}":"{rate}"' for name, rate in rates.items()) + "}"


def _factor(units_per_usd: Decimal, markup: Decimal) -> Fraction:
    if not units_per_usd > 0 or not markup >= 0:
        raise ValueError("units per USD must be above zero and the markup not below")
    return Fraction(markup) / Fraction(units_per_usd)


def _is_below_another(line: _Line, lines: Iterable[_Line]) -> bool:
    """Whether another line is at least as dear for every request that this one is for."""
    return any(
        other != line
        and other.least_prompt <= line.least_prompt
        and all(theirs >= ours for theirs, ours in zip(other[1:], line[1:], strict=True))
        for other in lines
    )
