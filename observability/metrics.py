"""Prometheus metrics. Labels come from small fixed sets: never a key, a customer, or text a client sent."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from observability.records import OTHER, AttemptRecord, RequestRecord

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MOST_VALUES: Final = 1000  # of one label; what comes after counts as "other"
FLUSH_AFTER_S: Final = 1.0

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


class _Tally:
    """What was counted of one kind of request since the last flush."""

    __slots__ = ("charged", "failovers", "first_token", "input", "output", "overhead", "requests", "took")

    def __init__(self) -> None:
        self.requests = self.failovers = self.input = self.output = self.charged = 0
        self.took: list[int] = []  # milliseconds
        self.first_token: list[int] = []  # milliseconds
        self.overhead: list[int] = []  # microseconds


_tallies: dict[tuple[str, str, int, str, str], _Tally] = {}
_attempts: dict[tuple[str, int | None, bool], int] = {}
_flush_is_due = False
_in_flight = 0


def observe_request(record: RequestRecord, attempts: Iterable[Sequence[Any]] = ()) -> None:
    """Count one finished request. The request path calls it, so it only notes down; `flush` counts, at most once in
    FLUSH_AFTER_S. `attempts` are AttemptRecords or lists of their values."""
    key = (record.endpoint, record.outcome, record.status, record.model, record.provider)
    tally = _tallies.get(key)
    if tally is None:
        tally = _tallies[key] = _Tally()
    tally.requests += 1
    tally.input += record.input_tokens
    tally.output += record.output_tokens
    tally.charged += record.charge_nanos
    tally.took.append(record.duration_ms)
    tally.overhead.append(record.overhead_us)
    if record.first_token_ms is not None:
        tally.first_token.append(record.first_token_ms)
    if record.attempt_count > 1 and record.outcome == "answered":
        tally.failovers += 1
    for attempt in attempts:
        tried = (attempt[_PROVIDER], attempt[_STATUS], bool(attempt[_ERROR_CLASS] or attempt[_ERROR_CODE]))
        _attempts[tried] = _attempts.get(tried, 0) + 1
    if not _flush_is_due:
        _flush_soon()


_PROVIDER, _STATUS, _ERROR_CLASS, _ERROR_CODE = (
    AttemptRecord._fields.index(name) for name in ("provider", "status", "error_class", "error_code")
)


def request_begins() -> None:
    global _in_flight
    _in_flight += 1


def running() -> int:
    """Requests of the gateway that are being answered now."""
    return _in_flight


def request_ends() -> None:
    global _in_flight
    _in_flight -= 1
    if not _flush_is_due:
        _flush_soon()


def _flush_soon() -> None:
    global _flush_is_due
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # not in the request path
        flush()
        return
    _flush_is_due = True
    loop.call_later(FLUSH_AFTER_S, flush)


def flush() -> None:
    """Add what was noted down to the metrics."""
    global _flush_is_due, _tallies, _attempts
    _flush_is_due = False
    tallies, _tallies = _tallies, {}
    attempts, _attempts = _attempts, {}
    requests_in_flight.set(_in_flight)
    for (endpoint, outcome, status, model, provider), tally in tallies.items():
        endpoint, model, provider = (
            _bounded("endpoint", endpoint),
            _bounded("model", model),
            _bounded("provider", provider),
        )
        requests_total.labels(endpoint, outcome, _status_class(status)).inc(tally.requests)
        model_requests_total.labels(model, provider, outcome).inc(tally.requests)
        tokens_total.labels(model, "input").inc(tally.input)
        tokens_total.labels(model, "output").inc(tally.output)
        charged_nanos_total.inc(tally.charged)
        failovers_total.inc(tally.failovers)
        _observe_all(request_seconds.labels(endpoint), _SECONDS, tally.took, 1000)
        _observe_all(first_token_seconds.labels(endpoint), _SECONDS, tally.first_token, 1000)
        _observe_all(overhead_seconds, _OVERHEAD, tally.overhead, 1_000_000)
    for (provider, upstream_status, failed), number in attempts.items():
        labels = (_bounded("provider", provider), _status_class(upstream_status), "yes" if failed else "no")
        attempts_total.labels(*labels).inc(number)


def _observe_all(histogram: Histogram, bounds: Sequence[float], values: Sequence[int], per_second: int) -> None:
    """Many observations at once: one sum and one addition per bucket, where `observe` is three for each value."""
    if not values:
        return
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect_left(bounds, value / per_second)] += 1
    histogram._sum.inc(sum(values) / per_second)
    for bucket, number in zip(histogram._buckets, counts, strict=True):
        if number:
            bucket.inc(number)


def render() -> bytes:
    """All metrics as Prometheus text: of this process, or of all when PROMETHEUS_MULTIPROC_DIR is set."""
    flush()
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(registry)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
