"""The catalogue's charges against those of `genai-prices`, a price list that others keep, wherever both know the model.

Shapes of use: plain, cached, written to a cache, long, and the two sides of each length step. At several moments:
by day and in DeepSeek's peak hours, and after the announced price changes. A difference must be one of `EXPLAINED`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage, calc_price, data_snapshot

from billing.pricing.price import price
from billing.pricing.rates import RateCard, choose_card
from billing.pricing.usage import TokenUsage
from routing.loading.entries import OfferingEntry
from routing.loading.reading import read_folder

CATALOGUE = Path(__file__).resolve().parents[2] / "routing/data/catalogue"
MOMENTS = [
    datetime(2026, 11, 18, 12, tzinfo=UTC),
    datetime(2026, 11, 20, 2, tzinfo=UTC),  # a Friday, DeepSeek's peak
    datetime(2026, 12, 2, 12, tzinfo=UTC),
    datetime(2027, 1, 2, 12, tzinfo=UTC),
]
# Ours -> theirs. Providers that are not here are not in their list.
PROVIDERS = {
    name: name
    for name in (
        "anthropic", "azure", "cerebras", "cohere", "deepseek", "fireworks", "google", "groq", "meta", "minimax",
        "mistral", "moonshotai", "openai", "openrouter", "perplexity", "together", "zai", "zhipuai",
    )
} | {"bedrock": "aws", "vertex": "google", "xai": "x-ai"}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One use of one deployment. `ours` and `theirs` are US dollars, or yuan where the card is in yuan."""

    provider: str
    upstream_id: str
    author: str
    currency: str
    shape: str
    ours: Decimal
    theirs: Decimal

    @property
    def same(self) -> bool:
        """To half a nano-dollar, which is what one charge is rounded by."""
        return abs(self.ours - self.theirs) <= Decimal("5e-10")


@dataclass(frozen=True)
class Explained:
    why: str
    holds: Callable[[Case], bool]
    least: int  # so that the row goes when the difference does


EXPLAINED = [
    Explained(
        "Gemini through OpenRouter: theirs prices a written token at the cache's storage for five minutes alone; it is "
        "input as well, and our card bills it as that",
        lambda case: (
            case.provider == "openrouter"
            and case.author == "google"
            and case.shape == "cache write"
            and case.ours > case.theirs
        ),
        12,
    ),
    Explained(
        "Zhipu sells in yuan: theirs states dollars at a fixed 7.25 and rounds each price, ours keeps the yuan and a "
        "dated rate",
        lambda case: (
            case.provider == "zhipuai"
            and case.currency == "CNY"
            and abs(case.ours / case.theirs / Decimal("7.25") - 1) < Decimal("0.001")
        ),
        20,
    ),
    Explained(
        "OpenAI's embeddings on Azure: theirs copies OpenAI's own price, ours is Azure's for a region, a tenth more",
        lambda case: (
            case.provider == "azure" and "embedding" in case.upstream_id and case.ours == case.theirs * Decimal("1.1")
        ),
        3,
    ),
]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return [case for at in MOMENTS for case in _cases(at)]


def _cases(at: datetime) -> Iterator[Case]:
    theirs = {provider.id: provider for provider in data_snapshot.get_snapshot().providers}
    catalogue = read_folder(CATALOGUE, {})
    currencies = {entry.slug: entry.fields["currency"] for entry in catalogue.providers}
    for model in catalogue.models:
        for offering in model.offerings:
            provider = PROVIDERS.get(offering.provider)
            if provider is None or theirs[provider].find_model(offering.upstream_id) is None:
                continue
            cards = _cards(offering)
            embeds = offering.fields["dialect"] == "openai_embeddings"
            currency = offering.fields["currency"] or currencies[offering.provider]
            for shape, usage in _shapes(cards, embeds=embeds):
                card = choose_card(cards, at=at, tier="standard", prompt_size=usage.prompt_size)
                assert card is not None, (offering.upstream_id, shape)
                charge = price(usage, card, units_per_usd=Decimal(1), markup=Decimal(1))
                yield Case(
                    offering.provider,
                    offering.upstream_id,
                    model.slug.partition("/")[0],
                    currency,
                    shape,
                    Decimal(charge.total_nanos) / 10**9,
                    _their_price(usage, offering.upstream_id, provider, at),
                )


def _cards(offering: OfferingEntry) -> list[RateCard]:
    return [
        RateCard(
            place,
            card.tier,
            card.valid_from,
            card.valid_until,
            card.min_prompt_tokens,
            card.schedule,
            {name: Decimal(rate) for name, rate in card.rates.items()},
        )
        for place, card in enumerate(offering.price_cards)
    ]


def _shapes(cards: list[RateCard], *, embeds: bool) -> Iterator[tuple[str, TokenUsage]]:
    if embeds:  # no output, no cache
        yield "plain", TokenUsage(input=1_000)
        return
    yield "plain", TokenUsage(input=1_000, output=500)
    yield "cached read", TokenUsage(input=2_000, cache_read=8_000, output=500)
    yield "cache write", TokenUsage(input=4_000, cache_write=6_000, output=500)
    yield "long", TokenUsage(input=300_000, output=1_000)
    yield "long, cached", TokenUsage(input=100_000, cache_read=200_000, output=1_000)
    for step in sorted({card.min_prompt_tokens for card in cards} - {0}):
        yield "below a step", TokenUsage(input=step - 1_001, cache_read=1_000, output=700)
        yield "at a step", TokenUsage(input=step - 1_000, cache_read=1_000, output=700)


def _their_price(usage: TokenUsage, upstream_id: str, provider: str, at: datetime) -> Decimal:
    """Their input counts cached tokens in."""
    counts = Usage(
        input_tokens=usage.prompt_size,
        cache_read_tokens=usage.cache_read or None,
        cache_write_tokens=usage.cache_write or None,
        output_tokens=usage.output or None,
    )
    return calc_price(counts, upstream_id, provider_id=provider, genai_request_timestamp=at).total_price


def test_every_charge_is_theirs_or_the_difference_is_explained(cases: list[Case]) -> None:
    different = [case for case in cases if not case.same]
    counts = Counter(_reason(case) for case in different)
    deployments = {(case.provider, case.upstream_id) for case in cases}
    print(f"\n{len(deployments)} deployments that both know, {len(cases)} charges, {len(cases) - len(different)} alike")
    for shape, count in sorted(Counter(case.shape for case in cases).items()):
        print(f"  {shape}: {count}, {sum(case.shape == shape for case in different)} differ")
    for row in EXPLAINED:
        print(f"  {counts[row.why]} explained: {row.why}")
    assert [case for case in different if not _reason(case)] == []
    assert {row.why: counts[row.why] >= row.least for row in EXPLAINED} == {row.why: True for row in EXPLAINED}


def _reason(case: Case) -> str:
    return next((row.why for row in EXPLAINED if row.holds(case)), "")


def test_enough_is_compared_to_mean_something(cases: list[Case]) -> None:
    """The two lists must not drift apart in names until nothing is compared."""
    assert len({(case.provider, case.upstream_id) for case in cases}) >= 280
    shapes = Counter(case.shape for case in cases)
    assert shapes["at a step"] >= 4 * 50
    assert {"openai", "anthropic", "google", "deepseek", "xai"} <= {case.provider for case in cases}
