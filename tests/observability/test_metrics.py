from __future__ import annotations

import pytest

from observability import metrics
from tests.observability.conftest import attempt_record, request_record


def value(line: str) -> float:
    found = [row for row in metrics.render().decode().splitlines() if row.startswith(line + " ")]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


def test_a_request_is_counted_by_endpoint_outcome_and_status_class() -> None:
    line = 'routerone_requests_total{endpoint="anthropic_messages",outcome="refused",status_class="4xx"}'
    before = value(line)
    metrics.observe_request(request_record(endpoint="anthropic_messages", outcome="refused", status=429))
    assert value(line) == before + 1


def test_tokens_charges_failovers_and_attempts_are_counted() -> None:
    lines = (
        'routerone_tokens_total{direction="output",model="deepseek/flash"}',
        "routerone_charged_nanos_total",
        "routerone_failovers_total",
        'routerone_attempts_total{failed="yes",provider="anthropic",status_class="5xx"}',
    )
    before = [value(line) for line in lines]
    failed = attempt_record(provider="anthropic", status=529, error_class="overloaded")
    metrics.observe_request(request_record(attempt_count=2), [failed])
    assert [value(line) - old for line, old in zip(lines, before, strict=True)] == [20, 5_000, 1, 1]


def test_labels_stop_growing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_VALUES", 2)
    monkeypatch.setattr(metrics, "_seen", {})
    for number in range(5):
        metrics.observe_request(request_record(model=f"grown/{number}"))
    text = metrics.render().decode()
    assert 'model="grown/1"' in text
    assert 'model="grown/2"' not in text
    assert 'model="other"' in text
