"""What the gateway knows already when it decides, and what names of a project's own mean."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import cast

import pytest

from accounts.caller import Caller
from billing.pricing.rates import RateCard
from gateway.affinity import Affinity
from gateway.choose import Choices
from gateway.exchange import Exchange
from gateway.health import Health
from gateway.price_book import PriceBook, Priced
from gateway.protocol.conversation import Conversation
from routing.catalogue import Catalogue, CatalogueSnapshots
from routing.policy.project import ProjectPolicy
from routing.policy.rules import Action, Match, Rule
from routing.policy.weights import PRESETS, Weights
from tests.routing.test_planner import catalogue, deployment

AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Known:
    """A snapshot of the catalogue that does not change."""

    def __init__(self, current: Catalogue) -> None:
        self.current = current


def choices(known: Catalogue) -> Choices:
    return Choices(cast(CatalogueSnapshots, Known(known)), Health(None), Affinity(b"p" * 32))


def asking(name: str, policy: ProjectPolicy | None = None, preset: bytes = b"") -> dict[str, object]:
    """The decision as the trace keeps it."""
    known = catalogue(deployment(1, "1"), deployment(2, "2"))
    exchange = Exchange("openai_chat", id="01a20735-a27d-7c2b-869d-7ea6ffffffff", prompt_tokens=100, at=AT)
    exchange.caller = Caller(1, 1, 1, 60, None, routing="" if policy is None else policy.to_json())
    exchange.take(Conversation(name, ()))
    choices(known).route(exchange, {b"x-router-preset": preset} if preset else {})
    assert exchange.plan is not None
    return cast(dict[str, object], json.loads(exchange.plan.trace))


def weights_of(preset: str) -> list[float]:
    return [round(share, 4) for share in PRESETS[preset].shares()]


OWN = ProjectPolicy(version=1, aliases={"cheap": "auto:cheapest"})


def test_a_name_of_the_projects_own_may_stand_for_auto_with_a_preset() -> None:
    told = asking("cheap", OWN)
    assert (told["auto"], told["preset"], told["weights"]) == (True, "cheapest", weights_of("cheapest"))
    assert told["set_by"] == "alias"


def test_what_the_request_says_itself_goes_before_an_aliass_preset() -> None:
    told = asking("cheap", OWN, preset=b"best")
    assert (told["auto"], told["weights"], told["set_by"]) == (True, weights_of("best"), "request")


@pytest.mark.parametrize(
    ("action", "weights", "set_by"),
    [
        (Action(models=("auto:fastest",)), weights_of("fastest"), "rule"),
        (Action(models=("a/m",), weights=Weights(0, 1, 0)), [0.0, 1.0, 0.0], "rule"),
        (Action(models=("a/m",)), weights_of("balanced"), "project"),
    ],
)
def test_the_trace_says_whose_the_weights_are(action: Action, weights: list[float], set_by: str) -> None:
    told = asking("a/m", ProjectPolicy(version=1, rules=(Rule(7, "all", Match(), action),)))
    assert (told["weights"], told["set_by"]) == (weights, set_by)


def test_without_settings_the_weights_are_the_usual_ones() -> None:
    assert asking("a/m")["set_by"] == "default"


def test_a_card_is_made_ready_once_and_its_successor_is_seen_in_the_second_that_it_begins() -> None:
    later = AT + timedelta(seconds=5)
    (first,) = deployment(1, "1").price_cards
    rates = {name: rate * 3 for name, rate in first.rates.items()}
    cards = (replace(first, valid_until=later), RateCard(99, "standard", later, None, 0, None, rates))
    one = replace(deployment(1, "1"), price_cards=cards)
    book = PriceBook(catalogue(one))

    def price(at: datetime) -> Priced | None:
        return book.card(one, tier="standard", prompt_size=10, markup=Decimal(1), now=at)

    before, still, after = price(AT), price(AT + timedelta(seconds=4)), price(later)
    assert before is still and before is not None and after is not None
    assert after.plain_nanos(1000, 0) == 3 * before.plain_nanos(1000, 0)
    doubled = book.card(one, tier="standard", prompt_size=10, markup=Decimal(2), now=later)
    assert doubled is not None and doubled.plain_nanos(1000, 0) == 6 * before.plain_nanos(1000, 0)
