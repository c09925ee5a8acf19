"""The hold and the charge of a request carry the same markup: the one in force when it arrived."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.caller import Caller
from billing.events import UsageEvent
from billing.pricing.markup import Markup, Markups
from billing.pricing.usage import TokenUsage
from billing.reservation import Reservations, Reserved, Source, Wanted
from gateway.affinity import Affinity
from gateway.choose import Choices
from gateway.config import GatewayConfig
from gateway.exchange import Delivery, Exchange
from gateway.funding import Funding
from gateway.health import Health
from gateway.protocol.conversation import Conversation, Sampling
from gateway.protocol.reply import UsageReport
from gateway.settlement import charge_of, judge
from gateway.slices import Payer, Share, Slice, Slices
from gateway.views.list_models import describe
from routing.catalogue import Catalogue, CatalogueSnapshots
from tests.routing.test_planner import catalogue, deployment

ARRIVAL = datetime(2026, 11, 22, 12, tzinfo=UTC)
BOB, EVE = 7, 8
CONFIG = GatewayConfig(public_url="https://x.test", max_body_bytes=1, max_request_s=1.0, default_requests_per_minute=1)


def rule(scope: str, factor: str, target: Any = None, **changes: Any) -> Markup:
    fields: dict[str, Any] = {"id": 1, "valid_from": ARRIVAL, **changes}
    return Markup(scope=scope, target=target, factor=Decimal(factor), **fields)


class Purse:
    """Gives whatever is asked for."""

    async def reserve(self, wanted: Wanted) -> Reserved:
        return Reserved(wanted.hold_id, wanted.need_nanos, wanted.source, 0, wanted.lifetime_s, None)


class Known:
    """A snapshot of the catalogue that does not change."""

    def __init__(self, current: Catalogue) -> None:
        self.current = current


def arrived(*rules: Markup, organization_id: int = BOB, prices: tuple[str, ...] = ("1", "2")) -> Exchange:
    """A request for at most 100 tokens, routed over one deployment per price: providers p1, p2 …"""
    known = catalogue(*(deployment(place, price) for place, price in enumerate(prices, 1)))
    known = replace(known, markups=Markups.of(rules, otherwise=Decimal("1.05")))
    # The end of the id decides on exploration, and this one never explores.
    exchange = Exchange("openai_chat", id="01a20735-a27d-7c2b-869d-7ea6ffffffff", prompt_tokens=1000, at=ARRIVAL)
    exchange.caller = Caller(organization_id, 1, 1, 60, None)
    exchange.take(Conversation("a/m", (), sampling=Sampling(max_output_tokens=100)))
    Choices(cast(CatalogueSnapshots, Known(known)), Health(None), Affinity(b"p" * 32)).route(exchange, {})
    return exchange


async def held(exchange: Exchange) -> int:
    async def recall(_: int) -> None:
        pass

    slices = Slices(cast(Reservations, Purse()), longest_s=1.0)
    await Funding(slices, CONFIG, recall).hold(exchange)
    assert exchange.share is not None
    return exchange.share.nanos


def share(source: Source = "wallet") -> Share:
    """Of a slice large enough for everything."""
    reserved = Reserved(UUID(int=1), 10**12, source, 0, 60.0, None)
    return Share(Slice(Payer(BOB, source), reserved, 1e12, closing=False), 1, 0.0)


def answered(exchange: Exchange, provider: str, usage: TokenUsage, at: datetime | None = None) -> UsageEvent:
    assert exchange.plan is not None
    exchange.deployment = next(s.deployment for s in exchange.plan.steps if s.deployment.provider == provider)
    exchange.delivery = Delivery(UsageReport(usage), "", "stop", 0.0, began=True, content=True, complete=True)
    exchange.status = 200
    return charge_of(exchange, exchange.share or share(), judge(exchange), at or datetime.now(UTC))


@pytest.mark.parametrize(
    ("rules", "provider", "held_nanos", "markup"),
    [
        # At 1 and 2 dollars a million tokens, 1,000 in and 100 out cost 1,100,000 and 2,200,000 nanos at list price.
        ((), "p1", 2_310_000, "1.05"),
        ((rule("global", "2"),), "p1", 4_400_000, "2"),
        ((rule("provider", "3", "p1"),), "p1", 3_300_000, "3"),  # now the dearer of the two
        ((rule("provider", "3", "p1"),), "p2", 3_300_000, "1.05"),
        ((rule("model", "1.5", "a/m"), rule("provider", "3", "p1")), "p1", 3_300_000, "1.5"),
        ((rule("organization", "0.5000", BOB), rule("model", "9", "a/m")), "p2", 1_100_000, "0.5"),
        ((rule("organization", "10.0000", BOB),), "p2", 22_000_000, "10"),
        ((rule("organization", "9", EVE),), "p2", 2_310_000, "1.05"),
    ],
)
async def test_what_is_held_and_charged(rules: tuple[Markup, ...], provider: str, held_nanos: int, markup: str) -> None:
    exchange = arrived(*rules)
    assert await held(exchange) == held_nanos
    event = answered(exchange, provider, TokenUsage(input=1000, output=100))
    list_price = {"p1": 1_100_000, "p2": 2_200_000}[provider]
    assert (event.markup, event.charge_nanos) == (markup, list_price * Decimal(markup))
    assert event.charge_nanos <= held_nanos


async def test_a_rule_that_begins_while_the_answer_is_written_does_not_touch_it() -> None:
    soon = ARRIVAL + timedelta(seconds=1)
    exchange = arrived(rule("global", "5", valid_from=soon), rule("model", "0.5", "a/m", valid_until=soon))
    assert await held(exchange) == 1_100_000
    assert answered(exchange, "p2", TokenUsage(input=1000, output=100)).charge_nanos == 1_100_000


def test_deployments_are_tried_in_the_order_of_what_the_organization_pays() -> None:
    dear = rule("provider", "3", "p1")

    def order(exchange: Exchange) -> list[str]:
        assert exchange.plan is not None
        return [step.deployment.provider for step in exchange.plan.steps]

    assert order(arrived()) == ["p1", "p2"]
    assert order(arrived(dear)) == ["p2", "p1"]
    assert order(arrived(dear, rule("organization", "1", BOB))) == ["p1", "p2"]


def test_the_list_of_models_shows_what_everybody_pays() -> None:
    def prompt_price(*rules: Markup) -> str:
        known = replace(catalogue(deployment()), markups=Markups.of(rules, otherwise=Decimal("1.05")))
        entry = describe(known, known.models["a/m"], ARRIVAL)
        assert entry is not None
        return str(entry["pricing"]["prompt"])

    assert prompt_price() == "0.00000105"
    assert prompt_price(rule("organization", "9", BOB)) == "0.00000105"
    assert prompt_price(rule("global", "1.1"), rule("provider", "1.2", "p1")) == "0.0000012"


TARGETS = [("global", None), ("provider", "p1"), ("provider", "p2"), ("model", "a/m"), ("organization", BOB)]
targeted = st.builds(
    lambda key, factor, number: rule(key[0], factor, key[1], id=number),
    st.sampled_from(TARGETS),
    st.decimals("0.0001", 10, places=4).map(str),
    st.integers(1, 9),
)


@given(
    st.lists(targeted, max_size=6),
    st.sampled_from(["p1", "p2"]),
    st.integers(0, 1000),
    st.integers(1, 100),
    st.sampled_from([BOB, EVE]),
)
async def test_no_charge_within_the_limits_is_more_than_its_hold(
    found: list[Markup], provider: str, tokens_in: int, tokens_out: int, organization_id: int
) -> None:
    exchange = arrived(*found, organization_id=organization_id, prices=("0.37", "2.13"))
    most = await held(exchange)
    event = answered(exchange, provider, TokenUsage(input=tokens_in, output=tokens_out))
    assert 0 <= event.charge_nanos <= most
