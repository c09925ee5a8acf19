"""Credit lots follow the ledger: a credit to a wallet makes a lot, a debit takes from lots.

The lots of a wallet sum to its posted balance, or to zero where that is below zero. All lots of a wallet are guarded by
the lock on its account row, which `billing.ledger` takes before it calls `follow`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

if TYPE_CHECKING:
    from billing.ledger import Cursor

GRANTED_KINDS = frozenset({"grant", "adjustment"})  # transfers whose credit was given; all other credit was bought
BOUGHT_FIRST = frozenset({"refund", "chargeback"})  # debits that give bought credit back

_END = datetime.max.replace(tzinfo=UTC)
_LOAD = """
SELECT id, organization_id, kind, remaining_nanos, expires_at, expiry_held_nanos FROM billing_creditlot
 WHERE organization_id = ANY(%s::bigint[]) AND remaining_nanos > 0 ORDER BY id
"""
_INSERT = """
INSERT INTO billing_creditlot (organization_id, kind, amount_nanos, remaining_nanos, transfer_id, created_at,
                               expires_at, expiry_held_nanos)
SELECT (e->>0)::bigint, e->>1, (e->>2)::bigint, (e->>3)::bigint, (e->>4)::uuid, clock_timestamp(),
       (e->>5)::timestamptz, 0
  FROM jsonb_array_elements(%s::jsonb) e
"""
_UPDATE = """
UPDATE billing_creditlot l SET remaining_nanos = (e->>1)::bigint, expiry_held_nanos = (e->>2)::bigint
  FROM jsonb_array_elements(%s::jsonb) e WHERE l.id = (e->>0)::bigint
"""


@dataclass(frozen=True, slots=True)
class Move:
    """One leg of a transfer in a wallet. `before_nanos`: posted before it. `debits`: (admitted at, nanos) of usage."""

    organization_id: int
    amount_nanos: int
    before_nanos: int
    kind: str
    transfer_id: UUID
    expires_at: datetime | None = None
    debits: tuple[tuple[str, int], ...] = ()
    lot_id: int | None = None


@dataclass(slots=True)
class _Lot:
    id: int | None  # None: made by this very batch
    organization_id: int
    kind: str
    remaining: int
    expires_at: datetime | None
    expiry_held: int
    amount: int = 0
    transfer_id: UUID | None = None
    touched: bool = False

    def take(self, nanos: int) -> int:
        taken = min(nanos, self.remaining)
        self.remaining -= taken
        self.touched = True
        return taken


def follow(cur: Cursor, moves: Sequence[Move]) -> dict[int, int]:
    """Make and burn lots; returns by organization what was held for the expiry of credit that is gone now."""
    if not moves:
        return {}
    lots = _load(cur, {move.organization_id for move in moves})
    for move in moves:
        of_wallet = lots[move.organization_id]
        if move.amount_nanos > 0:
            of_wallet.append(_made(move))
        else:
            _burn(of_wallet, move)
    return _store(cur, [lot for of_wallet in lots.values() for lot in of_wallet])


def _load(cur: Cursor, organization_ids: Iterable[int]) -> defaultdict[int, list[_Lot]]:
    cur.execute(_LOAD, [sorted(organization_ids)])
    lots: defaultdict[int, list[_Lot]] = defaultdict(list)
    for row in cur.fetchall():
        lots[row[1]].append(_Lot(*row))
    return lots


def _made(move: Move) -> _Lot:
    """A credit makes up for a deficit first."""
    remaining = min(move.amount_nanos, max(0, move.before_nanos + move.amount_nanos))
    kind = "granted" if move.kind in GRANTED_KINDS else "bought"
    return _Lot(
        None, move.organization_id, kind, remaining, move.expires_at, 0, move.amount_nanos, move.transfer_id, True
    )


def _burn(lots: list[_Lot], move: Move) -> None:
    left = min(-move.amount_nanos, max(0, move.before_nanos))
    if move.lot_id is not None:
        chosen = [lot for lot in lots if lot.id == move.lot_id]
        left -= sum(lot.take(left) for lot in chosen)
    order = sorted(
        (lot for lot in lots if lot.remaining), key=_bought_first if move.kind in BOUGHT_FIRST else _granted_first
    )
    if move.debits and any(lot.expires_at is not None for lot in order):
        left -= _burn_living(order, move.debits, left)
    for lot in order:
        if not left:
            return
        left -= lot.take(left)


def _burn_living(order: Sequence[_Lot], debits: Iterable[tuple[str, int]], most: int) -> int:
    """Each debit takes from the lots that had not ended when it was admitted."""
    left = most
    for admitted_at, nanos in sorted((datetime.fromisoformat(at), nanos) for at, nanos in debits):
        wanted = min(nanos, left)
        for lot in order:
            if not wanted:
                break
            if lot.remaining and (lot.expires_at is None or lot.expires_at > admitted_at):
                taken = lot.take(wanted)
                wanted -= taken
                left -= taken
    return most - left


def _granted_first(lot: _Lot) -> tuple[bool, datetime]:
    return lot.kind != "granted", lot.expires_at or _END


def _bought_first(lot: _Lot) -> tuple[bool, datetime]:
    return lot.kind == "granted", lot.expires_at or _END


def _store(cur: Cursor, lots: Iterable[_Lot]) -> dict[int, int]:
    made, changed = [], []
    freed: defaultdict[int, int] = defaultdict(int)
    for lot in lots:
        if lot.id is None:
            expires_at = lot.expires_at.isoformat() if lot.expires_at else None
            row = (lot.organization_id, lot.kind, lot.amount, lot.remaining, str(lot.transfer_id), expires_at)
            made.append(row)
        elif lot.touched:
            held = min(lot.expiry_held, lot.remaining)
            freed[lot.organization_id] += lot.expiry_held - held
            changed.append((lot.id, lot.remaining, held))
    if made:
        cur.execute(_INSERT, [orjson.dumps(made).decode()])
    if changed:
        cur.execute(_UPDATE, [orjson.dumps(changed).decode()])
    return {organization: nanos for organization, nanos in freed.items() if nanos}
