"""The page "What if", and what the log's detail draws of a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.test import Client

from observability.recorder import store
from observability.replay_rows import read_routed
from tests.observability.conftest import Cast, attempt_record, request_record
from tests.observability.many_rows import fill, plans

CHEAP = {
    "id": 7,
    "provider": "deepseek",
    "model": "m/a",
    "loss": 0.28,
    "latency": 0.8,
    "cost": 0,
    "quality": 0,
    "tier": 0,
    "cost_nanos": 1000,
    "seconds": 10,
    "first_token_s": 2,
    "error_rate": 0.1,
}
FAST = {**CHEAP, "id": 8, "provider": "openai", "loss": 0.3, "latency": 0, "cost": 0.86, "cost_nanos": 7000}
FAST |= {"seconds": 2, "first_token_s": 0.4, "error_rate": 0}
DECISION = {"weights": [0.35, 0.35, 0.3], "candidates": [CHEAP, FAST], "refused": [["xai", "m/a", "tools"]]}
SPEED = "?preset=custom&latency_weight=100&cost_weight=0&quality_weight=0"


def put(cast: Cast, decision: dict[str, Any] | None = None, **given: Any) -> str:
    trace = {"attempts": [list(attempt_record(reason="score"))], "decision": decision}
    record = request_record(cast, trace=trace, **given)
    with transaction.atomic(), connection.cursor() as cursor:
        store(cursor, [record])
    return record.id


def result(page: Client, cast: Cast, query: str = "") -> str:
    answer = page.get(f"/projects/{cast.project.pk}/what-if{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_detail_draws_the_decision_and_who_was_left_out(alice: Cast) -> None:
    shown = alice.page().get(f"/logs/{put(alice, DECISION)}").content.decode()
    assert "deepseek was chosen of 2: its loss was the lowest (0.28)" in shown
    assert "Who could have answered" in shown
    assert "has no tools" in shown


def test_a_row_from_before_decisions_were_kept_shows_its_attempts(alice: Cast) -> None:
    shown = alice.page().get(f"/logs/{put(alice)}").content.decode()
    assert "Attempts" in shown
    assert "Who could have answered" not in shown


def test_other_weights_say_what_would_have_changed(alice: Cast) -> None:
    for _ in range(3):
        put(alice, DECISION, charge_nanos=1_000_000)
    put(alice, {**DECISION, "candidates": [CHEAP]}, charge_nanos=1_000_000)
    shown = result(alice.page(), alice, SPEED)
    assert "3 of 4 requests would have gone elsewhere first." in shown
    assert "For 1 there was no choice." in shown
    assert "+450.0%" in shown  # three of four cost seven times as much


def test_the_projects_own_weights_are_where_it_starts(alice: Cast) -> None:
    put(alice, DECISION)
    assert "0 of 1 requests would have gone elsewhere first." in result(alice.page(), alice)


def test_nothing_to_compare_is_said(alice: Cast) -> None:
    assert "nothing to compare" in result(alice.page(), alice)
    put(alice)
    assert "was nothing that weights could have decided" in result(alice.page(), alice)


def test_nobody_replays_another_organizations_requests(alice: Cast, bob: Cast) -> None:
    put(bob, DECISION)
    assert alice.page().get(f"/projects/{bob.project.pk}/what-if").status_code == 404
    now = datetime.now(UTC)
    span = {"since": now - timedelta(days=7), "until": now + timedelta(seconds=1), "most": 10}
    assert read_routed(alice.organization.pk, bob.project.pk, **span).rows == []


def test_a_large_week_is_read_evenly_and_by_index(alice: Cast) -> None:
    fill(alice, 20_000)
    now = datetime.now(UTC)
    with plans() as found:
        sample = read_routed(
            alice.organization.pk, alice.project.pk, since=now - timedelta(days=7), until=now, most=100
        )
    assert [plan.scans for plan in found if plan.scans] == []
    assert sample.total > 150
    assert 0 < len(sample.rows) < sample.total


def test_odd_addresses_are_no_error(alice: Cast) -> None:
    put(alice, DECISION)
    for query in ("?preset=x", "?latency_weight=-1", "?latency_weight=99999999999", "?preset=custom", "?cost_weight=٣"):
        result(alice.page(), alice, query)
