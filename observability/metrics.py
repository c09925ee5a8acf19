"""Prometheus metrics. Labels come from small fixed sets: never a key, a customer, or text a client sent."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from observability.records import OTHER, AttemptRecord, RequestRecord

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_VALUES: Final = 1000  # of one label; what comes after counts as "other"

_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 900)
_OVERHEAD: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.015, 0.03, 0.06, 0.125, 0.5)

registry = CollectorRegistry()

requests_total = Counter(
    "routerone_requests", "Finished requests", ["endpoint", "outcome", "status_class"], registry=registry
)
model_requests_total = Counter(
    "routerone_model_requests", "Finished requests by model", ["model", "provider", "outcome"], registry=registry
)
attempts_total = Counter(
    "routerone_attempts", "Attempts at providers", ["provider", "status_class", "failed"], registry=registry
)
tokens_total = Counter("routerone_tokens", "Tokens read and generated", ["model", "direction"], registry=registry)
charged_nanos_total = Counter("routerone_charged_nanos", "Charged, in billionths of a US dollar", registry=registry)
failovers_total = Counter("routerone_failovers", "Answered after more than one attempt", registry=registry)
first_token_seconds = Histogram(
    "routerone_first_token_seconds", "Until the first token", ["endpoint"], buckets=_SECONDS, registry=registry
)
request_seconds = Histogram(
    "routerone_request_seconds", "Whole requests", ["endpoint"], buckets=_SECONDS, registry=registry
)
overhead_seconds = Histogram(
    "routerone_overhead_seconds", "Our own share of a request", buckets=_OVERHEAD, registry=registry
)
requests_in_flight = Gauge(
    "routerone_requests_in_flight", "Requests being served", multiprocess_mode="livesum", registry=registry
)
journal_entries = Gauge(
    "routerone_journal_entries", "Events in the journal stream", multiprocess_mode="mostrecent", registry=registry
)

_seen: dict[str, set[str]] = {}


def _bounded(label: str, value: str) -> str:
    """`value`, unless the label already has too many: a metric must not grow with what callers send."""
    seen = _seen.setdefault(label, set())
    if value in seen:
        return value
    if len(seen) >= MOST_VALUES:
        return OTHER
    seen.add(value)
    return value


def _status_class(status: int | None) -> str:
    return f"{status // 100}xx" if status is not None and 100 <= status <= 599 else "none"


def observe_request(record: RequestRecord, attempts: Iterable[AttemptRecord] = ()) -> None:
    """Count one finished request. Cheap and without I/O: the request path calls it."""
    endpoint = _bounded("endpoint", record.endpoint)
    model, provider = _bounded("model", record.model), _bounded("provider", record.provider)
    requests_total.labels(endpoint, record.outcome, _status_class(record.status)).inc()
    model_requests_total.labels(model, provider, record.outcome).inc()
    request_seconds.labels(endpoint).observe(record.duration_ms / 1000)
    overhead_seconds.observe(record.overhead_us / 1_000_000)
    if record.first_token_ms is not None:
        first_token_seconds.labels(endpoint).observe(record.first_token_ms / 1000)
    if record.outcome == "answered" and record.attempt_count > 1:
        failovers_total.inc()
    tokens_total.labels(model, "input").inc(record.input_tokens)
    tokens_total.labels(model, "output").inc(record.output_tokens)
    charged_nanos_total.inc(record.charge_nanos)
    for attempt in attempts:
        provider = _bounded("provider", attempt.provider)
        failed = "yes" if attempt.error_class or attempt.error_code else "no"
        attempts_total.labels(provider, _status_class(attempt.status), failed).inc()


def render() -> bytes:
    """All metrics as Prometheus text: of this process, or of all when PROMETHEUS_MULTIPROC_DIR is set."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(registry)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
