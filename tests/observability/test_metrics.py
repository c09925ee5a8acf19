from __future__ import annotations

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Histogram

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


def test_what_a_loop_notes_down_is_counted_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "FLUSH_AFTER_S", 0.01)
    line = "routerone_overhead_seconds_count"
    before = value(line)

    def counted() -> float:
        return metrics.overhead_seconds._sum.get()

    async def serve() -> None:
        sum_before = counted()
        for _ in range(3):
            metrics.observe_request(request_record(overhead_us=1500))
        assert counted() == sum_before
        await asyncio.sleep(0.05)
        assert counted() == pytest.approx(sum_before + 0.0045)

    asyncio.run(serve())
    assert value(line) == before + 3


@pytest.mark.parametrize("milliseconds", [0, 50, 51, 899, 900_000, 900_001])
def test_histograms_count_as_single_observations_do(milliseconds: int) -> None:
    reference = Histogram("routerone_reference", "x", buckets=metrics._SECONDS, registry=CollectorRegistry())
    reference.observe(milliseconds / 1000)
    given = Histogram("routerone_given", "x", buckets=metrics._SECONDS, registry=CollectorRegistry())
    metrics._observe_all(given, metrics._SECONDS, [milliseconds], 1000)
    assert [bucket.get() for bucket in given._buckets] == [bucket.get() for bucket in reference._buckets]
    assert given._sum.get() == reference._sum.get()
