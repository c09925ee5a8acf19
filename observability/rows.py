"""A record as a line for COPY. Whatever a journal brings, a row is repaired or left out: it never stops its batch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from observability.records import OTHER, RequestRecord, Trace

COLUMNS: Final = tuple(name for name in RequestRecord._fields if name != "decision")  # which is part of the trace
_SMALL, _INTEGER, _BIG = 2**15 - 1, 2**31 - 1, 2**63 - 1
_TOKENS, _NANOS = 2**40, 2**53  # beyond any request, and far from what a sum of them could not hold
_MOST_TRACE_BYTES: Final = 16_384
_UUID: Final = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# JSON of names and numbers alone: neither words with spaces between them nor anything that COPY would have to escape.
_NAME: Final = r"[A-Za-z0-9_.:/@+-]{0,160}"
_PLAIN_JSON: Final = re.compile(rf'(?:[-+\[\]{{}}:,.0-9Ea-z]+|"{_NAME}")*+')
_PLAIN_NAME: Final = re.compile(_NAME)

_LINE: Final = (
    "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%d\t%d\t%d\t%s\n"
)


class Row(NamedTuple):
    """A record that the table takes, and its line."""

    id: str
    record: RequestRecord
    line: str


def row_of(record: RequestRecord) -> Row | None:
    """None for what cannot be told apart or belongs to nobody: an id or an owner that is none."""
    try:
        if _fits(record):
            return Row(record.id, record, _line_of(record))
    except (TypeError, ValueError):
        pass
    repaired = _repair(record)
    return None if repaired is None else Row(repaired.id, repaired, _line_of(repaired))


def _fits(record: RequestRecord) -> bool:
    """Whether each number fits its column, and id and time are in the form that is read back. Names are checked when a
    record is made."""
    first = record.first_token_ms
    return (
        _UUID.fullmatch(record.id) is not None
        and record.created_at[-6:] == "+00:00"
        and datetime.fromisoformat(record.created_at) is not None
        and 0 < record.organization_id <= _BIG
        and 0 <= record.project_id <= _BIG
        and 0 <= record.api_key_id <= _BIG
        and 0 <= record.status <= _SMALL
        and 0 <= record.input_tokens <= _TOKENS
        and 0 <= record.cache_read_tokens <= _TOKENS
        and 0 <= record.cache_write_tokens <= _TOKENS
        and 0 <= record.output_tokens <= _TOKENS
        and 0 <= record.reasoning_tokens <= _TOKENS
        and 0 <= record.charge_nanos <= _NANOS
        and 0 <= record.duration_ms <= _INTEGER
        and 0 <= record.overhead_us <= _INTEGER
        and 0 <= record.attempt_count <= _SMALL
        and (first is None or 0 <= first <= _INTEGER)
    )


def _line_of(record: RequestRecord) -> str:
    values: list[Any] = list(record[:-1])
    values[_STREAM] = "t" if record.stream else "f"
    if record.first_token_ms is None:
        values[_FIRST_TOKEN] = r"\N"
    values[_TRACE] = _trace_text(record.trace, record.decision)
    return _LINE % tuple(values)


_STREAM, _FIRST_TOKEN, _TRACE = (COLUMNS.index(name) for name in ("stream", "first_token_ms", "trace"))


def _trace_text(trace: Trace | str | None, decision: object) -> str:
    if isinstance(trace, str):
        # As the gateway wrote it; what only looks like JSON is the database's to refuse.
        if len(trace) <= _MOST_TRACE_BYTES and trace[:1] == "{" and _PLAIN_JSON.fullmatch(trace) is not None:
            if not isinstance(decision, str):
                return trace
            if len(trace) + len(decision) < _MOST_TRACE_BYTES and trace[-1:] == "}" and _is_plain(decision):
                return f'{trace[:-1]},"decision":{decision}}}'
        trace = _read(trace)
        if isinstance(trace, dict) and isinstance(decision, str):
            trace["decision"] = _read(decision)
    if not isinstance(trace, dict):
        return r"\N"
    text = orjson.dumps(trace).decode()
    if _PLAIN_JSON.fullmatch(text) is None:
        text = orjson.dumps(_without_words(trace)).decode()
    return text if len(text) <= _MOST_TRACE_BYTES else r"\N"


@lru_cache(256)
def _is_plain(decision: str) -> bool:
    return _PLAIN_JSON.fullmatch(decision) is not None


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _without_words(value: Any) -> Any:
    """The same with `other` in place of each text that is no name."""
    if isinstance(value, str):
        return value if _PLAIN_NAME.fullmatch(value) else OTHER
    if isinstance(value, list | tuple):
        return [_without_words(one) for one in value]
    if isinstance(value, dict):
        return {_without_words(name): _without_words(one) for name, one in value.items()}
    return value


def _repair(record: RequestRecord) -> RequestRecord | None:
    """The record with each value in its column's range and form."""
    try:
        id_ = UUID(record.id)
        owners = [int(record.organization_id), int(record.project_id), int(record.api_key_id)]
    except (TypeError, ValueError, AttributeError):
        return None
    if owners[0] < 1 or not all(0 <= owner <= _BIG for owner in owners):
        return None
    values: dict[str, Any] = record._asdict()
    values |= {"id": str(id_), "created_at": _moment(record.created_at, id_)}
    values |= {name: _count(values[name], most) for name, most in _MOST.items()}
    if record.first_token_ms is not None:
        values["first_token_ms"] = _count(record.first_token_ms, _INTEGER)
    return RequestRecord(**values)


_MOST: Final = {
    **dict.fromkeys(("status", "attempt_count"), _SMALL),
    **dict.fromkeys(("duration_ms", "overhead_us"), _INTEGER),
    **dict.fromkeys(("organization_id", "project_id", "api_key_id"), _BIG),
    **dict.fromkeys(("input_tokens", "cache_read_tokens", "cache_write_tokens"), _TOKENS),
    **dict.fromkeys(("output_tokens", "reasoning_tokens"), _TOKENS),
    "charge_nanos": _NANOS,
}


def _count(value: object, most: int) -> int:
    try:
        return min(max(int(value), 0), most)  # type: ignore[call-overload, no-any-return]
    except (TypeError, ValueError, OverflowError):
        return 0


def _moment(text: object, id_: UUID) -> str:
    """The time in UTC; that of the id, a UUIDv7, where the text is none."""
    try:
        moment = datetime.fromisoformat(str(text))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        milliseconds = min(id_.int >> 80, 253_370_764_800_000)  # the year 9999
        return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
