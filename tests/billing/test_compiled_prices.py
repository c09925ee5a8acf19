"""Compiled prices say what the plain ones say, to the nano."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.compiled import CardPrice, CostBound
from billing.pricing.estimate import most_nanos
from billing.pricing.price import price
from billing.pricing.rates import InvalidRateCard, NoRateCard, RateCard
from billing.pricing.usage import BUCKETS, TokenUsage

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
_rate = st.decimals(min_value=0, max_value=1000, places=6)
_factor = st.decimals(min_value=Decimal("0.0001"), max_value=20, places=4)
_usage = st.builds(TokenUsage, **{name: st.integers(0, 3_000_000) for name in BUCKETS})


@st.composite
def _cards(draw: st.DrawFn) -> RateCard:
    names = draw(st.sets(st.sampled_from(["cache_read", "cache_write", "reasoning", "output_audio", "request_per_1k"])))
    rates = {name: draw(_rate) for name in ("input", "output", *sorted(names))}
    return RateCard(1, "standard", None, None, draw(st.sampled_from([0, 0, 1000, 200_000])), None, rates)


@given(_cards(), _usage, _factor, _factor)
def test_a_compiled_card_charges_what_the_plain_one_charges(
    card: RateCard, usage: TokenUsage, units: Decimal, markup: Decimal
) -> None:
    plain = price(usage, card, units_per_usd=units, markup=markup).total_nanos
    assert CardPrice(card, units_per_usd=units, markup=markup).nanos(usage) == plain


@given(st.lists(_cards(), min_size=1, max_size=4), st.integers(0, 400_000), st.integers(0, 200_000), _factor, _factor)
def test_a_compiled_bound_is_the_plain_one(
    cards: list[RateCard], prompt: int, output: int, units: Decimal, markup: Decimal
) -> None:
    bound = CostBound([(cards, units, markup)], at=AT)
    try:
        plain = most_nanos(
            cards, at=AT, prompt_tokens=prompt, max_output_tokens=output, units_per_usd=units, markup=markup
        )
    except NoRateCard:
        with pytest.raises(NoRateCard):
            bound.nanos(prompt, output)
        return
    assert bound.nanos(prompt, output) == plain


@given(st.lists(_cards(), min_size=1, max_size=3), st.integers(0, 300_000), st.integers(1, 200_000), _factor)
def test_what_is_affordable_is_paid_for_and_one_token_more_is_not(
    cards: list[RateCard], prompt: int, wanted: int, markup: Decimal
) -> None:
    bound = CostBound([([*cards, _plain_card()], Decimal(1), markup)], at=AT)
    held = bound.nanos(prompt, wanted) // 2
    most = bound.affordable(prompt, held, wanted)
    assert 1 <= most <= wanted
    assert most == 1 or bound.nanos(prompt, most) <= held
    assert most == wanted or bound.nanos(prompt, most + 1) > held


def test_a_bucket_without_a_rate_is_an_error_only_when_it_was_used() -> None:
    card = RateCard(7, "standard", None, None, 0, None, {"input": Decimal(1)})
    compiled = CardPrice(card, units_per_usd=Decimal(1), markup=Decimal(1))
    assert compiled.nanos(TokenUsage(input=3)) == 3000
    with pytest.raises(InvalidRateCard):
        compiled.nanos(TokenUsage(input=3, output=1))


def _plain_card() -> RateCard:
    return RateCard(2, "standard", None, None, 0, None, {"input": Decimal(1), "output": Decimal(2)})
