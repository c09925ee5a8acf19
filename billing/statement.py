"""A wallet's statement: its ledger entries, newest first, a page at a time by key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

PAGE = 50


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the wallet. `model` and `request_id` would name one request; usage is posted in batches."""

    entry_id: int
    kind: str
    reason: str
    amount_nanos: int
    balance_after_nanos: int
    at: datetime
    model: str | None
    request_id: UUID | None


@dataclass(frozen=True, slots=True)
class Page:
    """`older` and `newer` are the entry ids that the neighbour pages start from, None at the ends."""

    lines: tuple[Line, ...]
    older: int | None
    newer: int | None


_COLUMNS = """
SELECT e.id, t.kind, t.reason, e.amount_nanos, e.balance_after_nanos, e.created_at, NULL, NULL
  FROM billing_ledgeraccount a
  JOIN billing_entry e ON e.account_id = a.id
  JOIN billing_transfer t ON t.id = e.transfer_id
 WHERE a.organization_id = %s AND a.kind = 'wallet' AND a.currency = 'USD'
"""
_OLDER = _COLUMNS + "AND (%s::bigint IS NULL OR e.id < %s::bigint) ORDER BY e.id DESC LIMIT %s"
_NEWER = _COLUMNS + "AND e.id > %s ORDER BY e.id LIMIT %s"
_GRANTED = """
SELECT COALESCE(SUM(e.amount_nanos), 0)::bigint
  FROM billing_transfer t JOIN billing_entry e ON e.transfer_id = t.id
  JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet'
 WHERE t.organization_id = %s AND t.kind = 'grant' AND a.organization_id = t.organization_id
"""


def page(organization_id: int, *, before: int | None = None, after: int | None = None, size: int = PAGE) -> Page:
    """Entries older than entry `before`, or newer than `after`, or the newest ones. Always listed newest first."""
    forward = after is not None
    with connection.cursor() as cur:
        if forward:
            cur.execute(_NEWER, [organization_id, after, size + 1])
        else:
            cur.execute(_OLDER, [organization_id, before, before, size + 1])
        rows = [Line(*row) for row in cur.fetchall()]
    more, lines = len(rows) > size, rows[:size]
    if forward:
        lines.reverse()
    if not lines:
        return Page((), None, None)
    has_older = forward or more
    has_newer = more if forward else before is not None
    return Page(tuple(lines), lines[-1].entry_id if has_older else None, lines[0].entry_id if has_newer else None)


def granted_nanos(organization_id: int) -> int:
    """All credit that was granted to the organization so far."""
    with connection.cursor() as cur:
        cur.execute(_GRANTED, [organization_id])
        return int(cur.fetchone()[0])
