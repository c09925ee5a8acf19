"""Stores finished requests and adds them to the hourly sums, each request once however often it is delivered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

from observability.records import AttemptRecord, RequestRecord

Finished = tuple[RequestRecord, tuple[AttemptRecord, ...]]


class Cursor(Protocol):
    """What a psycopg cursor and a Django cursor have in common."""

    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> Any: ...


# The types that rows are read with; the keys are the columns, in order.
_REQUEST_COLUMNS: Final = {
    "id": "uuid",
    "created_at": "timestamptz",
    "organization_id": "bigint",
    "project_id": "bigint",
    "api_key_id": "bigint",
    "endpoint": "text",
    "model_requested": "text",
    "model": "text",
    "provider": "text",
    "outcome": "text",
    "status": "smallint",
    "error_code": "text",
    "finish_reason": "text",
    "stream": "boolean",
    "input_tokens": "bigint",
    "cache_read_tokens": "bigint",
    "cache_write_tokens": "bigint",
    "output_tokens": "bigint",
    "reasoning_tokens": "bigint",
    "usage_source": "text",
    "charge_nanos": "bigint",
    "currency": "text",
    "policy": "text",
    "first_token_ms": "integer",
    "duration_ms": "integer",
    "overhead_us": "integer",
    "attempt_count": "smallint",
}
_ATTEMPT_COLUMNS: Final = {
    "request_id": "uuid",
    "number": "smallint",
    "provider": "text",
    "deployment_id": "bigint",
    "dialect": "text",
    "reason": "text",
    "started_ms": "integer",
    "first_token_ms": "integer",
    "duration_ms": "integer",
    "status": "smallint",
    "error_class": "text",
    "error_code": "text",
}


def _insert(table: str, columns: dict[str, str], order: str, ending: str = "") -> str:
    names = ", ".join(columns)
    shape = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return (  # every part is a constant of this module
        f"INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_to_recordset(%s::jsonb) AS r({shape}) "  # noqa: S608
        f"ORDER BY {order} ON CONFLICT DO NOTHING{ending}"
    )


_INSERT_REQUESTS: Final = _insert("observability_requestlog", _REQUEST_COLUMNS, "id", " RETURNING id")
_INSERT_ATTEMPTS: Final = _insert("observability_attemptlog", _ATTEMPT_COLUMNS, "request_id, number")

# Every writer takes the rows of the sums in the order of the unique key, so that no two wait for each other.
_ADD_TO_HOURS: Final = """
INSERT INTO observability_usagehour AS sums (
    organization_id, hour, project_id, api_key_id, model, provider, currency,
    requests, answered, failed_over, input_tokens, cache_read_tokens, output_tokens,
    charge_nanos, first_token_ms_sum, first_token_count)
SELECT organization_id, date_trunc('hour', created_at, 'UTC') AS hour, project_id, api_key_id, model, provider,
    min(currency), count(*), count(*) FILTER (WHERE outcome = 'answered'),
    count(*) FILTER (WHERE outcome = 'answered' AND attempt_count > 1),
    sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(charge_nanos),
    coalesce(sum(first_token_ms), 0), count(first_token_ms)
FROM observability_requestlog WHERE id = ANY(%s)
GROUP BY organization_id, date_trunc('hour', created_at, 'UTC'), project_id, api_key_id, model, provider
ORDER BY organization_id, hour, project_id, api_key_id, model, provider
ON CONFLICT (organization_id, hour, project_id, api_key_id, model, provider) DO UPDATE SET
    requests = sums.requests + excluded.requests,
    answered = sums.answered + excluded.answered,
    failed_over = sums.failed_over + excluded.failed_over,
    input_tokens = sums.input_tokens + excluded.input_tokens,
    cache_read_tokens = sums.cache_read_tokens + excluded.cache_read_tokens,
    output_tokens = sums.output_tokens + excluded.output_tokens,
    charge_nanos = sums.charge_nanos + excluded.charge_nanos,
    first_token_ms_sum = sums.first_token_ms_sum + excluded.first_token_ms_sum,
    first_token_count = sums.first_token_count + excluded.first_token_count
"""


def store(cur: Cursor, records: Sequence[Finished]) -> None:
    """Write the requests with their attempts, and add those that are new to the hourly sums.

    Runs inside the caller's transaction and is safe to repeat with the same records. Locks rows of the sums in a
    fixed order; a caller that also locks ledger accounts calls this first, so that those stay the last locks taken.
    """
    first_of = {record.id: (record, attempts) for record, attempts in reversed(records)}
    if not first_of:
        return
    cur.execute(_INSERT_REQUESTS, [json.dumps([record.to_json() for record, _ in first_of.values()])])
    new: list[UUID] = [row[0] for row in cur.fetchall()]
    if not new:
        return
    cur.execute(_INSERT_ATTEMPTS, [json.dumps(list(_attempt_rows(first_of[id_] for id_ in new)))])
    cur.execute(_ADD_TO_HOURS, [new])


def _attempt_rows(finished: Iterable[Finished]) -> Iterable[dict[str, Any]]:
    for record, attempts in finished:
        for attempt in attempts:
            yield {"request_id": str(record.id), **attempt.to_json()}
