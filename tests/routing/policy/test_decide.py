"""From a request to an ordered plan, with a reason for everybody who is left out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from routing.policy.candidate import DeploymentInfo, ModelInfo
from routing.policy.decide import Asking, Group, adjusted, decide
from routing.policy.needs import Needs
from routing.policy.plan import NoDeployment, RoutePlan
from routing.policy.project import ProjectPolicy
from routing.policy.vitals import UNKNOWN, Vitals
from routing.policy.weights import PRESETS
from routing.policy.wishes import NO_WISHES, MaxPrice, Wishes
from tests.routing.test_planner import catalogue, deployment

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KNOWN = Vitals(1.0, 60.0, 0.01, 50.0, 50.0, 0.3, "closed", 50.0)


class Prices:
    """Deployment 1 costs 1,000 nanos a token, 2 costs 2,000 and so on; 9 has no price."""

    def expected_nanos(self, one: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        if one.id == 9:
            raise LookupError("no_price")
        return one.id * 1000 * (prompt_tokens + output_tokens)

    def per_million(self, one: DeploymentInfo, prompt_tokens: int) -> MaxPrice:
        return MaxPrice(one.id * 10**9, one.id * 10**9, 0, 0)


def model(*deployments: DeploymentInfo, **changes: Any) -> ModelInfo:
    made = catalogue(*deployments).models["a/m"]
    return replace(made, **changes)


def plan(*deployments: DeploymentInfo, **changes: Any) -> RoutePlan:
    fields: dict[str, Any] = {
        "groups": (Group((model(*deployments),)),), "needs": Needs("openai_chat", prompt_tokens=100), "at": NOW,
        "prices": Prices(), "vitals": lambda _: KNOWN, "speaks": lambda _: True,
    }  # fmt: skip
    return decide(Asking(**(fields | changes)))


def ids(made: RoutePlan) -> list[int]:
    return [step.deployment.id for step in made.steps]


def reasons(made: RoutePlan) -> dict[str, str]:
    return {refusal.provider: refusal.reason for refusal in made.refusals}


ONE, TWO, THREE = deployment(1), deployment(2), deployment(3)


def test_the_best_by_the_weights_is_first_and_everybody_says_why() -> None:
    vitals = {1: KNOWN, 2: KNOWN._replace(first_token_s=0.1, tokens_per_s=600), 3: KNOWN}
    cheap = plan(ONE, TWO, THREE, vitals=vitals.__getitem__, weights=PRESETS["cheapest"])
    quick = plan(ONE, TWO, THREE, vitals=vitals.__getitem__, weights=PRESETS["fastest"])
    assert (ids(cheap), ids(quick)) == ([1, 2, 3], [2, 1, 3])
    assert [step.reason for step in quick.steps] == ["score", "next", "next"]
    assert plan(ONE).steps[0].reason == "only"


@pytest.mark.parametrize(
    ("wishes", "left", "why"),
    [
        (Wishes(only=("p2", "p3")), [2, 3], {"p1": "provider_not_allowed"}),
        (Wishes(ignore=("p1",)), [2, 3], {"p1": "provider_ignored"}),
        (Wishes(order=("p3", "p1")), [3, 1, 2], {}),
        (
            Wishes(order=("p3",), allow_fallbacks=False),
            [3],
            {"p1": "provider_not_allowed", "p2": "provider_not_allowed"},
        ),
        (Wishes(allow_fallbacks=False), [1], {}),
        (Wishes(max_price=MaxPrice(prompt=2 * 10**9)), [1, 2], {"p3": "price_cap"}),
        (Wishes(sort="price"), [1, 2, 3], {}),
    ],
)
def test_wishes(wishes: Wishes, left: list[int], why: dict[str, str]) -> None:
    made = plan(ONE, TWO, THREE, wishes=wishes)
    assert (ids(made), reasons(made)) == (left, why)
    assert made.is_ordered == bool(wishes.order or wishes.sort)


def test_a_project_forbids_whatever_the_request_wishes() -> None:
    policy = ProjectPolicy(denied_providers=("p1",), max_price=MaxPrice(prompt=2 * 10**9))
    made = plan(ONE, TWO, THREE, policy=policy, wishes=Wishes(order=("p1", "p3", "p2")))
    assert (ids(made), reasons(made)) == ([2], {"p1": "provider_ignored", "p3": "price_cap"})


def test_nobody_left_names_what_ruled_each_one_out() -> None:
    many = (deployment(1, enabled=False), deployment(2, draining=True), deployment(9), deployment(4, context_length=10))
    with pytest.raises(NoDeployment) as none:
        plan(*many)
    assert {refusal.provider: refusal.reason for refusal in none.value.refusals} == {
        "p1": "deployment_disabled", "p2": "draining", "p9": "no_price", "p4": "context_length",
    }  # fmt: skip


def test_models_of_one_group_compete_and_groups_follow_each_other() -> None:
    first, second = model(TWO, slug="a/one"), model(ONE, slug="a/two")
    assert ids(plan(groups=(Group((first,)), Group((second,))))) == [2, 1]
    assert ids(plan(groups=(Group((first, second)),))) == [1, 2]
    assert [one.slug for one in plan(groups=(Group((first,)), Group((second,)))).models] == ["a/one", "a/two"]


def test_what_is_slower_than_preferred_only_comes_later() -> None:
    vitals = {1: KNOWN._replace(first_token_s=9.0), 2: KNOWN}
    assert ids(plan(ONE, TWO, vitals=vitals.__getitem__, wishes=Wishes(preferred_max_latency_s=2.0))) == [2, 1]


def test_the_trace_has_every_candidate_with_its_parts_and_every_refusal() -> None:
    made = plan(ONE, TWO, deployment(9), policy=ProjectPolicy(version=7))
    told = json.loads(made.trace)
    assert [one["id"] for one in told["candidates"]] == [1, 2]
    assert {"loss", "latency", "cost", "quality", "samples", "cost_nanos"} <= told["candidates"][0].keys()
    assert (told["policy"], told["refused"]) == (7, [["p9", "a/m", "no_price"]])


def test_only_a_request_that_left_the_choice_to_us_is_told_to_be_auto() -> None:
    named, other = Group((model(ONE),)), Group((model(TWO, slug="a/other"),), auto=True)
    assert "auto" not in json.loads(plan(groups=(named, other)).trace)
    assert json.loads(plan(groups=(other, named)).trace)["auto"] is True


def test_a_warm_cache_goes_first_while_its_deployment_is_well() -> None:
    made = plan(ONE, TWO, THREE)
    warm = adjusted(made, warm=3, chance=0.9, explores=True)
    assert (ids(warm), warm.steps[0].reason) == ([3, 1, 2], "affinity")
    assert adjusted(made, warm=1, chance=0.9, explores=True) is made
    assert adjusted(made, warm=77, chance=0.9, explores=True) is made
    sick = {1: KNOWN, 2: KNOWN, 3: KNOWN._replace(error_rate=0.8)}
    assert ids(adjusted(plan(ONE, TWO, THREE, vitals=sick.__getitem__), warm=3, chance=0.9, explores=True))[0] == 1
    ordered = plan(ONE, TWO, wishes=Wishes(order=("p2",)))
    assert adjusted(ordered, warm=1, chance=0.0, explores=True) is ordered


def test_a_few_requests_look_at_who_is_unknown_and_never_where_that_is_switched_off() -> None:
    vitals = {1: KNOWN, 2: UNKNOWN._replace(first_token_s=1.0)}
    made = plan(ONE, TWO, vitals=vitals.__getitem__)
    looked = [adjusted(made, warm=None, chance=number / 100, explores=True) for number in range(100)]
    assert 0 < sum(one.steps[0].reason == "explored" for one in looked) <= 20
    assert all(sorted(ids(one)) == [1, 2] for one in looked)
    assert adjusted(made, warm=None, chance=0.0, explores=False) is made
    assert NO_WISHES.allow_fallbacks
