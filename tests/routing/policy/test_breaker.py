"""A breaker opens on many failures of few, lets one probe through at a time, and closes when one succeeds."""

from __future__ import annotations

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


def test_a_few_failures_among_many_successes_open_nothing_but_many_in_a_row_do() -> None:
    one = Breaker()
    for number in range(400):
        one.succeeded(number / 10)
        if number % 4 == 0:
            assert not one.failed(number / 10)
    assert [one.failed(40.0) for _ in range(breaker.IN_A_ROW)][-1] is True


def test_three_in_a_row_open_it_where_they_last_and_not_where_traffic_is_dense() -> None:
    for gap_s, opened in ((0.01, False), (breaker.LONG_ROW_S / 2, True)):
        one = Breaker()
        for number in range(400):
            one.succeeded(number / 10)
        assert [one.failed(40.0 + number * gap_s) for number in range(3)] == [False, False, opened]


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
    assert waits == [3.0, 6.0, 10.0, 10.0, 10.0, 10.0]
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
    assert not one.succeeded(1.0) and not one.failed(1.0)
    assert one.open_until == until


def test_another_processs_opening_and_closing_are_taken_over() -> None:
    one = Breaker()
    one.open_until_then(50.0, 10.0)
    assert (one.state(49.0), one.state(50.0)) == ("open", "half_open")
    one.open_until_then(40.0, 10.0)
    assert one.open_until == 50.0
    one.close(60.0)
    assert one.state(60.0) == "closed"
