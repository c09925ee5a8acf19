"""The sentence that says why this provider, and the reading of what old and new versions stored."""

from __future__ import annotations

from typing import Any

import pytest

from observability.decision import NONE, decision_in
from observability.records import AttemptRecord
from observability.why import weights_were, why
from tests.observability.conftest import attempt_record

LOW = {"id": 7, "provider": "deepseek", "model": "m/a", "loss": 0.12, "latency": 0.2, "cost": 0, "quality": 0.1}
HIGH = {"id": 8, "provider": "openai", "model": "m/a", "loss": 0.4, "latency": 0, "cost": 0.9, "quality": 0}
LIMITED = {"error_class": "rate_limited", "status": 429, "first_token_ms": None}


def trace(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"attempts": [], "decision": {"weights": [0.35, 0.35, 0.3], "candidates": list(candidates), **more}}


def one(reason: str, **given: Any) -> AttemptRecord:
    return attempt_record(reason=reason, **given)


@pytest.mark.parametrize(
    ("attempts", "stored", "sentence"),
    [
        (
            [one("score")],
            trace(LOW, HIGH),
            "deepseek was chosen of 2: its loss was the lowest (0.12) with the weights speed 35%, cost 35%,"
            " quality 30%.",
        ),
        (
            [one("score", provider="openai", deployment_id=8)],
            trace({**HIGH}, {**LOW, "tier": 1}),
            "openai was chosen of 2: its loss was the lowest (0.40) of those without many errors, with the weights"
            " speed 35%, cost 35%, quality 30%.",
        ),
        (
            [one("priority", provider="openai", **LIMITED), one("failover", number=2)],
            trace(HIGH, LOW),
            "openai was asked first, for staff gave it priority; after openai answered 429 (too many requests),"
            " deepseek answered.",
        ),
        (
            [one("priority", provider="openai", error_class="cut"), one("continue", number=2)],
            trace(HIGH, LOW),
            "openai was asked first, for staff gave it priority; after openai failed (the connection broke), deepseek"
            " went on with the answer.",
        ),
        (
            [one("wish", error_class="connect_failed", status=None)],
            trace(LOW, HIGH, sort="price"),
            "deepseek was asked first, for the request asked for the lowest price; deepseek failed (no connection), and"
            " nobody was left to answer.",
        ),
        (
            [one("only")],
            trace(LOW, refused=[["openai", "m/a", "tools"]]),
            "deepseek was the only one that could be asked: 1 other was left out.",
        ),
        (
            [one("affinity")],
            trace(LOW, HIGH),
            "deepseek was asked again, for it may still hold this prompt's beginning in its cache.",
        ),
        (
            [one("explored")],
            trace(LOW, HIGH),
            "deepseek was tried to learn how fast it is now, as happens to a few requests.",
        ),
        ([one("cheapest")], {"attempts": []}, "deepseek was the cheapest that could answer."),
        ([one("only")], None, "deepseek was the only one that serves this model here."),
        ([one("score")], None, "deepseek was asked first."),
        ([], trace(LOW, HIGH), ""),
    ],
)
def test_the_sentence(attempts: list[AttemptRecord], stored: dict[str, Any] | None, sentence: str) -> None:
    assert why(attempts, decision_in(stored)) == sentence


@pytest.mark.parametrize("stored", [None, {}, {"decision": None}, {"decision": [1]}, {"attempts": []}, {"decision": 1}])
def test_an_old_trace_tells_nothing_of_a_decision(stored: Any) -> None:
    assert decision_in(stored) == NONE


def test_what_cannot_be_read_is_left_out() -> None:
    stored = trace(LOW, {"id": "x"}, {"provider": 3}, refused=[["a"], 5, ["a", "b", "tools"]])
    stored["decision"]["weights"] = "no"
    found = decision_in(stored)
    assert (len(found.candidates), len(found.left_out), found.weights) == (1, 1, None)


def test_those_skipped_at_the_last_moment_are_named() -> None:
    found = decision_in({**trace(LOW, HIGH), "skipped": [[8, "breaker_open"], [99, "breaker_open"], [8]]})
    assert [(one.provider, one.reason) for one in found.left_out] == [("openai", "breaker_open")]


@pytest.mark.parametrize(
    ("told", "by_project", "words"),
    [
        ({"set_by": "project"}, True, "The weights are the project's."),
        ({"set_by": "default"}, True, "The weights are the usual ones"),
        ({"set_by": "project", "rule": 3}, True, "The weights are the project's."),  # a rule about something else
        ({"set_by": "request"}, False, "The request itself named these weights."),
        ({"set_by": "rule", "rule": 3}, False, "A rule of the project named these weights."),
        ({"set_by": "alias"}, False, "The name that was asked for stands for these weights."),
        ({"set_by": "rule", "rule": 3, "ordered": True}, False, ""),
        ({"set_by": "request", "sort": "price"}, False, ""),
        ({"set_by": "somebody new"}, False, ""),
        ({"set_by": 5}, True, ""),
        ({}, True, ""),
        ({"rule": 3}, False, ""),  # before traces said whose the weights are
        ({"ordered": True}, False, ""),
    ],
)
def test_whose_the_weights_were(told: dict[str, Any], by_project: bool, words: str) -> None:
    found = decision_in(trace(LOW, HIGH, **told))
    assert found.by_project is by_project
    assert weights_were(found).startswith(words) and bool(weights_were(found)) is bool(words)
