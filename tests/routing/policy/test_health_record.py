"""Estimates follow what happened, forget it in time, and are the same whoever counted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.policy.health import Record, Sample
from routing.policy.vitals import UNKNOWN

SAMPLES = st.lists(
    st.builds(
        Sample,
        deployment_id=st.integers(1, 3),
        error_class=st.sampled_from(["", "", "", "server_error", "bad_request"]),
        first_token_s=st.none() | st.floats(0.01, 20),
        output_tokens=st.integers(0, 2000),
        generation_s=st.floats(0, 60),
        lost_s=st.none() | st.floats(0, 60),
    ),
    max_size=60,
)


def _near(one: Any, other: Any) -> bool:
    return all(
        mine == theirs if isinstance(mine, str) else mine == pytest.approx(theirs, rel=0.02, abs=1e-3)
        for mine, theirs in zip(one, other, strict=True)
    )


@given(samples=SAMPLES, data=st.data())
def test_several_processes_know_together_what_one_would_know(samples: list[Sample], data: st.DataObject) -> None:
    alone, parts = Record(), [Record() for _ in range(3)]
    listener = Record()
    for number, sample in enumerate(samples):
        alone.record(sample, 1000.0 + number * 0.005)
        data.draw(st.sampled_from(parts)).record(sample, 1000.0 + number * 0.005)
    now = 1000.0 + len(samples) * 0.005
    for part in data.draw(st.permutations(parts)):
        listener.apply_delta(part.take_delta(now) or [], now, now)
    for deployment_id in (1, 2, 3):
        assert _near(listener.vitals(deployment_id, now), alone.vitals(deployment_id, now))


@pytest.mark.parametrize(
    "error_class", ["bad_request", "context_length", "content_policy", "client_left", "empty", "hedged"]
)
def test_what_says_nothing_of_the_provider_does_not_count(error_class: str) -> None:
    record = Record()
    for _ in range(50):
        record.record(Sample(1, error_class), 5.0)
    assert record.vitals(1, 5.0) == UNKNOWN
    assert record.take_delta(5.0) is None


def test_one_lucky_attempt_proves_little_and_many_do() -> None:
    record = Record()
    record.record(Sample(1, "", 0.05, 500, 1.0), 0.0)
    assert record.vitals(1, 0.0).first_token_s > 0.1
    for _ in range(200):
        record.record(Sample(1, "", 0.05, 500, 1.0), 0.0)
    vitals = record.vitals(1, 0.0)
    assert vitals.first_token_s == pytest.approx(0.05, rel=0.25)
    assert vitals.tokens_per_s == pytest.approx(500, rel=0.1)
    assert (round(vitals.samples), round(vitals.seen)) == (201, 201)


def test_a_change_is_believed_within_a_minute_and_the_usual_is_remembered_for_longer() -> None:
    record, now = Record(), 0.0
    for _ in range(600):
        now += 1
        record.record(Sample(1, "", 0.4, 300, 3.0), now)
    for _ in range(60):
        now += 1
        record.record(Sample(1, "", 4.0, 300, 30.0), now)
    assert record.vitals(1, now).first_token_s > 1.5
    quiet = record.vitals(1, now + 600)
    assert 0.3 < quiet.first_token_s < 2 and quiet.samples < 0.1 < quiet.seen


def test_errors_fade_and_are_mostly_forgiven_when_it_is_well_again() -> None:
    record = Record()
    for _ in range(20):
        record.record(Sample(1, "server_error"), 0.0)
    failing = record.vitals(1, 0.0).error_rate
    record.forgive(1, 0.0)
    for _ in range(5):
        record.record(Sample(1), 1.0)
    assert failing > 0.8 > 0.6 > record.vitals(1, 1.0).error_rate


def test_a_few_failures_in_a_row_are_believed_and_a_few_successes_after_them_too() -> None:
    record, now = Record(), 0.0
    for _ in range(300):
        now += 1
        record.record(Sample(1), now)
    usual = record.vitals(1, now).error_rate
    for _ in range(5):
        now += 1
        record.record(Sample(1, "server_error"), now)
    failing = record.vitals(1, now).error_rate
    for _ in range(10):
        now += 1
        record.record(Sample(1), now)
    assert usual < 0.02 and failing > 0.2
    assert record.vitals(1, now).error_rate < failing * 0.6


def test_one_failure_of_the_usually_good_changes_little() -> None:
    record, now = Record(), 0.0
    for _ in range(300):
        now += 1
        record.record(Sample(1), now)
    record.record(Sample(1, "server_error"), now + 1)
    assert record.vitals(1, now + 1).error_rate < 0.1


def test_who_is_no_longer_asked_is_soon_given_the_benefit_of_what_is_usual() -> None:
    record, now = Record(), 0.0
    for _ in range(600):
        now += 1
        record.record(Sample(1), now)
    for _ in range(20):
        now += 1
        record.record(Sample(1, "server_error"), now)
    rates = [record.vitals(1, now + passed).error_rate for passed in (0, 30, 120, 300)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.6 and rates[2] < 0.5 and rates[3] < 0.15


def test_how_long_failures_take_is_learnt() -> None:
    record = Record()
    record.record(Sample(1), 0.0)
    guessed = record.vitals(1, 0.0).lost_s
    for _ in range(10):
        record.record(Sample(1, "first_token_timeout", lost_s=30.0), 0.0)
        record.record(Sample(2, "connect_failed", lost_s=0.01), 0.0)
        record.record(Sample(3, "cut"), 0.0)
    assert record.vitals(1, 0.0).lost_s > 20 > guessed > 0.5 > record.vitals(2, 0.0).lost_s
    assert record.vitals(3, 0.0).lost_s == pytest.approx(guessed)


def test_an_older_processs_shorter_sums_are_understood() -> None:
    record = Record()
    record.apply_delta([[1, 10, 5, 5, 0, 0, 500, 5]], 0.0, 0.0)
    assert record.vitals(1, 0.0).error_rate > 0.2


@pytest.mark.parametrize("nonsense", [[["x"]], [[1, 2]], [[1, "a", 0, 0, 0, 0, 0, 0]], [[1, *[0] * 10]], [7], [None]])
def test_nonsense_from_elsewhere_is_an_error(nonsense: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Record().apply_delta(nonsense, 0.0, 0.0)
