"""What an answer tells of its routing: a pure function of what is known at the end."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.metadata import Facts, explained_body, explained_ending, is_asked, openrouter_shape, own_shape
from observability.records import AttemptRecord
from routing.policy.decide import Group, adjusted
from routing.policy.plan import Refusal, RoutePlan
from routing.policy.vitals import UNKNOWN
from routing.policy.wishes import Wishes
from tests.routing.policy.test_decide import KNOWN, ONE, THREE, TWO, catalogue, deployment, model, plan

GONE = replace(deployment(4), enabled=False)
PLAN = plan(ONE, TWO, THREE, GONE)
SLUG = PLAN.model.slug


def attempt(number: int, of: Any, error_class: str = "", status: int | None = 200, reason: str = "score") -> Any:
    return AttemptRecord(number, of.provider, of.id, "openai_chat", reason, 10 * number, 5, 3, status, error_class)


FAILED = attempt(1, ONE, "server_error", 500)
GOOD = attempt(2, TWO, reason="failover")
OVER = Facts(SLUG, PLAN, (), (FAILED, GOOD), ((THREE.id, "breaker_open"),), TWO, overhead_ms=1.2345)


def test_openrouters_shape_names_everybody_and_who_answered() -> None:
    assert openrouter_shape(OVER) == {
        "requested": SLUG,
        "strategy": "direct",
        "region": None,
        "summary": f"available=3, selected={TWO.provider}",
        "attempt": 2,
        "is_byok": False,
        "endpoints": {
            "total": 4,
            "available": [
                {"provider": one.provider, "model": SLUG, "selected": one is TWO} for one in (ONE, TWO, THREE)
            ],
        },
        "attempts": [
            {"provider": ONE.provider, "model": SLUG, "status": 500},
            {"provider": TWO.provider, "model": SLUG, "status": 200},
        ],
        "pipeline": [],
    }


def test_our_own_shape_says_why() -> None:
    own = own_shape(OVER)
    assert own["source"] == "score" and own["weights_version"] == 0 and own["overhead_ms"] == 1.23
    assert sum(own["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert [one["provider"] for one in own["candidates"]] == [one.provider for one in (ONE, TWO, THREE)]
    first = own["candidates"][0]
    assert first["samples"] == KNOWN.samples and first["first_token_s"] == KNOWN.first_token_s
    assert first["loss"] == first["cost"] == 0 and own["candidates"][1]["cost"] > 0
    assert own["refused"] == [
        {"provider": THREE.provider, "model": SLUG, "reason": "breaker_open"},
        {"provider": GONE.provider, "model": SLUG, "reason": "deployment_disabled"},
    ]
    failed, good = own["attempts"]
    assert (failed["error_class"], failed["status"], failed["reason"]) == ("server_error", 500, "score")
    assert (good["error_class"], good["first_token_ms"], good["reason"]) == (None, 3, "failover")


def test_our_own_shape_shows_no_id_and_no_price_but_the_callers() -> None:
    text = json.dumps(own_shape(OVER))
    assert '"id"' not in text and "nanos" not in text and "upstream" not in text and "secret" not in text
    cost = own_shape(OVER)["candidates"][0]["expected_cost_usd"]
    scored = PLAN.steps[0].scored
    assert scored is not None and cost == scored.option.cost_nanos / 10**9


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (attempt(1, ONE), 200),
        (attempt(1, ONE, "rate_limited", 429), 429),
        (attempt(1, ONE, "connect_timeout", None), 504),
        (attempt(1, ONE, "first_token_timeout", 200), 504),
        (attempt(1, ONE, "reset", None), 502),
        (attempt(1, ONE, "malformed", 200), 502),
        (attempt(1, ONE, "hedged", None), 499),
    ],
)
def test_an_attempts_status_is_the_providers_or_what_its_failure_comes_to(given: AttemptRecord, status: int) -> None:
    assert openrouter_shape(Facts(SLUG, PLAN, attempts=(given,)))["attempts"][0]["status"] == status


def test_attempts_stand_in_the_order_in_which_they_began_and_the_one_that_answered_is_named() -> None:
    told = openrouter_shape(
        Facts(SLUG, PLAN, attempts=(attempt(2, TWO, "hedged", None), attempt(1, ONE)), answered=ONE)
    )
    assert [one["provider"] for one in told["attempts"]] == [ONE.provider, TWO.provider]
    assert told["attempt"] == 1


OTHER = catalogue(deployment(1)).models["a/m"]
ANOTHER = replace(OTHER, slug="a/n", deployments=(replace(ONE, id=11),))


@pytest.mark.parametrize(
    ("requested", "made", "strategy"),
    [
        (SLUG, PLAN, "direct"),
        (SLUG.upper(), PLAN, "direct"),
        (f"{SLUG}:nitro", PLAN, "direct"),
        (f"{SLUG}:free", PLAN, "free"),
        ("usual-name", PLAN, "alias"),
        (f"{SLUG}-2", PLAN, "alias"),
        ("auto", PLAN, "auto"),
        ("auto:cheapest", None, "auto"),
        ("smart", plan(ONE, groups=(Group((model(ONE),), auto=True),)), "auto"),
        (SLUG, plan(ONE, groups=(Group((OTHER,)), Group((ANOTHER,)))), "fallback"),
        ("unknown", None, "direct"),
    ],
)
def test_the_strategy_is_one_of_openrouters_words(requested: str, made: RoutePlan | None, strategy: str) -> None:
    assert openrouter_shape(Facts(requested, made))["strategy"] == strategy


def test_without_a_plan_the_refusals_are_told() -> None:
    facts = Facts("a/m", refusals=(Refusal("p1", "price_cap", "a/m"),))
    told, own = openrouter_shape(facts), own_shape(facts)
    assert (told["endpoints"], told["attempt"]) == ({"total": 1, "available": []}, 0)
    assert told["summary"] == "available=0, selected=none"
    assert own["refused"] == [{"provider": "p1", "model": "a/m", "reason": "price_cap"}]
    assert (own["candidates"], own["weights"], own["source"]) == ([], None, None)


def test_what_can_grow_is_cut() -> None:
    many = tuple(Refusal("p", "images", f"a/{number}") for number in range(1_000))
    assert len(own_shape(Facts("a", refusals=many))["refused"]) == 50
    assert len(openrouter_shape(Facts("a" * 10_000))["requested"]) == 160


def test_a_plan_that_was_adjusted_or_wished_for_says_so() -> None:
    warm = adjusted(PLAN, warm=TWO.id, chance=0.5, explores=False)
    assert own_shape(Facts(SLUG, warm))["source"] == "affinity"
    wished = own_shape(Facts(SLUG, plan(ONE, TWO, wishes=Wishes(sort="price", preset="fastest"))))
    assert (wished["source"], wished["sort"], wished["preset"]) == ("wish", "price", "fastest")
    unknown = own_shape(Facts(SLUG, plan(ONE, rule_id=7, vitals=lambda _: UNKNOWN)))
    assert unknown["rule"] == 7 and unknown["candidates"][0]["samples"] == 0


def exchange(endpoint: str = "openai_chat", status: int = 200) -> Exchange:
    made = Exchange(endpoint, model_asked=SLUG, plan=PLAN, attempts=[GOOD], deployment=TWO, status=status)
    made.caller = object()  # type: ignore[assignment]
    return made


BOTH, OURS = {"openrouter_metadata", "router_metadata"}, {"router_metadata"}


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, set()),
        ({b"x-openrouter-metadata": b"enabled"}, BOTH),
        ({b"x-openrouter-experimental-metadata": b" Enabled "}, BOTH),
        ({b"x-router-metadata": b"enabled"}, OURS),
        ({b"x-router-metadata": b"enabled", b"x-openrouter-metadata": b"disabled"}, OURS),
        ({b"x-router-metadata": b"true"}, set()),
        ({b"x-openrouter-metadata": b""}, set()),
    ],
)
def test_a_header_asks_for_it(headers: dict[bytes, bytes], found: set[str]) -> None:
    assert is_asked(headers) is bool(headers)
    assert set(json.loads(explained_body(headers, exchange(), b"{}"))) == found
    event = explained_ending(headers, exchange(), b"data: {}\n\n")
    assert set(json.loads(event.removeprefix(b"data: "))) == found


def test_an_error_names_nobody_as_selected_unless_something_was_delivered() -> None:
    def selected(made: Exchange) -> list[bool]:
        told = json.loads(explained_body({b"x-router-metadata": b"enabled"}, made, b"{}"))
        return [one["selected"] for one in told["router_metadata"]["endpoints"]["available"]]

    broken = exchange(status=502)
    assert not any(selected(broken))
    broken.delivery.content = True
    assert selected(broken) == [False, True, False]


def test_nothing_is_told_to_whom_we_do_not_know_or_of_a_request_that_could_not_be_read() -> None:
    headers = {b"x-router-metadata": b"enabled"}
    stranger, unread = exchange(status=401), exchange(status=400)
    stranger.caller, unread.model_asked = None, ""
    assert explained_body(headers, stranger, b"{}") == explained_body(headers, unread, b"{}") == b"{}"
