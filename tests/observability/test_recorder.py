from __future__ import annotations

import threading
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from observability.models import AttemptLog, RequestLog, UsageHour
from observability.recorder import Finished, store
from tests.observability.conftest import attempt_record, request_record

AT = datetime(2026, 11, 22, 14, 32, 7, 418_000, tzinfo=UTC)


def put(*finished: Finished) -> None:
    with transaction.atomic(), connection.cursor() as cur:
        store(cur, finished)


def test_a_request_and_its_attempts_are_stored_as_they_were(db: None) -> None:
    record = request_record(created_at=AT, stream=True, finish_reason="stop")
    first, second = attempt_record(status=529, error_class="overloaded"), attempt_record(number=2, first_token_ms=None)
    put((record, (first, second)))
    row = RequestLog.objects.get()
    assert {name: getattr(row, name) for name in record.to_json()} == {
        name: getattr(record, name) for name in record.to_json()
    }
    rows = list(AttemptLog.objects.order_by("number"))
    assert [{name: getattr(row, name) for name in first.to_json()} for row in rows] == [
        first.to_json(),
        second.to_json(),
    ]


def test_storing_again_changes_nothing(db: None) -> None:
    finished = (request_record(created_at=AT), (attempt_record(),))
    put(finished, finished)
    put(finished)
    assert (RequestLog.objects.count(), AttemptLog.objects.count()) == (1, 1)
    hour = UsageHour.objects.get()
    assert (hour.requests, hour.charge_nanos) == (1, 5_000)


def test_the_first_delivery_of_a_request_stands(db: None) -> None:
    record = request_record(created_at=AT)
    put((record, ()))
    put((request_record(id=record.id, created_at=AT, charge_nanos=9), (attempt_record(),)))
    assert RequestLog.objects.get().charge_nanos == 5_000
    assert not AttemptLog.objects.exists()


def test_hours_hold_the_sums_of_what_is_new(db: None) -> None:
    put((request_record(created_at=AT), ()), (request_record(created_at=AT, attempt_count=2, first_token_ms=500), ()))
    put(
        (request_record(created_at=AT, outcome="refused", status=402, charge_nanos=0, first_token_ms=None), ()),
        (request_record(created_at=AT.replace(hour=15)), ()),
        (request_record(created_at=AT, model="other/model"), ()),
    )
    hour = UsageHour.objects.get(hour=AT.replace(minute=0, second=0, microsecond=0), model="deepseek/flash")
    assert (hour.requests, hour.answered, hour.failed_over) == (3, 2, 1)
    assert (hour.input_tokens, hour.cache_read_tokens, hour.output_tokens) == (300, 120, 60)
    assert (hour.charge_nanos, hour.first_token_ms_sum, hour.first_token_count) == (10_000, 800, 2)
    assert UsageHour.objects.count() == 3


def test_nothing_is_stored_for_nothing(db: None) -> None:
    put()
    assert not RequestLog.objects.exists()


def test_it_takes_part_in_the_callers_transaction(db: None) -> None:
    with pytest.raises(RuntimeError), transaction.atomic(), connection.cursor() as cur:
        store(cur, [(request_record(created_at=AT), ())])
        raise RuntimeError
    assert not RequestLog.objects.exists()
    assert not UsageHour.objects.exists()


def test_writers_at_once_neither_lose_nor_double_nor_block_each_other(conninfo: str) -> None:
    models = [f"m/{number}" for number in range(8)]
    finished = [(request_record(created_at=AT, model=models[n % 8]), (attempt_record(),)) for n in range(160)]
    errors: list[Exception] = []

    def deliver(shift: int) -> None:
        turned = finished[shift:] + finished[:shift]
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
    assert RequestLog.objects.count() == AttemptLog.objects.count() == 160
    assert sorted((hour.model, hour.requests) for hour in UsageHour.objects.all()) == [(name, 20) for name in models]


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1).map(lambda text: f"my secret {text}"))
def test_text_never_reaches_a_row(db: None, text: str) -> None:
    record = request_record(
        model=text, model_requested=text, provider=text, error_code=text, policy=text, endpoint=text
    )
    put((record, (attempt_record(provider=text, reason=text, error_class=text, error_code=text, dialect=text),)))
    with connection.cursor() as cur:
        for table in ("requestlog", "attemptlog", "usagehour"):
            cur.execute(f"SELECT count(*) FROM observability_{table} AS t WHERE t::text LIKE '%%my secret%%'")
            assert cur.fetchone()[0] == 0
