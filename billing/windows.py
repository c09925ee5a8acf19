"""Windows: how much of a plan, a budget or an overflow cap is spent and held. Locked in id order, before accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import orjson

from billing.ledger import Cursor

_LOCK = """
SELECT id, kind, limit_nanos, spent_nanos, held_nanos FROM billing_window
 WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""
_WRITE = """
UPDATE billing_window w SET spent_nanos = (e->>1)::bigint, held_nanos = (e->>2)::bigint
  FROM jsonb_array_elements(%s::jsonb) e WHERE w.id = (e->>0)::bigint
"""


@dataclass(slots=True)
class Room:
    """A locked window, in nano-USD; `kind` plan, overflow or budget."""

    id: int
    kind: str
    limit: int
    spent: int
    held: int


def lock(cur: Cursor, window_ids: Collection[int]) -> dict[int, Room]:
    """Those of the windows that exist, by id."""
    if not window_ids:
        return {}
    cur.execute(_LOCK, [sorted(window_ids)])
    return {row[0]: Room(*row) for row in cur.fetchall()}


def write(cur: Cursor, rooms: Iterable[Room]) -> None:
    """Store `spent` and `held` of locked windows."""
    rows = [(room.id, room.spent, room.held) for room in rooms]
    if rows:
        cur.execute(_WRITE, [orjson.dumps(rows).decode()])
