"""A breaker opens on many failures of few, lets one probe through at a time, and closes when one succeeds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.policy import breaker
from routing.policy.breaker import Breaker

EVENTS = st.lists(st.tuples(st.sampled_from(["good", "bad", "probe", "back"]), st.floats(0, 20)), max_size=80)


@given(EVENTS)
def test_there_are_never_two_probes_at_once(events: list[tuple[str, float]]) -> None:
    one, now, probing_until = Breaker(), 1000.0, 0.0
    for event, passed in events:
        now += passed
        if event == "probe":
            if one.take_probe(now):
                assert now >= probing_until
                probing_until = now + breaker.PROBE_S
        elif event == "back":
            one.give_probe_back()
            probing_until = 0.0
        else:
            _ = one.succeeded(now) if event == "good" else one.failed(now)
            if one.state(now) != "half_open":
                probing_until = 0.0  # the probe is over, and with it the half-open state


@given(st.lists(st.floats(0, 5), min_size=4, max_size=40))
def test_who_only_succeeds_stays_closed(gaps: list[float]) -> None:
    one, now = Breaker(), 0.0
    for gap in gaps:
        now += gap
        one.succeeded(now)
        assert one.state(now) == "closed"


def test_one_failure_opens_nothing_and_three_alone_do() -> None:
    one = Breaker()
    assert [one.failed(10.0) for _ in range(3)] == [False, False, True]
    assert one.state(10.0) == "open"


def _well(kind: breaker.Kind = "deployment") -> Breaker:
    """It succeeded ten times a second for 40 seconds."""
    one = Breaker(kind)
    for number in range(400):
        one.succeeded(number / 10)
    return one


def test_who_fails_in_part_is_left_to_the_score() -> None:
    one = _well()
    for number in range(400):
        assert not one.failed(40.0 + number)
        if number % 4 == 3:
            one.succeeded(40.5 + number)
    assert one.state(1e6) == "closed"


@pytest.mark.parametrize(
    ("gap_s", "opens_at"), [(0.01, breaker.IN_A_DENSE_ROW), (breaker.LONG_ROW_S / 4, breaker.IN_A_ROW)]
)
def test_a_row_opens_it_by_its_length_where_traffic_is_dense_and_by_its_time_where_it_is_not(
    gap_s: float, opens_at: int
) -> None:
    one = _well()
    opened = [one.failed(40.0 + number * gap_s) for number in range(opens_at)]
    assert opened == [False] * (opens_at - 1) + [True]


def test_after_a_probe_that_succeeded_a_few_failures_open_it_again_only_when_that_is_long_ago() -> None:
    for passed_s, opened in ((0.1, False), (2 * breaker.HALF_LIFE_S, True)):
        one = Breaker()
        for _ in range(3):
            one.failed(0.0)
        well_at = one.open_until
        assert one.succeeded(well_at)
        assert [one.failed(well_at + passed_s) for _ in range(3)][-1] is opened


def test_a_credentials_opens_when_half_of_the_attempts_fail_or_three_in_a_row_for_a_while() -> None:
    one = Breaker("credential")
    assert [one.failed(0.0), one.succeeded(0.0), one.failed(0.0), one.failed(0.0)][-1] is True
    for gap_s, opened in ((0.01, False), (breaker.CREDENTIAL_ROW_S / 2, True)):
        one = _well("credential")
        assert [one.failed(40.0 + number * gap_s) for number in range(3)] == [False, False, opened]
    assert one.open_until == 41.0 + breaker.CREDENTIAL_OPEN_S


def test_old_failures_are_forgotten() -> None:
    one = Breaker()
    for number in range(20):
        assert not one.failed(number * 10 * breaker.HALF_LIFE_S) or number >= breaker.IN_A_ROW - 1
        one.succeeded(number * 10 * breaker.HALF_LIFE_S + 1)
    assert one.state(1e6) == "closed"


@given(wait=st.floats(0, 10_000))
def test_a_retry_after_is_kept_to_within_reason(wait: float) -> None:
    one = Breaker()
    assert one.failed(100.0, retry_after_s=wait)
    assert one.open_until == 100.0 + min(max(wait, 0.5), breaker.LONGEST_HOLD_S)


def test_it_opens_for_longer_while_probes_fail_and_begins_anew_once_it_was_well() -> None:
    one, now, waits = Breaker(), 0.0, []
    for _ in range(4):
        one.failed(now)
    for _ in range(6):
        waits.append(one.open_until - now)
        now = one.open_until
        assert one.take_probe(now)
        one.failed(now)
    assert waits == [1.5, 3.0, 6.0, 6.0, 6.0, 6.0]
    now = one.open_until
    assert one.succeeded(now)
    now += breaker.FORGIVEN_S + 1
    for _ in range(4):
        one.failed(now)
    assert one.open_until - now == breaker.FIRST_OPEN_S


def test_a_probe_that_costs_much_time_comes_more_rarely() -> None:
    one = Breaker()
    for _ in range(4):
        one.failed(0.0, lost_s=30.0)
    assert one.open_until == 30.0 * breaker.PER_LOST_S


def test_what_began_before_it_opened_changes_nothing() -> None:
    one = Breaker()
    for _ in range(4):
        one.failed(0.0)
    until = one.open_until
    assert not one.succeeded(until / 2) and not one.failed(until / 2)
    assert one.open_until == until


def test_another_processs_opening_and_closing_are_taken_over() -> None:
    one = Breaker()
    one.open_until_then(50.0, 10.0)
    assert (one.state(49.0), one.state(50.0)) == ("open", "half_open")
    one.open_until_then(40.0, 10.0)
    assert one.open_until == 50.0
    one.close(60.0)
    assert one.state(60.0) == "closed"
