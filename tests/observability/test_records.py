from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.records import OTHER, AttemptRecord, RequestRecord
from tests.observability.conftest import attempt_record, request_record

REQUEST_TEXTS = (
    *("endpoint", "outcome", "model_requested", "model", "provider", "error_code", "finish_reason"),
    *("usage_source", "currency", "policy"),
)
ATTEMPT_TEXTS = ("provider", "dialect", "reason", "error_class", "error_code")


@given(st.text(min_size=1).map(lambda text: f"my secret {text}"))
def test_no_text_that_is_not_a_name_survives_in_a_record(text: str) -> None:
    record = request_record(**dict.fromkeys(REQUEST_TEXTS, text))
    attempt = attempt_record(**dict.fromkeys(ATTEMPT_TEXTS, text))
    assert "my secret" not in json.dumps([record.to_json(), attempt.to_json()])
    assert record.error_code == record.model == attempt.reason == OTHER
    assert record.outcome == "failed"


@pytest.mark.parametrize("code", ["", "rate_limit_exceeded", "http.529", "a:b-c"])
def test_known_words_pass(code: str) -> None:
    assert request_record(error_code=code).error_code == code


@pytest.mark.parametrize("code", ["Has Space", "UPPER", "new\nline", "ends\n", "é", "x" * 65, None, 5])
def test_anything_else_becomes_other(code: Any) -> None:
    assert request_record(error_code=code).error_code == OTHER


def test_a_word_longer_than_its_column_becomes_other() -> None:
    assert request_record(finish_reason="x" * 25).finish_reason == OTHER
    assert attempt_record(error_class="x" * 33).error_class == OTHER


def test_numbers_are_brought_into_the_range_of_their_column() -> None:
    record = request_record(status=70_000, duration_ms=-3, input_tokens=2**70)
    assert (record.status, record.duration_ms, record.input_tokens) == (2**15 - 1, 0, 2**63 - 1)


@pytest.mark.parametrize("value", ["7", 1.5, True, None])
def test_a_count_that_is_no_int_is_a_mistake(value: Any) -> None:
    with pytest.raises(TypeError):
        request_record(input_tokens=value)


def test_a_naive_time_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="aware"):
        request_record(created_at=datetime(2026, 1, 1))  # noqa: DTZ001


def test_records_come_back_from_json_as_they_went() -> None:
    record, attempt = request_record(first_token_ms=None, stream=True), attempt_record(status=None)
    assert RequestRecord.from_json(json.loads(json.dumps(record.to_json())) | {"added_later": 1}) == record
    assert AttemptRecord.from_json(json.loads(json.dumps(attempt.to_json()))) == attempt
