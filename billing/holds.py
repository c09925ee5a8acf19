"""Closing holds. A hold is closed once, by compare-and-set; `held` falls only by what the row still has.

Placing one is `billing.reservation`. SQL over the caller's cursor and transaction: hold rows are locked in id order and
before account rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Literal
from uuid import UUID

from billing import ledger
from billing.ledger import Cursor

SWEEP_AT_MOST = 1_000

_CLOSE = """
WITH closing AS (
    SELECT id, account_id, remaining_nanos FROM billing_hold
     WHERE id = ANY(%s::uuid[]) AND state = 'open'
     ORDER BY id FOR NO KEY UPDATE
), closed AS (
    UPDATE billing_hold hold SET state = %s, remaining_nanos = 0, closed_at = clock_timestamp()
      FROM closing WHERE hold.id = closing.id
    RETURNING closing.account_id, closing.remaining_nanos
)
SELECT account_id, SUM(remaining_nanos)::bigint FROM closed GROUP BY account_id
"""

# Rows that a settlement is just closing are its business: skip them.
_EXPIRED = """
SELECT id FROM billing_hold WHERE state = 'open' AND expires_at < %s
 ORDER BY expires_at LIMIT %s FOR NO KEY UPDATE SKIP LOCKED
"""


def close(cur: Cursor, hold_ids: Iterable[UUID], state: Literal["settled", "swept"]) -> Mapping[int, int]:
    """Close the holds that are still open; returns nanos to release by account id.

    The caller must hand them to the ledger in the same transaction.
    """
    ids = sorted(set(hold_ids))
    if not ids:
        return {}
    cur.execute(_CLOSE, [ids, state])
    return dict(cur.fetchall())


def sweep(cur: Cursor, *, before: datetime) -> int:
    """Give back what is held by open holds that expired before `before`; returns how many, at most SWEEP_AT_MOST.

    A charge that comes later for such a hold is still charged, out of what is available then.
    """
    cur.execute(_EXPIRED, [before, SWEEP_AT_MOST])
    expired = [row[0] for row in cur.fetchall()]
    ledger.post(cur, (), releases=close(cur, expired, "swept"))
    return len(expired)
