from __future__ import annotations

import pytest
from django.conf import settings
from django.test import Client
from pytest_django.fixtures import Settings

DEAD = "redis://127.0.0.1:1/0"


def test_healthz_looks_at_nothing_but_the_process(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = DEAD
    assert client.get("/healthz").json() == {"status": "ok"}


def test_readyz_is_ok_while_both_stores_answer(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_readyz_names_the_part_that_is_down_and_no_address(client: Client, db: None, settings: Settings) -> None:
    settings.REDIS_URL = DEAD
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"status": "unavailable", "database": "ok", "valkey": "unavailable"}


def test_readyz_says_when_the_database_is_down(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "HOST", "/nowhere")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "unavailable")


def test_metrics_are_open_to_this_machine_in_an_evaluation(client: Client, settings: Settings) -> None:
    settings.EMBEDDED, settings.METRICS_TOKEN = True, ""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert b"routerone_requests_in_flight" in answer.content


@pytest.mark.parametrize("extra", [{"REMOTE_ADDR": "10.0.0.8"}, {"HTTP_X_FORWARDED_FOR": "10.0.0.8"}])
def test_metrics_are_closed_to_others(client: Client, settings: Settings, extra: dict[str, str]) -> None:
    settings.EMBEDDED, settings.METRICS_TOKEN = True, ""
    assert client.get("/metrics", **extra).status_code == 401  # type: ignore[arg-type]


def test_metrics_are_closed_in_production_without_a_token(client: Client, settings: Settings) -> None:
    settings.EMBEDDED, settings.METRICS_TOKEN = False, ""
    assert client.get("/metrics").status_code == 401


def test_metrics_want_the_token_where_one_is_set(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "right"
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/metrics", headers={"authorization": "Bearer right"}).status_code == 200


def test_metrics_come_without_the_journal(client: Client, settings: Settings) -> None:
    settings.EMBEDDED, settings.METRICS_TOKEN, settings.JOURNAL_URL = True, "", DEAD
    assert b"routerone_journal_entries NaN" in client.get("/metrics").content
