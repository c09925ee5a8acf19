from __future__ import annotations

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import QueryDict, StreamingHttpResponse
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Project
from observability import exports
from observability.usage import read_usage_filter
from tests.observability.conftest import Cast, Save, attempt_record

TODAY = date(2026, 11, 22)
# A moment of the organization's day, not of UTC's: Shanghai is eight hours ahead.
LATE = datetime(2026, 11, 20, 16, 30, tzinfo=UTC)  # 00:30 of the 21st in Shanghai


async def whole(answer: StreamingHttpResponse) -> bytes:
    return b"".join([piece async for piece in answer])


def lines(cast: Cast, address: str) -> list[list[str]]:
    answer = cast.page().get(address)
    assert answer.status_code == 200
    assert "attachment" in answer.headers["Content-Disposition"]
    content = async_to_sync(whole)(answer) if answer.streaming else answer.content
    return list(csv.reader(io.StringIO(content.decode())))


@pytest.mark.parametrize(
    ("query", "first", "last", "by"),
    [
        ("", "2026-10-24", "2026-11-22", "model"),
        ("range=today&by=key", "2026-11-22", "2026-11-22", "key"),
        ("from=2026-11-01&to=2026-11-03", "2026-11-01", "2026-11-03", "model"),
        ("from=2026-11-03&to=2026-11-01", "2026-11-01", "2026-11-03", "model"),
        ("from=2026-11-03", "2026-11-03", "2026-11-22", "model"),
        ("from=2020-01-01&to=2026-11-22", "2025-11-22", "2026-11-22", "model"),
        ("from=yesterday&range=nonsense&by=prompt&project=x", "2026-10-24", "2026-11-22", "model"),
        ("from=0001-01-01&to=9999-12-31", "2026-10-24", "2026-11-22", "model"),
    ],
)
def test_an_address_chooses_days(query: str, first: str, last: str, by: str) -> None:
    found = read_usage_filter(QueryDict(query), today=TODAY)
    assert (found.first.isoformat(), found.last.isoformat(), found.by) == (first, last, by)


def test_a_visitor_is_asked_to_sign_in(client: object, db: None) -> None:
    for path in ("/usage", "/usage.csv", "/logs.csv"):
        assert client.get(path).status_code == 302  # type: ignore[attr-defined]


def test_an_hour_counts_to_the_organizations_day(alice: Cast, save: Save) -> None:
    save(alice, created_at=LATE, charge_nanos=7)
    query = "from=2026-11-15&to=2026-11-21"
    assert lines(alice, f"/usage.csv?{query}")[1:] == [
        ["2026-11-21", "deepseek/flash", "1", "1", "0", "100", "40", "20", "0.000000007"]
    ]
    assert lines(alice, "/usage.csv?from=2026-11-15&to=2026-11-20")[1:] == []
    alice.organization.timezone = "America/New_York"
    alice.organization.save()
    assert lines(alice, f"/usage.csv?{query}")[1][0] == "2026-11-20"


def test_few_days_are_shown_by_the_hour(alice: Cast, save: Save) -> None:
    save(alice, created_at=LATE)
    [_head, line] = lines(alice, "/usage.csv?from=2026-11-21&to=2026-11-21")
    assert line[0] == "2026-11-21T00:00:00+08:00"
    text = alice.page().get("/usage?from=2026-11-21&to=2026-11-21").content.decode()
    assert "Charges per hour" in text
    assert "2026-11-21 00:00" in text


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("model", ["m/dear", "m/cheap", "not sent"]),
        ("key", ["alice-key …7Qm2", "=cmd …0000"]),
        ("project", ["alice&#x27;s project", "second"]),
        ("provider", ["p2", "p1", "not sent"]),
    ],
)
def test_figures_come_by_each_dimension_the_dearest_first(
    alice: Cast, bob: Cast, save: Save, by: str, names: list[str]
) -> None:
    second = Project.objects.create(organization=alice.organization, name="second")
    key = ApiKey.objects.create(project=second, name="=cmd", key_hash=b"x" * 32, prefix="sk-ro-zz", last_four="0000")
    save(alice, model="m/dear", provider="p2", charge_nanos=9_000)
    save(alice, model="m/cheap", provider="p1", charge_nanos=10, project_id=second.pk, api_key_id=key.pk)
    save(alice, model="", provider="", outcome="refused", status=404, charge_nanos=0, input_tokens=0)
    save(bob, model="m/bobs")
    text = alice.page().get(f"/usage?by={by}").content.decode()
    panel = text[text.index('id="by-name"') : text.index('id="by-time"')]
    found = re.findall(r'<td role="cell" class="key full">(?:<a[^>]*>)?([^<]*)<', panel)
    assert found == names
    assert "33.34% not answered" in text
    assert "m/bobs" not in text


def test_a_project_can_be_chosen_but_not_another_organizations(alice: Cast, bob: Cast, save: Save) -> None:
    second = Project.objects.create(organization=alice.organization, name="second")
    save(alice)
    save(alice, project_id=second.pk, model="m/second")
    assert [line[1] for line in lines(alice, f"/usage.csv?project={second.pk}")[1:]] == ["m/second"]
    for path in ("/usage", "/usage.csv", "/logs.csv"):
        assert alice.page().get(f"{path}?project={bob.project.pk}").status_code == 404


def test_without_usage_the_page_says_what_to_do(alice: Cast) -> None:
    text = alice.page().get("/usage").content.decode()
    assert "No usage in this time" in text
    assert 'href="/keys"' in text


def test_the_page_never_reads_the_log(alice: Cast, save: Save) -> None:
    save(alice)
    with CaptureQueriesContext(connection) as queries:
        assert alice.page().get("/usage").status_code == 200
    assert [query for query in queries if "requestlog" in query["sql"]] == []


def test_the_side_bar_leads_to_it(alice: Cast) -> None:
    assert 'href="/usage" aria-current="page"' in alice.page().get("/usage").content.decode()


def test_a_spreadsheet_runs_no_formula(alice: Cast, save: Save) -> None:
    alice.key.name = "=HYPERLINK(1)"
    alice.key.save()
    save(alice)
    assert lines(alice, "/usage.csv?by=key")[1][1] == "'=HYPERLINK(1) …7Qm2"
    assert lines(alice, "/logs.csv")[1][3] == "'=HYPERLINK(1) …7Qm2"


def test_the_log_goes_into_a_file_with_its_filters(alice: Cast, bob: Cast, save: Save) -> None:
    row = save(alice, attempt_record(), charge_nanos=1_234_567_891)
    save(alice, outcome="failed", status=502)
    save(bob)
    [head, line] = lines(alice, "/logs.csv?result=answered")
    found = dict(zip(head, line, strict=True))
    assert (found["id"], found["charged_usd"], found["outcome"]) == (row.id, "1.234567891", "answered")
    assert found["time"] == row.created_at
    assert (found["project"], found["key"]) == ("alice's project", "alice-key …7Qm2")


def test_the_file_is_bounded_and_read_a_piece_at_a_time(
    alice: Cast, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST_LOG_ROWS", 5)
    monkeypatch.setattr(exports, "_AT_ONCE", 2)
    now = datetime.now(UTC)
    rows = [save(alice, created_at=now - timedelta(minutes=number)) for number in range(7)]
    assert [line[0] for line in lines(alice, "/logs.csv")[1:]] == [row.id for row in rows[:5]]
