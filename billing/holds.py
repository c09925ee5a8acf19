"""Holds as settlement and the sweeper see them. Placing and giving back is `billing.reservation`.

SQL over the caller's cursor and transaction. `remaining` is what wallet and windows hold for the row: while open the
amount less what was settled, once returned what was spent less what was settled, then zero; it only ever falls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

import orjson
from django.db import connection

from billing.ledger import Cursor

SWEEP_AT_MOST = 1_000

_LOCK = """
SELECT id::text, account_id, organization_id, source, window_ids, overflow_allowed, state, amount_nanos,
       remaining_nanos, settled_nanos, settled_count, returned_nanos, returned_count
  FROM billing_hold WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE
"""
_WRITE = """
UPDATE billing_hold h
   SET state = e->>1, remaining_nanos = (e->>2)::bigint, settled_nanos = (e->>3)::bigint,
       settled_count = (e->>4)::bigint
  FROM jsonb_array_elements(%s::jsonb) e WHERE h.id = (e->>0)::uuid
"""
_OPEN = """
SELECT count(*) FILTER (WHERE h.state = 'open'),
       COALESCE(SUM(h.remaining_nanos) FILTER (WHERE h.state = 'open'), 0)::bigint,
       COALESCE(SUM(h.remaining_nanos) FILTER (WHERE h.state = 'returned'), 0)::bigint
  FROM billing_hold h
  JOIN billing_ledgeraccount a ON a.id = h.account_id AND a.kind = 'wallet' AND a.organization_id = %s
 WHERE h.state IN ('open', 'returned')
"""


@dataclass(slots=True)
class Lease:
    """A locked hold, in nano-USD."""

    id: str
    account_id: int
    organization_id: int
    source: str
    window_ids: list[int]
    overflow_allowed: bool
    state: str
    amount: int
    remaining: int
    settled: int
    settled_count: int
    returned: int | None
    returned_count: int | None

    def settle(self, charge_nanos: int, count: int) -> int:
        """Count charges in; returns by how much `remaining` fell."""
        self.settled += charge_nanos
        self.settled_count += count
        before = self.remaining
        if self.state == "open":
            self.remaining = max(0, self.amount - self.settled)
        elif self.state == "returned":
            assert self.returned is not None and self.returned_count is not None
            if self.settled_count >= self.returned_count:
                self.state = "done"
                self.remaining = 0
            else:
                self.remaining = max(0, min(self.amount, self.returned) - self.settled)
        return before - self.remaining


@dataclass(frozen=True, slots=True)
class OpenSlices:
    """Of an organization: how many holds are open, what they hold, and what returned ones still wait to settle."""

    count: int
    open_nanos: int
    unsettled_nanos: int


def lock(cur: Cursor, hold_ids: Collection[str]) -> dict[str, Lease]:
    """Those of the holds that exist, by id."""
    if not hold_ids:
        return {}
    cur.execute(_LOCK, [sorted(hold_ids)])
    return {row[0]: Lease(*row) for row in cur.fetchall()}


def write(cur: Cursor, leases: Iterable[Lease]) -> None:
    """Store what settlement changed in locked holds."""
    rows = [(lease.id, lease.state, lease.remaining, lease.settled, lease.settled_count) for lease in leases]
    if rows:
        cur.execute(_WRITE, [orjson.dumps(rows).decode()])


def sweep(cur: Cursor, *, before: datetime) -> int:
    """Free what is held by holds that expired before `before`; returns how many, at most SWEEP_AT_MOST.

    A charge that comes later for such a hold is still charged, out of what is available then.
    """
    cur.execute("SELECT billing_sweep(%s, %s)", [before, SWEEP_AT_MOST])
    return int(cur.fetchall()[0][0])


def open_slices(organization_id: int) -> OpenSlices:
    """What gateways hold of the organization's credit now, plans included."""
    with connection.cursor() as cur:
        cur.execute(_OPEN, [organization_id])
        row = cur.fetchone()
    return OpenSlices(*row)
