from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client

from accounts.models import ApiKey, Project
from observability import log_query
from observability.models import RequestLog
from tests.observability.conftest import Cast, Save, attempt_record, new_id

NOW = datetime.now(UTC)
POLL = {"HX-Request": "true", "HX-Target": "log-panel"}
DRAWER = {"HX-Request": "true", "HX-Target": "log-drawer-body"}


def shown(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"/logs{query}")
    assert answer.status_code == 200
    return re.findall(r'id="r-([0-9a-f-]{36})"', answer.content.decode())


def link(client: Client, query: str, rel: str) -> str | None:
    found = re.search(rf'rel="{rel}" href="/logs\?([^"]*)"', client.get(f"/logs{query}").content.decode())
    return "?" + found[1].replace("&amp;", "&") if found else None


def test_a_visitor_is_asked_to_sign_in(client: Client, db: None) -> None:
    for path in ("/logs", f"/logs/{uuid4()}", "/overview"):
        answer = client.get(path)
        assert (answer.status_code, "login" in answer.headers["Location"]) == (302, True)


def test_nobody_sees_another_organizations_requests(alice: Cast, bob: Cast, save: Save) -> None:
    hers, his = save(alice), save(bob)
    page = alice.page()
    assert shown(page) == [hers.id]
    assert shown(page, f"?q={his.id}") == []
    assert shown(page, f"?key={bob.key.pk}") == []
    assert page.get(f"/logs?project={bob.project.pk}").status_code == 404
    assert page.get(f"/logs/{his.id}").status_code == 404
    assert page.get(f"/logs/{his.id}", headers=DRAWER).status_code == 404
    assert page.get(f"/overview?project={bob.project.pk}").status_code == 404
    assert page.get(f"/logs/{hers.id}").status_code == 200


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("", 5),
        ("?result=answered", 2),
        ("?result=failover", 1),
        ("?result=refused", 1),
        ("?result=failed", 1),
        ("?result=client_left", 1),
        ("?model=openai/sol", 1),
        ("?q=SOL", 1),
        ("?model=openai/sol&q=SOL&result=failed", 1),
        ("?model=openai/sol&q=flash", 0),
        ("?model=openai/sol&result=answered", 0),
        ("?model=deepseek/flash&span=all", 6),
        ("?provider=deepseek", 4),
        ("?provider=openai", 1),
        ("?provider=openai&model=deepseek/flash", 0),
        ("?status=402", 1),
        ("?status=502&model=openai/sol", 1),
        ("?status=503", 0),
        ("?status=200", 5),
        ("?q=nothing-like-it", 0),
        ("?span=1h", 5),
        ("?span=7d", 6),
        ("?span=all", 7),
        ("?result=nonsense&span=nonsense&key=x&before=y", 5),
        ("?model=%00&q=%00", 5),
    ],
)
def test_filters_choose_rows(alice: Cast, save: Save, query: str, number: int) -> None:
    save(alice)
    save(alice, attempt_count=2)
    save(alice, outcome="refused", status=402)
    save(alice, outcome="failed", status=502, model="openai/sol", provider="openai")
    save(alice, outcome="client_left", status=200)
    save(alice, created_at=NOW - timedelta(days=2))
    save(alice, created_at=NOW - timedelta(days=60))
    assert len(shown(alice.page(), query)) == number


def test_a_key_and_a_project_choose_their_rows(alice: Cast, save: Save) -> None:
    project = Project.objects.create(organization=alice.organization, name="second")
    key = ApiKey.objects.create(project=project, name="k2", key_hash=b"x" * 32, prefix="sk-ro-zzzz", last_four="0000")
    first = save(alice)
    second = save(alice, project_id=project.pk, api_key_id=key.pk)
    page = alice.page()
    assert shown(page, f"?key={key.pk}") == shown(page, f"?project={project.pk}") == [second.id]
    assert shown(page, f"?key={alice.key.pk}") == [first.id]


def test_a_request_is_found_by_its_id_whatever_its_age(alice: Cast, save: Save) -> None:
    old = save(alice, created_at=NOW - timedelta(days=90))
    save(alice)
    assert shown(alice.page(), f"?q={old.id}") == shown(alice.page(), f"?q=req_{UUID(old.id).hex}&span=1h") == [old.id]


def test_pages_follow_each_other_without_gap_or_repeat(
    alice: Cast, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_query.page_of, "__kwdefaults__", {"size": 3})
    moment = NOW - timedelta(minutes=5)
    ids = sorted((save(alice, id=str(new_id(moment)), created_at=moment).id for _ in range(8)), reverse=True)
    page, query, seen = alice.page(), "?live=0", []
    while query:
        seen += shown(page, query)
        last, query = query, link(page, query, "next")
        if len(seen) == 3:  # rows that arrive meanwhile must not push others over a page's edge
            newest = save(alice).id
    assert seen == ids
    back: list[str] = shown(page, last)
    while query := link(page, last, "prev"):
        back, last = shown(page, query) + back, query
    assert back == [newest, *ids]


def test_polling_answers_only_when_there_is_something_new(alice: Cast, save: Save) -> None:
    save(alice)
    page = alice.page()
    found = re.search(r'hx-get="(/logs\?[^"]*seen=[^"]*)"', page.get("/logs").content.decode())
    assert found
    poll = found[1].replace("&amp;", "&")
    assert page.get(poll, headers=POLL).status_code == 204
    new = save(alice)
    answer = page.get(poll, headers=POLL).content.decode()
    assert str(new.id) in answer
    assert "<html" not in answer


def test_a_paused_page_does_not_poll_and_can_go_on(alice: Cast, save: Save) -> None:
    save(alice)
    text = alice.page().get("/logs?live=0&result=answered").content.decode()
    assert "every 4s" not in text
    assert 'href="/logs?result=answered"' in text


def test_a_row_opens_as_a_drawer_and_as_a_page(alice: Cast, save: Save) -> None:
    failed = attempt_record(status=529, error_class="overloaded", first_token_ms=None)
    row = save(alice, failed, attempt_record(number=2, provider="bedrock"), attempt_count=2, error_code="")
    page = alice.page()
    drawer = page.get(f"/logs/{row.id}", headers=DRAWER).content.decode()
    whole = page.get(f"/logs/{row.id}").content.decode()
    assert "<html" not in drawer
    assert "<html" in whole
    for text in (drawer, whole):
        assert str(row.id) in text
        assert "529 overloaded" in text
        assert "2 · bedrock" in text
        assert "Nothing was held or charged" in text
        assert "Failover" in text


def test_no_page_carries_inline_style_or_script(alice: Cast, save: Save) -> None:
    row = save(alice, attempt_record(), attempt_count=1)
    page = alice.page()
    for path in ("/logs", f"/logs/{row.id}", "/overview"):
        text = page.get(path).content.decode()
        main = text[text.index("<main") : text.index("</main>")]
        assert not re.search(r"\sstyle=|<script|\son[a-z]+=", main), path


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"outcome": "refused", "status": 402}, ["402 no credit", "Not charged.", "Top up"]),
        ({"outcome": "refused", "status": 429}, ["429 too many requests", "Not charged."]),
        ({"outcome": "failed", "status": 503, "attempt_count": 0}, ["503 no provider", "Not charged."]),
        ({"outcome": "failed", "status": 502, "attempt_count": 3}, ["502 all failed", "Not charged."]),
        ({"outcome": "client_left", "status": 200, "charge_nanos": 7}, ["Client left", "is charged"]),
    ],
)
def test_what_went_wrong_is_said_with_the_charge_and_the_next_step(
    alice: Cast, save: Save, given: dict[str, Any], words: list[str]
) -> None:
    row = save(alice, **({"charge_nanos": 0} | given))
    text = alice.page().get(f"/logs/{row.id}").content.decode()
    assert [word for word in words if word not in text] == []


def test_an_empty_log_says_what_to_do(alice: Cast) -> None:
    page = alice.page()
    assert "No request in this time" in page.get("/logs").content.decode()
    assert "Create an API key" in page.get("/logs?span=all").content.decode()
    assert "Clear filters" in page.get("/logs?result=failed").content.decode()


def test_staff_read_the_log_and_cannot_change_it(alice: Cast, save: Save) -> None:
    row = save(alice, attempt_record())
    alice.user.is_staff = alice.user.is_superuser = True
    alice.user.save()
    page = alice.page()
    assert str(row.model) in page.get("/admin/observability/requestlog/").content.decode()
    path = f"/admin/observability/requestlog/{row.id}/change/"
    assert page.get(path).status_code == 200
    assert page.post(path, {"status": 1}).status_code == 403
    assert page.post(f"/admin/observability/requestlog/{row.id}/delete/", {"post": "yes"}).status_code == 403
    assert RequestLog.objects.get().status == 200


def test_pages_of_a_rare_model_follow_each_other_in_both_directions(
    alice: Cast, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_query.page_of, "__kwdefaults__", {"size": 2})
    moments = [NOW - timedelta(minutes=1), NOW - timedelta(hours=1), *(NOW - timedelta(days=n) for n in (1, 2, 3, 9))]
    ids = [save(alice, created_at=moment, model="rare/one").id for moment in moments for _ in range(2)]
    ids.sort(reverse=True)
    for number in range(8):
        save(alice, created_at=NOW - timedelta(hours=number))
    page, query, seen = alice.page(), "?live=0&span=all&model=rare/one", []
    while query:
        seen += shown(page, query)
        last, query = query, link(page, query, "next")
    assert seen == ids
    back = shown(page, last)
    while query := link(page, last, "prev"):
        back, last = shown(page, query) + back, query
    assert back == ids


@pytest.mark.parametrize("cursor", ["before", "after"])
@pytest.mark.parametrize("id_", [UUID(int=0), UUID(int=2**128 - 1), uuid4(), UUID(int=2**127)])
def test_a_cursor_that_is_no_id_of_ours_is_an_empty_or_a_first_page(
    alice: Cast, save: Save, cursor: str, id_: UUID
) -> None:
    save(alice)
    for query in ("", "&model=deepseek/flash", "&q=flash&span=all", "&provider=deepseek"):
        assert alice.page().get(f"/logs?{cursor}={id_}{query}").status_code == 200
    assert alice.page().get(f"/logs?q={id_}").status_code == 200
