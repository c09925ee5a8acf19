"""The page "What if", and what the log's detail draws of a decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from observability.models import UsageHour
from observability.partitions import first_id_at, moment_of
from observability.recorder import store
from observability.replay_rows import _parts, read_routed
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


@pytest.mark.parametrize(
    ("set_by", "moved"), [("project", 1), ("default", 1), ("request", 0), ("rule", 0), ("alias", 0)]
)
def test_other_weights_move_only_what_the_projects_own_decided(alice: Cast, set_by: str, moved: int) -> None:
    put(alice, DECISION)
    put(alice, {**DECISION, "set_by": set_by, "rule": 5})
    shown = result(alice.page(), alice, SPEED)
    assert f"{1 + moved} of 2 requests would have gone elsewhere first." in shown
    assert ("1 was decided by a rule, an alias or the request itself" in shown) is not moved


def test_the_detail_says_whose_the_weights_were(alice: Cast) -> None:
    shown = alice.page().get(f"/logs/{put(alice, {**DECISION, 'set_by': 'alias'})}").content.decode()
    assert "The name that was asked for stands for these weights." in shown


def test_of_a_large_week_a_part_is_read_and_what_was_charged_is_scaled_up(
    alice: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    for ago in range(40):
        put(alice, DECISION, charge_nanos=1_000_000_000, created_at=now - timedelta(hours=ago))
    monkeypatch.setattr("gateway.what_if.MOST", 10)
    shown = result(alice.page(), alice)
    assert "These are 10 of the week's 40 requests" in shown
    assert "≈ $40.00" in shown


def test_quiet_hours_count_no_more_than_they_should(alice: Cast) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    same: dict[str, Any] = {"organization_id": alice.organization.pk, "project_id": alice.project.pk, "api_key_id": 1}
    for ago in range(1, 161):
        UsageHour.objects.create(
            hour=now - timedelta(hours=ago), model="m", provider="p", requests=70_000 if ago == 80 else 70, **same
        )
    parts = _parts(alice.organization.pk, alice.project.pk, now - timedelta(days=7), now, 1_000)
    busy = now - timedelta(hours=80)
    ids = first_id_at(busy), first_id_at(busy + timedelta(hours=1))
    in_busy = sum(most for low, most in zip(parts.lows, parts.most, strict=True) if ids[0] <= low < ids[1])
    assert abs(sum(parts.most) - 1_000) <= 1
    assert abs(in_busy - 1_000 * 70_000 / parts.total) <= 6
    assert len({(moment_of(low) - now).seconds % 600 for low in parts.lows}) > 60  # not at the same minutes each hour


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
