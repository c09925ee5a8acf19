"""What must hold for any usage and any price card."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pricing.estimate import most_nanos
from billing.pricing.money import usd_to_nanos
from billing.pricing.price import price
from billing.pricing.rates import NoRateCard, RateCard, choose_card
from billing.pricing.usage import BUCKETS, TokenUsage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
counts = st.integers(0, 10_000_000)
rates = st.decimals(0, 10_000, places=6)
units = st.decimals(Decimal("0.01"), 1_000, places=4)
markups = st.decimals(0, 10, places=3)
usages = st.builds(TokenUsage, **dict.fromkeys(TokenUsage._fields, counts))
OPTIONAL = ("input_audio", "cache_read", "cache_read_audio", "cache_write", "cache_write_long", "reasoning")
CALLS = ("output_audio", "output_image", "web_search_per_1k", "request_per_1k")


@st.composite
def cards(draw: st.DrawFn, minimum: int = 0) -> RateCard:
    chosen = {"input": draw(rates), "output": draw(rates)}
    chosen |= draw(st.dictionaries(st.sampled_from(OPTIONAL + CALLS), rates, max_size=6))
    return RateCard(draw(st.integers(1, 99)), "standard", None, None, minimum, None, chosen)


@given(usages, cards(), units, markups)
def test_a_charge_is_the_sum_of_its_lines_rounded_once_and_never_negative(
    usage: TokenUsage, card: RateCard, units_per_usd: Decimal, markup: Decimal
) -> None:
    charge = price(usage, card, units_per_usd=units_per_usd, markup=markup)
    assert charge.total_nanos >= 0
    assert all(line.nanos >= 0 for line in charge.lines)
    assert abs(sum((line.nanos for line in charge.lines), Decimal(0)) - charge.total_nanos) <= Decimal("0.500001")


@given(usages, cards(), units, markups, st.sampled_from(BUCKETS), st.integers(1, 1_000))
def test_more_usage_never_costs_less(
    usage: TokenUsage, card: RateCard, units_per_usd: Decimal, markup: Decimal, bucket: str, more: int
) -> None:
    bigger = usage._replace(**{bucket: getattr(usage, bucket) + more})
    before = price(usage, card, units_per_usd=units_per_usd, markup=markup).total_nanos
    assert price(bigger, card, units_per_usd=units_per_usd, markup=markup).total_nanos >= before


@given(usages, usages, cards(), markups)
def test_two_usages_cost_together_what_they_cost_apart(
    one: TokenUsage, other: TokenUsage, card: RateCard, markup: Decimal
) -> None:
    together = TokenUsage(**{name: getattr(one, name) + getattr(other, name) for name in BUCKETS})
    apart = sum(price(usage, card, units_per_usd=Decimal(1), markup=markup).total_nanos for usage in (one, other))
    assert abs(price(together, card, units_per_usd=Decimal(1), markup=markup).total_nanos - apart) <= 1


@settings(max_examples=200)
@given(
    st.lists(cards(), min_size=1, max_size=1),
    st.lists(st.integers(1, 2_000).flatmap(lambda minimum: cards(minimum)), max_size=3),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    st.integers(0, 1_000),
    units,
    markups,
)
def test_no_outcome_within_its_limits_costs_more_than_the_hold(
    base: list[RateCard],
    steps: list[RateCard],
    fresh: int,
    read: int,
    written: int,
    output: int,
    reasoning: int,
    units_per_usd: Decimal,
    markup: Decimal,
) -> None:
    all_cards = base + steps
    usage = TokenUsage(input=fresh, cache_read=read, cache_write=written, output=output, reasoning=reasoning)
    held = most_nanos(
        all_cards,
        at=NOON,
        prompt_tokens=usage.prompt_size,
        max_output_tokens=output + reasoning,
        units_per_usd=units_per_usd,
        markup=markup,
    )
    card = choose_card(all_cards, at=NOON, tier="standard", prompt_size=usage.prompt_size)
    assert card is not None
    assert price(usage, card, units_per_usd=units_per_usd, markup=markup).total_nanos <= held


def test_a_hold_needs_a_standard_card_that_the_prompt_can_reach() -> None:
    far = RateCard(1, "standard", None, None, 1_000, None, {"input": Decimal(1), "output": Decimal(1)})
    with pytest.raises(NoRateCard):
        most_nanos([far], at=NOON, prompt_tokens=999, max_output_tokens=1, units_per_usd=Decimal(1), markup=Decimal(1))


def test_a_hold_takes_the_dearer_of_peak_and_plain_hours_and_rounds_up() -> None:
    plain = RateCard(1, "standard", None, None, 0, None, {"input": Decimal("0.0001"), "output": Decimal(0)})
    peak = replace(
        plain,
        id=2,
        schedule={"windows": [["01:00", "02:00"]]},
        rates={"input": Decimal("0.0002"), "output": Decimal(0)},
    )
    held = most_nanos(
        [plain, peak], at=NOON, prompt_tokens=6, max_output_tokens=0, units_per_usd=Decimal(1), markup=Decimal(1)
    )
    assert held == 2  # 6 tokens at 0.2 nanos


@pytest.mark.parametrize("amount", ["0.0000000001", "NaN", "Infinity"])
def test_dollars_finer_than_a_nano_are_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="amount of money"):
        usd_to_nanos(Decimal(amount))
