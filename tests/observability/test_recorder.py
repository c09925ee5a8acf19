from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from observability.models import RequestLog, UsageHour
from observability.recorder import store
from observability.records import RequestRecord
from observability.rows import COLUMNS
from tests.observability.conftest import attempt_record, request_record, trace_of

AT = datetime(2026, 11, 22, 14, 32, 7, 418_000, tzinfo=UTC)


def put(*records: RequestRecord) -> None:
    with transaction.atomic(), connection.cursor() as cur:
        store(cur, records)


def test_a_request_is_stored_as_it_was(db: None) -> None:
    first, second = attempt_record(status=529, error_class="overloaded"), attempt_record(number=2, first_token_ms=None)
    record = request_record(created_at=AT, stream=True, finish_reason="stop", trace=trace_of(first, second))
    put(record)
    row = RequestLog.objects.get()
    stored = {name: getattr(row, name) for name in COLUMNS}
    expected = record._asdict() | {"id": UUID(record.id), "created_at": AT}
    assert stored == {name: expected[name] for name in COLUMNS}


@pytest.mark.parametrize("decision", ['{"weights":[0.3,0.7],"candidates":[]}', '{"words":"of a provider"}'])
def test_a_decision_becomes_part_of_the_trace(db: None, decision: str) -> None:
    attempts = [list(attempt_record())]
    put(request_record(created_at=AT, trace=json.dumps({"attempts": attempts}), decision=decision))
    trace = RequestLog.objects.get().trace
    assert trace["attempts"] == attempts
    assert trace["decision"] in (json.loads(decision), {"words": "other"})


@pytest.mark.parametrize("first_token_ms", [None, 0])
def test_no_first_token_is_not_one_at_once(db: None, first_token_ms: int | None) -> None:
    put(request_record(created_at=AT, first_token_ms=first_token_ms))
    assert RequestLog.objects.get().first_token_ms == first_token_ms


def test_storing_again_changes_nothing(db: None) -> None:
    record = request_record(created_at=AT)
    put(record, record)
    put(record)
    put(record, new := request_record(created_at=AT))
    assert {str(row.pk) for row in RequestLog.objects.all()} == {record.id, new.id}
    hour = UsageHour.objects.get()
    assert (hour.requests, hour.charge_nanos) == (2, 10_000)


def test_the_first_delivery_of_a_request_stands(db: None) -> None:
    record = request_record(created_at=AT)
    put(record)
    put(request_record(id=record.id, created_at=AT, charge_nanos=9, trace=trace_of(attempt_record())))
    assert (RequestLog.objects.get().charge_nanos, RequestLog.objects.get().trace) == (5_000, None)


def test_hours_hold_the_sums_of_what_is_new(db: None) -> None:
    put(request_record(created_at=AT), request_record(created_at=AT, attempt_count=2, first_token_ms=500))
    put(
        request_record(created_at=AT, outcome="refused", status=402, charge_nanos=0, first_token_ms=None),
        request_record(created_at=AT.replace(hour=15)),
        request_record(created_at=AT, model="other/model"),
        request_record(created_at=AT, model="", provider="", outcome="refused", status=404),
    )
    hour = UsageHour.objects.get(hour=AT.replace(minute=0, second=0, microsecond=0), model="deepseek/flash")
    assert (hour.requests, hour.answered, hour.failed_over) == (3, 2, 1)
    assert (hour.input_tokens, hour.cache_read_tokens, hour.output_tokens) == (300, 120, 60)
    assert (hour.charge_nanos, hour.first_token_ms_sum, hour.first_token_count) == (10_000, 800, 2)
    assert UsageHour.objects.count() == 4
    assert UsageHour.objects.get(model="").provider == ""


def test_nothing_is_stored_for_nothing(db: None) -> None:
    put()
    assert not RequestLog.objects.exists()


def test_it_takes_part_in_the_callers_transaction(db: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic(), connection.cursor() as cur:
        store(cur, [request_record(created_at=AT)])
        raise RuntimeError
    assert not RequestLog.objects.exists()
    assert not UsageHour.objects.exists()


def test_writers_at_once_neither_lose_nor_double_nor_block_each_other(conninfo: str) -> None:
    models = [f"m/{number}" for number in range(8)]
    records = [request_record(created_at=AT, model=models[n % 8]) for n in range(160)]
    errors: list[Exception] = []

    def deliver(shift: int) -> None:
        turned = records[shift:] + records[:shift]
        try:
            with psycopg.connect(conninfo) as own:
                for start in range(0, 160, 20):
                    with own.transaction(), own.cursor() as cur:
                        store(cur, turned[start : start + 20])
        except psycopg.Error as error:
            errors.append(error)

    threads = [threading.Thread(target=deliver, args=(shift,)) for shift in (0, 30, 77, 111)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert RequestLog.objects.count() == 160
    assert sorted((hour.model, hour.requests) for hour in UsageHour.objects.all()) == [(name, 20) for name in models]


BAD: list[dict[str, Any]] = [
    {"status": 70_000},
    {"duration_ms": -3},
    {"input_tokens": 2**70},
    {"charge_nanos": 2**63 - 1},
    {"output_tokens": None},
    {"output_tokens": "many"},
    {"reasoning_tokens": 1.5},
    {"first_token_ms": 2**40},
    {"created_at": "yesterday"},
    {"created_at": "2026-11-22T14:32:07"},
    {"created_at": "2026-11-22T22:32:07.418000+08:00"},
    {"created_at": None},
    {"stream": None},
    {"trace": "words of a prompt"},
    {"trace": {"attempts": [["a\\b\tc\nd"]]}},
    {"trace": {"attempts": [["x" * 20_000]]}},
]


@pytest.mark.parametrize("bad", BAD, ids=[f"{name}-{number}" for number, one in enumerate(BAD) for name in one])
def test_a_bad_value_is_repaired_and_stops_no_batch(db: None, bad: dict[str, Any]) -> None:
    broken = request_record(created_at=AT)._replace(**bad)  # what a journal may bring, past the checks
    put(request_record(created_at=AT), broken, request_record(created_at=AT))
    assert RequestLog.objects.count() == 3
    row = RequestLog.objects.get(pk=broken.id)
    assert row.created_at.replace(microsecond=0) == AT.replace(microsecond=0)
    assert sum(hour.requests for hour in UsageHour.objects.all()) == 3


@pytest.mark.parametrize(
    "bad", [{"id": "x"}, {"id": None}, {"organization_id": "x"}, {"organization_id": 0}, {"api_key_id": 2**70}]
)
def test_a_row_of_nobody_is_left_out(db: None, bad: dict[str, Any]) -> None:
    put(request_record(created_at=AT), request_record(created_at=AT)._replace(**bad))
    assert RequestLog.objects.count() == 1


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1).map(lambda text: f"my secret {text}"))
def test_text_never_reaches_a_row(db: None, text: str) -> None:
    attempt = attempt_record(provider=text, reason=text, error_class=text, error_code=text, dialect=text)
    trace = {**(trace_of(attempt) or {}), "refusals": [[1, text], {text: text}]}
    put(
        request_record(
            **dict.fromkeys(("model", "model_requested", "provider", "error_code", "policy", "endpoint"), text),
            trace=trace,
        )
    )
    with connection.cursor() as cur:
        for table in ("requestlog", "usagehour"):
            cur.execute(f"SELECT count(*) FROM observability_{table} AS t WHERE t::text LIKE '%%my secret%%'")
            assert cur.fetchone()[0] == 0
