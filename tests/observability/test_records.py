from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from observability.records import OTHER, AttemptRecord, RequestRecord, attempts_in
from tests.observability.conftest import attempt_record, request_record

REQUEST_TEXTS = (
    *("endpoint", "outcome", "model_requested", "model", "provider", "error_code", "finish_reason"),
    *("usage_source", "policy"),
)
ATTEMPT_TEXTS = ("provider", "dialect", "reason", "error_class", "error_code")


@given(st.text(min_size=1).map(lambda text: f"my secret {text}"))
def test_no_text_that_is_not_a_name_survives_in_a_record(text: str) -> None:
    record = request_record(**dict.fromkeys(REQUEST_TEXTS, text))
    attempt = attempt_record(**dict.fromkeys(ATTEMPT_TEXTS, text))
    assert "my secret" not in json.dumps([record, attempt])
    assert record.error_code == record.model == attempt.reason == OTHER
    assert record.outcome == "failed"


@pytest.mark.parametrize("code", ["", "rate_limit_exceeded", "http.529", "a:b-c"])
def test_known_words_pass(code: str) -> None:
    assert request_record(error_code=code).error_code == code


@pytest.mark.parametrize("code", ["Has Space", "UPPER", "new\nline", "ends\n", "é", "x" * 65, None, 5])
def test_anything_else_becomes_other(code: Any) -> None:
    assert request_record(error_code=code).error_code == OTHER


def test_a_record_comes_back_from_its_values_in_the_order_of_its_fields() -> None:
    record, attempt = request_record(first_token_ms=None, stream=True), attempt_record(status=None)
    assert RequestRecord(*json.loads(json.dumps(record))) == record
    assert AttemptRecord(*json.loads(json.dumps(attempt))) == attempt


def test_what_an_older_process_wrote_gets_the_defaults_of_newer_fields() -> None:
    assert RequestRecord(*request_record(trace={"attempts": []})[:-2]).trace is None


@pytest.mark.parametrize("trace", [None, {}, {"attempts": None}, {"attempts": [7, [], [1, 2]]}, [], "x"])
def test_a_trace_without_attempts_has_none(trace: Any) -> None:
    assert attempts_in(trace) == []


def test_attempts_come_back_from_a_trace_of_this_and_of_a_newer_version() -> None:
    attempt = attempt_record()
    assert attempts_in({"attempts": [list(attempt), [*attempt, "newer"]]}) == [attempt, attempt]
