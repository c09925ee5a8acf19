from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import Project
from observability.charts import BOTTOM, NANOS, TOP, axis_label, ceiling, spans, stacked_bars
from observability.overview import days_of, summarize
from tests.observability.conftest import Cast, Save

SHANGHAI = ZoneInfo("Asia/Shanghai")
LISTEN = {"HX-Request": "true", "HX-Target": "first-run"}


def test_figures_are_the_sums_of_the_range(alice: Cast, bob: Cast, save: Save) -> None:
    save(alice)
    save(alice, outcome="failed", status=502, charge_nanos=0, first_token_ms=None)
    save(alice, attempt_count=2, first_token_ms=501)
    save(alice, created_at=datetime.now(UTC) - timedelta(days=40))
    save(bob)
    days = days_of("30d", now=datetime.now(UTC), zone=SHANGHAI)
    figures = summarize(alice.organization.pk, [alice.project.pk], days, SHANGHAI).figures
    assert (figures.requests, figures.answered, figures.failed_over) == (3, 2, 1)
    assert (figures.charged_nanos, figures.answered_percent, figures.first_token_ms) == (10_000, "66.66", 400)


def test_a_day_is_the_users_day(alice: Cast, save: Save) -> None:
    save(alice, created_at=datetime(2026, 11, 21, 15, 59, tzinfo=UTC))  # 23:59 in Shanghai
    save(alice, created_at=datetime(2026, 11, 21, 16, 1, tzinfo=UTC))  # the next day there
    now = datetime(2026, 11, 22, 2, tzinfo=UTC)
    days = days_of("7d", now=now, zone=SHANGHAI)
    chart = summarize(alice.organization.pk, [alice.project.pk], days, SHANGHAI).chart
    assert [(bar.day, bar.total_nanos) for bar in chart.bars][-2:] == [
        (date(2026, 11, 21), 5_000),
        (date(2026, 11, 22), 5_000),
    ]
    assert days_of("today", now=now, zone=SHANGHAI) == [date(2026, 11, 22)]


def test_the_page_shows_figures_keys_and_latest_requests(alice: Cast, save: Save) -> None:
    row = save(alice, charge_nanos=1_234_567)
    text = alice.page().get("/overview?range=30d").content.decode()
    for words in ("100% answered", "300 ms", "alice-key", row.id, "Show as table", "<rect"):
        assert words in text, words


def test_staff_without_an_organization_are_sent_to_the_admin(alice: Cast) -> None:
    alice.user.memberships.all().delete()
    refused = alice.page().get("/overview")
    assert refused.status_code == 403
    alice.user.is_staff = True
    alice.user.save()
    sent_on = alice.page().get("/overview")
    assert (sent_on.status_code, sent_on["location"]) == (302, "/admin/")


def test_a_project_can_be_chosen(alice: Cast, save: Save) -> None:
    other = Project.objects.create(organization=alice.organization, name="other")
    save(alice)
    hers = save(alice, project_id=other.pk)
    text = alice.page().get(f"/overview?project={other.pk}").content.decode()
    assert re.findall(r'id="r-([0-9a-f-]{36})"', text) == [hers.id]


@pytest.mark.parametrize("query", ["?range=nonsense", "?project=x", "?project=9999999999999999999999"])
def test_nonsense_in_the_address_is_ignored(alice: Cast, query: str) -> None:
    assert alice.page().get(f"/overview{query}").status_code == 200


def test_figures_never_come_from_the_log(alice: Cast, save: Save) -> None:
    save(alice)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert alice.page().get("/overview").status_code == 200
    of_log = [query["sql"] for query in queries if "observability_requestlog" in query["sql"]]
    assert len(of_log) == 1
    assert "LIMIT 5" in of_log[0]
    assert "trace" not in of_log[0]  # a list shows nothing of it, and it is the largest part of a row


def test_the_balance_is_read_once(alice: Cast) -> None:
    with CaptureQueriesContext(connection) as queries:
        text = alice.page().get("/overview").content.decode()
    assert sum("posted_nanos" in query["sql"] for query in queries) == 1
    assert text.count("$0.00") >= 2  # in the bar and among the figures


def test_the_checklist_listens_until_the_first_request(alice: Cast, save: Save) -> None:
    page = alice.page()
    assert "listening" in page.get("/overview").content.decode()
    assert page.get("/overview", headers=LISTEN).status_code == 204
    assert "HX-Refresh" not in page.get("/overview", headers=LISTEN).headers
    save(alice)
    assert page.get("/overview", headers=LISTEN).headers["HX-Refresh"] == "true"
    text = page.get("/overview").content.decode()
    assert "first-run" in text
    assert "listening" not in text


def test_the_checklist_goes_a_day_after_the_first_request(alice: Cast, save: Save) -> None:
    save(alice, created_at=datetime.now(UTC) - timedelta(days=2))
    assert "first-run" not in alice.page().get("/overview").content.decode()


def test_the_first_step_is_a_key_when_there_is_none(alice: Cast) -> None:
    alice.key.delete()
    text = alice.page().get("/overview").content.decode()
    assert "Create key" in text
    assert "listening" not in text


@given(st.integers(min_value=1, max_value=10**18))
def test_the_axis_reaches_the_highest_bar_and_not_far_beyond(most: int) -> None:
    assert most <= ceiling(most) <= 2.5 * most


@pytest.mark.parametrize(("nanos", "label"), [(0, "$0"), (NANOS, "$1"), (250_000_000, "$0.25"), (4_000, "$0.000004")])
def test_axis_labels_are_plain_dollars(nanos: int, label: str) -> None:
    assert axis_label(nanos) == label


def test_bars_stack_to_their_total_and_small_models_go_together() -> None:
    days = [date(2026, 11, 21), date(2026, 11, 22)]
    charges = {(days[1], f"m{number}"): number * NANOS for number in range(9)}
    chart = stacked_bars(days, charges)
    assert [one.name for one in chart.series] == ["m8", "m7", "m6", "m5", "m4", ""]
    assert chart.series[-1].members == 3
    assert [sum(bar.parts) for bar in chart.bars] == [0, 36 * NANOS]
    height = sum(block.height for block in chart.bars[1].blocks)
    assert abs(height - (BOTTOM - TOP) * 36 / 40) < 0.1


def test_nothing_charged_is_an_empty_chart() -> None:
    chart = stacked_bars([date(2026, 11, 22)], {})
    assert (chart.series, chart.total_nanos, chart.bars[0].blocks) == ((), 0, ())


@given(st.integers(0, 10**6), st.floats(0, 10**7), st.floats(0, 10**7))
def test_a_waterfall_bar_stays_inside(total: int, start: float, length: float) -> None:
    [one] = spans(total, [("give", start, length)])
    x, width = float(one.x[:-1]), float(one.width[:-1])
    assert x >= 0
    assert width >= 0.5
    assert x + width <= 100.01
