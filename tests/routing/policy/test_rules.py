from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.policy.eligibility import too_dear, unwanted
from routing.policy.needs import Needs
from routing.policy.project import ProjectPolicy
from routing.policy.rule_json import problems
from routing.policy.rules import Action, Match, Occasion, Rule, direct, first_match, matches
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import NO_WISHES, NOBODY, MaxPrice, Wishes
from tests.routing.policy.cast import NOW, deployment, model

MONDAY = datetime(2026, 11, 23, tzinfo=UTC)


def occasion(*names: str, at: datetime = NOW, key_id: int = 1, **needs: Any) -> Occasion:
    labels = {"x-router-task": "Summary of mail", "team": "search"}
    return Occasion(names or ("acme/one",), Needs("openai_chat", **needs), key_id, labels, at)


def at(day: int, hour: int, minute: int = 0) -> Occasion:
    """`day` 0 is a Monday."""
    return occasion(at=MONDAY.replace(day=23 + day, hour=hour, minute=minute))


# --- Matching ---------------------------------------------------------------------------------------------------------
def test_a_rule_without_conditions_matches_everything() -> None:
    assert matches(Match(), occasion())


@pytest.mark.parametrize(
    ("match", "matching"),
    [
        (Match(models=("acme/one",)), True),
        (Match(models=("ACME/*",)), True),
        (Match(models=("other", "acme/*")), True),
        (Match(models=("acme",)), False),
        (Match(min_prompt_tokens=1000), True),
        (Match(min_prompt_tokens=1001), False),
        (Match(max_prompt_tokens=1000), True),
        (Match(max_prompt_tokens=999), False),
        (Match(needs=("tools",)), True),
        (Match(needs=("tools", "images")), False),
        (Match(needs=("reasoning",)), True),
        (Match(needs=("nothing_known",)), False),
        (Match(key_ids=(7, 1)), True),
        (Match(key_ids=(7,)), False),
        (Match(headers=(("x-router-task", "summar*"),)), True),
        (Match(headers=(("x-router-task", "summary"),)), False),
        (Match(headers=(("team", "*"), ("x-router-task", "*mail"))), True),
        (Match(headers=(("absent", "*"),)), False),
        (Match(models=("acme/*",), key_ids=(7,)), False),
    ],
)
def test_each_condition_has_to_hold(match: Match, matching: bool) -> None:
    asked = occasion(prompt_tokens=1000, tools=True, reasoning="low")
    assert matches(match, asked) is matching


def test_any_of_a_requests_names_may_match() -> None:
    assert matches(Match(models=("gpt-4o*",)), occasion("gpt-4o", "openai/gpt-4o"))
    assert matches(Match(models=("openai/*",)), occasion("gpt-4o", "openai/gpt-4o"))


def test_no_reasoning_is_not_a_need_for_it() -> None:
    assert not matches(Match(needs=("reasoning",)), occasion(reasoning="none"))


def test_hours_within_a_day() -> None:
    office = Match(hours=(9 * 60, 17 * 60 + 30))
    assert [matches(office, at(0, *time)) for time in ((8, 59), (9, 0), (17, 29), (17, 30))] == [
        False,
        True,
        True,
        False,
    ]


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin() -> None:
    night = Match(hours=(22 * 60, 6 * 60), weekdays=(4,))  # from Friday evening
    assert [matches(night, at(4, *time)) for time in ((5, 0), (21, 59), (22, 0), (23, 59))] == [
        False,
        False,
        True,
        True,
    ]
    assert [matches(night, at(5, *time)) for time in ((0, 0), (5, 59), (6, 0), (22, 0))] == [True, True, False, False]


def test_hours_until_midnight_and_from_it() -> None:
    assert matches(Match(hours=(18 * 60, 24 * 60)), at(0, 23, 59))
    assert not matches(Match(hours=(18 * 60, 24 * 60)), at(0, 0))
    assert matches(Match(hours=(18 * 60, 0)), at(0, 23, 59))
    assert matches(Match(hours=(0, 6 * 60)), at(0, 0))


def test_the_week_begins_on_the_night_before() -> None:
    night = Match(hours=(22 * 60, 6 * 60), weekdays=(6,))
    assert matches(night, at(0, 3))  # Monday, still the night of Sunday


def test_weekdays_alone() -> None:
    assert matches(Match(weekdays=(0, 1)), at(1, 12))
    assert not matches(Match(weekdays=(0, 1)), at(2, 12))


def test_a_day_is_a_day_where_the_rule_says() -> None:
    monday_there = Match(weekdays=(0,), timezone="Asia/Shanghai")
    assert not matches(monday_there, at(0, 17))
    assert matches(monday_there, occasion(at=datetime(2026, 11, 22, 17, tzinfo=UTC)))


def test_the_clock_of_summer_counts_in_summer() -> None:
    morning = Match(hours=(9 * 60, 10 * 60), timezone="Europe/Berlin")
    assert matches(morning, occasion(at=datetime(2026, 7, 1, 7, 30, tzinfo=UTC)))
    assert matches(morning, occasion(at=datetime(2026, 12, 1, 8, 30, tzinfo=UTC)))
    assert not matches(morning, occasion(at=datetime(2026, 12, 1, 7, 30, tzinfo=UTC)))


@pytest.mark.parametrize("name", ["Nowhere/At_all", "../etc", "Europe", "", "a" * 300, "\0"])
def test_a_time_zone_that_nobody_knows_matches_nothing(name: str) -> None:
    assert not matches(Match(weekdays=tuple(range(7)), timezone=name), occasion())


def test_the_first_rule_that_matches_counts() -> None:
    rules = [Rule(number, "", match, Action()) for number, match in enumerate((Match(key_ids=(9,)), Match(), Match()))]
    found = first_match(rules, occasion())
    assert found is not None and found.id == 1
    assert first_match(rules[:1], occasion()) is None


# --- What a rule does -------------------------------------------------------------------------------------------------
def rule(**action: Any) -> Rule:
    return Rule(5, "five", Match(), Action(**action))


def test_without_a_rule_the_requests_own_models_come_after_the_first() -> None:
    directed = direct("a/1", Wishes(models=("b/2", "a/1", "c/3")), None)
    assert directed.groups == (("a/1",), ("b/2",), ("c/3",))
    assert directed.rule_id is None
    assert direct("a/1", Wishes(models=("b/2",), sort_across_models=True), None).groups == (("a/1", "b/2"),)


def test_a_rules_models_take_the_place_of_what_was_asked_for() -> None:
    directed = direct("a/1", Wishes(models=("b/2",)), rule(models=("x/1", "x/2"), fallbacks=("y/1", "x/1")))
    assert directed.groups == (("x/1",), ("x/2",), ("y/1",))
    assert directed.rule_id == 5


@pytest.mark.parametrize("how", [{"weights": Weights(1, 0, 0)}, {"preset": "fastest"}])
def test_with_weights_a_rules_models_compete(how: dict[str, Any]) -> None:
    assert direct("a/1", NO_WISHES, rule(models=("x/1", "x/2"), fallbacks=("y/1",), **how)).groups == (
        ("x/1", "x/2"),
        ("y/1",),
    )


def test_a_rules_fallbacks_come_after_the_requests() -> None:
    assert direct("a/1", Wishes(models=("b/2",)), rule(fallbacks=("y/1",))).groups == (("a/1",), ("b/2",), ("y/1",))


def test_of_a_rules_preferences_the_request_may_have_others() -> None:
    directed = direct("a/1", NO_WISHES, rule(order=("p1",), preset="best", weights=Weights(0, 0, 1)))
    assert (directed.wishes.order, directed.wishes.preset, directed.weights) == (("p1",), "best", Weights(0, 0, 1))
    for own in (Wishes(sort="price"), Wishes(order=("p2",)), Wishes(preset="cheapest")):
        directed = direct("a/1", own, rule(order=("p1",), preset="best", weights=Weights(0, 0, 1)))
        assert (directed.wishes, directed.weights) == (own, None)


def test_a_rules_prohibitions_bind_the_request() -> None:
    strict = rule(only=("p1", "q*"), ignore=("p9",), max_price=MaxPrice(prompt=10, completion=20))
    wishes = Wishes(only=("p2", "q1"), ignore=("p8",), max_price=MaxPrice(prompt=5, completion=50, image=3))
    merged = direct("a/1", wishes, strict).wishes
    assert merged.only == ("q1",)
    assert merged.ignore == ("p8", "p9")
    assert merged.max_price == MaxPrice(prompt=5, completion=20, image=3)
    assert direct("a/1", Wishes(only=("p2",)), strict).wishes.only == NOBODY
    assert direct("a/1", NO_WISHES, strict).wishes.only == ("p1", "q*")


# --- Checking ---------------------------------------------------------------------------------------------------------
def test_a_rule_that_can_be_used_has_no_problems() -> None:
    match = {
        "models": ["auto"],
        "hours": [1320, 360],
        "weekdays": [0, 6],
        "timezone": "Asia/Shanghai",
        "needs": ["tools"],
        "headers": [["x-router-task", "sum*"]],
        "key_ids": [3],
        "min_prompt_tokens": 1,
    }
    action = {"models": ["acme/one"], "weights": [0.2, 0, 1], "max_price": [1, None, 3, None]}
    assert problems(match, action) == []


@pytest.mark.parametrize(
    ("match", "action", "field"),
    [
        ({"models": "acme"}, {}, "match.models"),
        ({"models": [1]}, {}, "match.models[0]"),
        ({"models": ["x" * 300]}, {}, "match.models[0]"),
        ({"min_prompt_tokens": -1}, {}, "match.min_prompt_tokens"),
        ({"min_prompt_tokens": True}, {}, "match.min_prompt_tokens"),
        ({"min_prompt_tokens": 10, "max_prompt_tokens": 9}, {"preset": "best"}, "match.max_prompt_tokens"),
        ({"needs": ["wings"]}, {"preset": "best"}, "match.needs"),
        ({"hours": [60]}, {}, "match.hours"),
        ({"hours": [60, 1441]}, {}, "match.hours[1]"),
        ({"hours": [60, 60]}, {"preset": "best"}, "match.hours"),
        ({"weekdays": [7]}, {}, "match.weekdays[0]"),
        ({"timezone": "Nowhere"}, {"preset": "best"}, "match.timezone"),
        ({"headers": [["a"]]}, {}, "match.headers"),
        ({"moon": "full"}, {"preset": "best"}, "match.moon"),
        ({}, {"preset": "luckiest"}, "action.preset"),
        ({}, {"weights": [0, 0, 0]}, "action.weights"),
        ({}, {"weights": [1, 2]}, "action.weights"),
        ({}, {"weights": [1, -2, 1]}, "action.weights"),
        ({}, {"max_price": [-1]}, "action.max_price"),
        ({}, {"pay": True}, "action.pay"),
        ({}, {}, "action"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_by_field(match: dict[str, Any], action: dict[str, Any], field: str) -> None:
    found = problems(match, action)
    assert found[0].field == field
    assert found[0].message


def test_presets_are_told_in_the_message() -> None:
    assert all(name in problems({}, {"preset": "x"})[0].message for name in PRESETS)


# --- Nothing is loosened ----------------------------------------------------------------------------------------------
_providers = st.sampled_from([(), (), ("p1",), ("p2", "p3"), ("p*",), ("*3",)])
_plain = st.sampled_from([(), (), ("p1",), ("p2", "p3")])
_regions = st.sampled_from([(), (), ("EU",), ("us", "EU")])
_caps = st.none() | st.builds(MaxPrice, st.none() | st.integers(0, 3), st.none() | st.integers(0, 3))
_wishes = st.builds(
    Wishes,
    order=_plain,
    only=_plain,
    ignore=_plain,
    allow_fallbacks=st.booleans(),
    no_training=st.booleans(),
    zero_retention=st.booleans(),
    sort=st.sampled_from(["", "price"]),
    max_price=_caps,
    regions=_regions,
)
_actions = st.builds(Action, only=_providers, ignore=_providers, order=_plain, max_price=_caps)
_policies = st.builds(
    ProjectPolicy,
    allowed_providers=_providers,
    denied_providers=_providers,
    regions=_regions,
    no_training=st.booleans(),
    zero_retention=st.booleans(),
    max_price=_caps,
)
_all = [
    deployment(id, provider=f"p{id % 3 + 1}", region=("EU", "US", "")[id % 5 % 3], trains_on_data=(False, None)[id % 2],
               zero_retention=(True, None)[id % 7 % 2])
    for id in range(15)
]  # fmt: skip


def left(wishes: Wishes, policy: ProjectPolicy) -> set[tuple[int, int]]:
    """Deployments that may answer, each at prices from 0 to 3."""
    one, plain = model(), Needs("openai_chat")
    return {
        (each.id, price)
        for each in _all
        if not unwanted(each, one, wishes, policy, plain)
        for price in range(4)
        if not too_dear(MaxPrice(price, price, 0, 0), wishes.max_price, policy.max_price)
    }


@given(_wishes, _actions, _policies)
def test_a_request_never_gets_whom_its_rule_or_its_project_forbids(
    wishes: Wishes, action: Action, policy: ProjectPolicy
) -> None:
    by_rule = direct("a/1", NO_WISHES, Rule(1, "", Match(), action._replace(order=()))).wishes
    merged = direct("a/1", wishes, Rule(1, "", Match(), action)).wishes
    assert left(merged, policy) <= left(by_rule, policy) <= left(NO_WISHES, policy)
    assert left(merged, policy) <= left(wishes._replace(order=merged.order), policy)
