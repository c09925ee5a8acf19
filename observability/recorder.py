"""Stores finished requests and adds them to the hourly sums, each request once however often it is delivered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import structlog
from psycopg.errors import UniqueViolation

from observability.hours import add_to_hours
from observability.records import RequestRecord
from observability.rows import COLUMNS, Row, row_of

log = structlog.get_logger(__name__)
_MOST_TRIES: Final = 5

_COPY: Final = f"COPY observability_requestlog ({', '.join(COLUMNS)}) FROM STDIN"
_KNOWN: Final = "SELECT id::text FROM observability_requestlog WHERE id = ANY(%s::uuid[])"


class Cursor(Protocol):
    """What a psycopg cursor and a Django cursor have in common."""

    def execute(self, sql: Any, params: Any = ..., /) -> Any: ...
    def fetchall(self) -> Any: ...
    def copy(self, statement: Any) -> AbstractContextManager[Any]: ...


def store(cur: Cursor, records: Sequence[RequestRecord]) -> None:
    """Write the requests, and add those that are new to the hourly sums.

    Runs inside the caller's transaction and is safe to repeat with the same records. A row that no column could take
    is left out and counted in our log, so that the rest is stored. Locks rows of the log and of the sums in a fixed
    order; a caller that also locks ledger accounts calls this first, so that those stay the last locks taken.
    """
    rows = _rows(records)
    if not rows:
        return
    new = _insert(cur, rows)
    if new:
        add_to_hours(cur, new)


def _rows(records: Sequence[RequestRecord]) -> list[Row]:
    """What can be stored, each request once, in the order of ids."""
    by_id: dict[str, Row] = {}
    unreadable = 0
    for record in records:
        row = row_of(record)
        if row is None:
            unreadable += 1
        else:
            by_id.setdefault(row.id, row)
    if unreadable:
        log.error("log_rows_left_out", rows=unreadable)
    return [by_id[id_] for id_ in sorted(by_id)]


def _insert(cur: Cursor, rows: list[Row]) -> list[Row]:
    """Write the rows that the log does not have, and return them.

    Nearly always all are new, so they are copied straight into the table. Only where one is not, which the primary
    key says, the known ones are looked up and left out; another writer may bring more of them meanwhile.
    """
    for _ in range(_MOST_TRIES):
        cur.execute("SAVEPOINT store_log")
        try:
            with cur.copy(_COPY) as copy:
                copy.write("".join([row.line for row in rows]))
        except UniqueViolation:
            cur.execute("ROLLBACK TO SAVEPOINT store_log")
            known = _known(cur, [row.id for row in rows])
            rows = [row for row in rows if row.id not in known]
            if not rows:
                return []
        else:
            cur.execute("RELEASE SAVEPOINT store_log")
            return rows
    raise RuntimeError("others keep storing the same requests")


def _known(cur: Cursor, ids: Iterable[str]) -> Collection[str]:
    cur.execute(_KNOWN, [list(ids)])
    return {row[0] for row in cur.fetchall()}
