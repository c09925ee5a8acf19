"""The most a request can cost: the size of its hold."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from billing.pricing.money import exact, round_up_nanos
from billing.pricing.price import nanos_per_unit
from billing.pricing.rates import STANDARD, NoRateCard, RateCard, rate_of

_PROMPT_BUCKETS = ("input", "cache_read", "cache_write", "cache_write_long")
_OUTPUT_BUCKETS = ("output", "reasoning")


def most_nanos(
    cards: Iterable[RateCard],
    *,
    at: datetime,
    prompt_tokens: int,
    max_output_tokens: int,
    units_per_usd: Decimal,
    markup: Decimal,
) -> int:
    """Nano-USD that no outcome within these limits exceeds, rounded up.

    Looks at every standard card that is dated for `at` and whose length step the prompt may reach, scheduled ones at
    any hour: the hour of completion decides and is not known yet. The whole prompt is taken at its dearest text rate.
    Raises NoRateCard, InvalidRateCard.
    """
    if not units_per_usd > 0 or not markup >= 0:
        raise ValueError("units per USD must be above zero and the markup not below")
    reachable = [c for c in cards if c.tier == STANDARD and c.is_dated(at) and c.min_prompt_tokens <= prompt_tokens]
    if not reachable:
        raise NoRateCard(f"no standard price card for {prompt_tokens} prompt tokens")
    with exact():
        dearest = max(_worst(card, prompt_tokens, max_output_tokens) for card in reachable)
        return round_up_nanos(dearest * markup / units_per_usd)


def _worst(card: RateCard, prompt_tokens: int, max_output_tokens: int) -> Decimal:
    prompt_rate = max(rate_of(card, bucket) for bucket in _PROMPT_BUCKETS)
    output_rate = max(rate_of(card, bucket) for bucket in _OUTPUT_BUCKETS)
    tokens = (prompt_tokens * prompt_rate + max_output_tokens * output_rate) * nanos_per_unit("output")
    return tokens + rate_of(card, "request") * nanos_per_unit("request")
