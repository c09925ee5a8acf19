"""A week routed again with other weights."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from routing.policy.replay import Past, Request, replay, reranked
from routing.policy.weights import BALANCED, PRESETS, Weights

CHEAP = Past(1, "cheap", 0, 0.28, 0.8, 0.0, 0.0, 1_000, 10.0, 2.0, 0.1)
FAST = Past(2, "fast", 0, 0.3, 0.0, 0.86, 0.0, 7_000, 2.0, 0.4, 0.0)
ASKED = Request("m", "cheap", 1, (CHEAP, FAST), 2_000, 3_000, 20_000, False)
SPEED = Weights(1, 0, 0)


def asked(**given: Any) -> Request:
    return ASKED._replace(**given)


def test_where_another_comes_first_what_happened_is_scaled() -> None:
    summary = replay([ASKED], SPEED)
    assert (summary.moved, summary.after.charge_nanos, summary.after.duration_ms) == (1, 14_000, 4_000)
    assert (round(summary.after.first_token_ms), summary.after.providers) == (600, {"fast": 1})
    assert summary.before.providers == {"cheap": 1}


def test_the_weights_that_were_in_force_change_nothing() -> None:
    summary = replay([ASKED, asked(stumbled=True, provider="fast", answered_by=2)], BALANCED)
    assert (summary.moved, summary.after) == (0, summary.before)


def test_requests_without_a_choice_are_counted_and_stay() -> None:
    rows = [asked(candidates=(CHEAP,)), asked(candidates=()), asked(fixed=True)]
    summary = replay(rows, SPEED)
    assert (summary.no_choice, summary.fixed, summary.moved) == (2, 1, 0)
    assert summary.after == summary.before


def test_a_degraded_candidate_stays_behind_whatever_the_weights() -> None:
    late = FAST._replace(tier=1)
    assert reranked((CHEAP, late), SPEED)[0] is CHEAP


def test_a_class_of_priority_stays_first() -> None:
    first = CHEAP._replace(loss=0.9)  # it stood first although its loss is higher
    assert reranked((first, FAST), SPEED)[0] is first


def test_a_request_that_nobody_answered_counts_what_is_expected() -> None:
    summary = replay([asked(answered_by=None, provider="", charge_nanos=0, stumbled=True)], SPEED)
    assert (summary.after.charge_nanos, summary.after.stumbled, summary.before.stumbled) == (7_000, 0, 1)


def test_nothing_is_an_empty_summary() -> None:
    assert replay([], SPEED).requests == 0


parts = st.floats(0, 1)
pasts = st.builds(
    Past,
    st.integers(1, 9),
    st.sampled_from("abc"),
    st.integers(0, 2),
    parts,
    parts,
    parts,
    parts,
    st.integers(0, 10**9),
    st.floats(0, 600),
    st.floats(0, 60),
    parts,
)
requests = st.builds(
    Request,
    st.just("m"),
    st.sampled_from(["", "a", "b"]),
    st.none() | st.integers(1, 9),
    st.lists(pasts, max_size=4, unique_by=lambda one: one.id).map(tuple),
    st.integers(0, 10**9),
    st.none() | st.integers(0, 60_000),
    st.integers(0, 600_000),
    st.booleans(),
    st.booleans(),
)


@given(st.lists(requests, max_size=6), st.sampled_from(list(PRESETS.values())), st.floats(0.1, 100))
def test_only_the_proportions_of_weights_count_and_no_sum_is_negative(
    rows: list[Request], weights: Weights, times: float
) -> None:
    summary = replay(rows, weights)
    scaled = replay(rows, Weights(*(weight * times for weight in weights)))
    assert summary.moved + summary.no_choice + summary.fixed <= summary.requests == len(rows)
    assert scaled.moved == summary.moved
    assert min(summary.after.charge_nanos, summary.after.duration_ms, summary.after.stumbled) >= 0
    assert summary.after.stumbled <= len(rows)
