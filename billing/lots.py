"""The end of credit that expires: first held, then posted once nothing that was admitted before can still come."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from billing import ledger
from billing.ledger import AccountName, Cursor, NewTransfer

AT_MOST = 500

_DUE = """
SELECT expires_at, id FROM billing_creditlot
 WHERE expired_at IS NULL AND expires_at <= clock_timestamp() AND (expires_at, id) > (%s, %s)
 ORDER BY expires_at, id LIMIT %s
"""
_LOCK_WALLET = """
SELECT a.id, a.posted_nanos - a.held_nanos FROM billing_ledgeraccount a
  JOIN billing_creditlot l ON l.organization_id = a.organization_id
 WHERE l.id = %s AND a.kind = 'wallet' AND a.currency = 'USD' FOR NO KEY UPDATE OF a
"""
_LOT = """
SELECT organization_id, kind, remaining_nanos, expiry_held_nanos, expires_at FROM billing_creditlot
 WHERE id = %s AND expired_at IS NULL
"""


class Place(NamedTuple):
    """Of a lot among those that end, the earliest first."""

    expires_at: datetime
    id: int


FIRST = Place(datetime.min.replace(tzinfo=UTC), 0)


class Expired(NamedTuple):
    """How many lots of a batch are done with, and where the batch ended; None where none was left."""

    done: int
    last: Place | None


def expire(cur: Cursor, *, settled_to: datetime | None, after: Place = FIRST, most: int = AT_MOST) -> Expired:
    """Take ended credit out of wallets: a batch of the lots `after` a place.

    What is free of an ended lot is held, so that no new request can spend it. It is posted once `settled_to`, the time
    up to which every event is settled, is past the lot's end. What running requests hold stays until they end: the
    next run takes it. Commit between calls of this; one call locks up to `most` wallets, one after another.
    """
    cur.execute(_DUE, [*after, most])
    due = [Place(*row) for row in cur.fetchall()]
    done = sum(_expire(cur, lot.id, settled_to) for lot in due)
    return Expired(done, due[-1] if due else None)


def _expire(cur: Cursor, lot_id: int, settled_to: datetime | None) -> bool:
    cur.execute(_LOCK_WALLET, [lot_id])
    account_id, available = cur.fetchall()[0]
    cur.execute(_LOT, [lot_id])  # as it is under the lock
    rows = cur.fetchall()
    if not rows:
        return False
    organization_id, kind, remaining, held, expires_at = rows[0]
    reached = min(remaining, held + max(0, available))
    if settled_to is None or settled_to <= expires_at:
        _hold(cur, account_id, lot_id, reached - held)
        return False
    if reached:
        # Bought credit that ends is income, granted credit goes back to where it came from.
        target = AccountName("grants" if kind == "granted" else "revenue")
        legs = ledger.move(AccountName("wallet", organization_id), target, reached)
        key = f"expiry:{lot_id}:{remaining}"
        # The rest of the lot keeps what is held for it: nothing, for all of that is posted now.
        cur.execute("UPDATE billing_creditlot SET expiry_held_nanos = 0 WHERE id = %s", [lot_id])
        ledger.post(
            cur, [NewTransfer("expiry", key, legs, organization_id, lot_id=lot_id)], releases={account_id: held}
        )
    if reached < remaining:
        return False
    cur.execute("UPDATE billing_creditlot SET expired_at = clock_timestamp() WHERE id = %s", [lot_id])
    return True


def _hold(cur: Cursor, account_id: int, lot_id: int, more: int) -> None:
    if more > 0:
        cur.execute("UPDATE billing_ledgeraccount SET held_nanos = held_nanos + %s WHERE id = %s", [more, account_id])
        cur.execute(
            "UPDATE billing_creditlot SET expiry_held_nanos = expiry_held_nanos + %s WHERE id = %s", [more, lot_id]
        )
