"""Which markup a request pays: the most specific rule in force."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.markup import Markup, Markups

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BOB, EVE = 7, 8


def rule(scope: str, factor: str, target: Any = None, **changes: Any) -> Markup:
    return Markup(
        **{"id": 1, "scope": scope, "target": target, "factor": Decimal(factor), "valid_from": NOW, **changes}
    )


EVERYTHING = rule("global", "1.1")
OF_ACME = rule("provider", "1.2", "acme")
OF_MODEL = rule("model", "1.3", "acme/one")
OF_BOB = rule("organization", "1.4", BOB)
FOREIGN = [rule("model", "9", "acme/two"), rule("provider", "9", "other"), rule("organization", "9", EVE)]


def factor(*rules: Markup, at: datetime = NOW, organization_id: int | None = BOB) -> str:
    markups = Markups.of(rules, otherwise=Decimal("1.05"))
    return str(markups.factor(at=at, provider="acme", model="acme/one", organization_id=organization_id))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], "1.05"),
        ([EVERYTHING], "1.1"),
        ([EVERYTHING, OF_ACME], "1.2"),
        ([EVERYTHING, OF_ACME, OF_MODEL], "1.3"),
        ([EVERYTHING, OF_ACME, OF_MODEL, OF_BOB], "1.4"),
        ([EVERYTHING, OF_BOB], "1.4"),
        ([OF_ACME, OF_MODEL], "1.3"),
        ([EVERYTHING, *FOREIGN], "1.1"),
        ([rule("model", "0.5", "acme/one"), OF_ACME], "0.5"),  # a narrower rule counts, cheaper or not
    ],
)  # fmt: skip
def test_the_most_specific_rule_counts(rules: list[Markup], expected: str) -> None:
    assert factor(*rules) == factor(*reversed(rules)) == expected


def test_a_rule_of_an_organization_is_its_own() -> None:
    assert factor(EVERYTHING, OF_BOB, organization_id=EVE) == "1.1"
    assert factor(EVERYTHING, OF_BOB, organization_id=None) == "1.1"


@pytest.mark.parametrize(
    ("after", "expected"),
    [(-HOUR, "1.05"), (timedelta(0), "1.1"), (HOUR - timedelta.resolution, "1.1"), (HOUR, "1.05")],
)
def test_a_rule_begins_on_the_dot_and_ends_on_the_dot(after: timedelta, expected: str) -> None:
    assert factor(rule("global", "1.1", valid_until=NOW + HOUR), at=NOW + after) == expected


@pytest.mark.parametrize(("after", "expected"), [(timedelta(0), "1.1"), (HOUR, "0.9"), (2 * HOUR, "1.1")])
def test_a_dated_rule_stands_in_for_a_lasting_one(after: timedelta, expected: str) -> None:
    sale = rule("global", "0.9", valid_from=NOW + HOUR, valid_until=NOW + 2 * HOUR)
    assert factor(EVERYTHING, sale, at=NOW + after) == expected


def test_of_two_that_begin_together_the_one_made_last_counts() -> None:
    assert factor(rule("global", "1.2", id=2), rule("global", "1.1", id=1)) == "1.2"


moments = st.integers(0, 6).map(lambda hours: NOW + hours * HOUR)
targets = st.sampled_from(
    [("global", None), ("provider", "acme"), ("provider", "p"), ("model", "acme/one"), ("organization", BOB)]
)
rules = st.builds(
    lambda number, key, factor, start, end: Markup(number, key[0], key[1], factor, start, end),
    st.integers(1, 99), targets, st.decimals("0.1", 10, places=2), moments, st.none() | moments,
)  # fmt: skip


@given(st.lists(rules, max_size=12, unique_by=lambda found: found.id), moments, st.sampled_from([BOB, EVE, None]))
def test_it_is_the_one_that_reading_all_rules_would_find(
    found: list[Markup], at: datetime, organization_id: int | None
) -> None:
    width = {
        ("global", None): 0,
        ("provider", "acme"): 1,
        ("model", "acme/one"): 2,
        ("organization", organization_id): 3,
    }
    live = [r for r in found if (r.scope, r.target) in width and r.valid_from <= at < (r.valid_until or at + HOUR)]
    best = max(live, key=lambda r: (width[r.scope, r.target], r.valid_from, r.id), default=None)
    expected = str(best.factor) if best else "1.05"
    assert factor(*found, at=at, organization_id=organization_id) == expected
