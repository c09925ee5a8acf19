"""The hourly sums: what each key used of each model at each provider."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from observability.days import before_hours_change
from observability.rows import Row

_KEY_COLUMNS: Final = {
    "organization_id": "bigint",
    "hour": "timestamptz",
    "project_id": "bigint",
    "api_key_id": "bigint",
    "model": "text",
    "provider": "text",
}
SUMS: Final = (
    *("requests", "answered", "failed_over", "input_tokens", "cache_read_tokens", "output_tokens", "charge_nanos"),
    *("first_token_ms_sum", "first_token_count"),
)
_CASTS: Final = [f"%s::{kind}[]" for kind in (*_KEY_COLUMNS.values(), *["bigint"] * len(SUMS))]
_ADD: Final = (
    f"INSERT INTO observability_usagehour AS sums ({', '.join((*_KEY_COLUMNS, *SUMS))}) "  # noqa: S608 - constants
    f"SELECT * FROM unnest({', '.join(_CASTS)}) "
    f"ON CONFLICT ({', '.join(_KEY_COLUMNS)}) DO UPDATE SET "
    + ", ".join(f"{name} = sums.{name} + excluded.{name}" for name in SUMS)
)


class Cursor(Protocol):
    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...


def add_to_hours(cur: Cursor, rows: Iterable[Row]) -> None:
    """Add these requests to their hours. The caller sees to it that each request is added once.

    Days that are added up already and that these change are marked. Every writer takes the rows in the order of the
    unique key, so that no two wait for each other.
    """
    sums = _sums_of(rows)
    keys = sorted(sums)
    before_hours_change(cur, {key[:2] for key in keys})
    columns = [*zip(*keys, strict=True), *zip(*(sums[key] for key in keys), strict=True)]
    cur.execute(_ADD, [_array(column) for column in columns])


Key = tuple[int, str, int, int, str, str]


def _sums_of(rows: Iterable[Row]) -> dict[Key, list[int]]:
    found: dict[Key, list[int]] = {}
    for _id, record, _line in rows:
        hour = record.created_at[:13] + ":00:00+00:00"  # a row's time is in UTC
        key = (record.organization_id, hour, record.project_id, record.api_key_id, record.model, record.provider)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = [0] * len(SUMS)
        sums[0] += 1
        if record.outcome == "answered":
            sums[1] += 1
            if record.attempt_count > 1:
                sums[2] += 1
        sums[3] += record.input_tokens
        sums[4] += record.cache_read_tokens
        sums[5] += record.output_tokens
        sums[6] += record.charge_nanos
        if record.first_token_ms is not None:
            sums[7] += record.first_token_ms
            sums[8] += 1
    return found


def _array(values: Sequence[object]) -> str:
    """A PostgreSQL array as text. What a record holds needs no escapes; quotes keep an empty text a text."""
    if isinstance(values[0], int):
        return f"{{{','.join(map(str, values))}}}"
    return '{"' + '","'.join(map(str, values)) + '"}'
