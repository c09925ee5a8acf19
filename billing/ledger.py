"""The ledger's sole writer: posts balanced transfers, releases held credit, reads balances.

Plain SQL over a cursor inside the caller's transaction, a fixed number of statements for any number of transfers. The
cursor may be Django's or psycopg's own, with rows as tuples. Account rows are locked last and in id order, which is the
lock order of the whole product: usage records, holds, transfers, accounts.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db import connection

from billing import lot_moves

K = TypeVar("K")
_TRANSFER_IDS = uuid5(NAMESPACE_URL, "urn:routerone:transfer")


class Cursor(Protocol):
    """What Django's cursor wrapper and psycopg's cursor have in common."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def copy(self, statement: Any, /) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True, slots=True)
class AccountName:
    """An account by what it is: `wallet` of an organization, or `revenue`, `grants`, `topups`, `absorbed` of ours."""

    kind: str
    organization_id: int | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Leg:
    """A positive amount adds to the account."""

    account: AccountName
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class NewTransfer:
    """One fact to post. Its id follows from `idempotency_key`, and the key has its effect once."""

    kind: str
    idempotency_key: str
    legs: tuple[Leg, ...]
    organization_id: int | None = None
    reason: str = ""
    created_by_id: int | None = None
    expires_at: datetime | None = None  # of the credit lot that it makes in a wallet
    debits: tuple[tuple[str, int], ...] = ()  # what a wallet's leg consists of: (admitted at, nanos)
    lot_id: int | None = None  # the lot that it takes from

    @property
    def id(self) -> UUID:
        return transfer_id(self.idempotency_key)


@dataclass(frozen=True, slots=True)
class Balance:
    """Of one wallet, in nano-USD. Posted may be below zero by what a request cost beyond its hold.

    `idle_nanos`: the part of `held_nanos` that gateways have reserved and nobody is known to have spent.
    """

    posted_nanos: int = 0
    held_nanos: int = 0
    idle_nanos: int = field(default=0, compare=False)

    @property
    def available_nanos(self) -> int:
        """What can be reserved now."""
        return self.posted_nanos - self.held_nanos

    @property
    def shown_nanos(self) -> int:
        """What people read: posted less what is spent and not yet settled; what is only reserved still counts."""
        return self.available_nanos + self.idle_nanos


class NotEnough(Exception):
    """The wallet has less available than was to be taken. Nothing was posted."""

    def __init__(self, available_nanos: int) -> None:
        super().__init__(f"available {available_nanos} nanos")
        self.available_nanos = available_nanos


class UnbalancedTransfer(ValueError):
    """The legs do not sum to zero per currency, or one of them is zero."""


def transfer_id(idempotency_key: str) -> UUID:
    """The id that a transfer with this key has, on every path that could post it."""
    return uuid5(_TRANSFER_IDS, idempotency_key)


def move(source: AccountName, target: AccountName, amount_nanos: int) -> tuple[Leg, Leg]:
    """The two legs that take `amount_nanos` from one account to another."""
    return Leg(source, -amount_nanos), Leg(target, amount_nanos)


def post(cur: Cursor, transfers: Sequence[NewTransfer], *, releases: Mapping[int, int] | None = None) -> set[UUID]:
    """Post `transfers` in order and take `releases` (account id to nanos) off the held credit.

    Returns the ids that were new; a transfer whose key is known has no effect. Raises UnbalancedTransfer before
    anything is written.
    """
    for transfer in transfers:
        _check_balanced(transfer)
    firsts = _first_of_each(transfers)
    new_ids = _insert_transfers(cur, firsts)
    legs = [(transfer.id, leg) for transfer in firsts if transfer.id in new_ids for leg in transfer.legs]
    ids = _account_ids(cur, {leg.account for _, leg in legs})
    posted = _sums((ids[leg.account], leg.amount_nanos) for _, leg in legs)
    released = dict(releases or {})
    locked = _lock(cur, posted.keys() | released.keys())
    freed = lot_moves.follow(cur, _wallet_moves(firsts, new_ids, {name: locked[id_] for name, id_ in ids.items()}))
    for organization_id, nanos in freed.items():
        wallet = ids[AccountName("wallet", organization_id)]
        released[wallet] = released.get(wallet, 0) + nanos
    _insert_entries(
        cur, [(number, owner, ids[leg.account], leg.amount_nanos) for number, (owner, leg) in enumerate(legs)]
    )
    _update_accounts(cur, posted, released)
    return new_ids


def _wallet_moves(
    transfers: Iterable[NewTransfer], new_ids: Collection[UUID], posted: Mapping[AccountName, int]
) -> list[lot_moves.Move]:
    """What the new transfers do to wallets, with each wallet's balance before it. `posted`: before all of them."""
    running = dict(posted)
    moves = []
    for transfer in transfers:
        for leg in transfer.legs if transfer.id in new_ids else ():
            name = leg.account
            if name.kind == "wallet" and name.currency == "USD" and name.organization_id is not None:
                moves.append(
                    lot_moves.Move(
                        name.organization_id,
                        leg.amount_nanos,
                        running[name],
                        transfer.kind,
                        transfer.id,
                        transfer.expires_at,
                        transfer.debits,
                        transfer.lot_id,
                    )
                )
            running[name] += leg.amount_nanos
    return moves


def debit_wallet(
    cur: Cursor,
    organization_id: int,
    amount_nanos: int,
    to_account: AccountName,
    kind: str,
    key: str,
    *,
    may_exceed: bool = False,
    reason: str = "",
    created_by_id: int | None = None,
) -> bool:
    """Take from what is available in the wallet; False where `key` has done so before.

    Raises NotEnough, except with `may_exceed` (chargebacks and refunds that nobody asked us about): then the epoch is
    raised, and the caller announces the organization. Raises ValueError for an amount that is not above zero.
    """
    if amount_nanos <= 0:
        raise ValueError("a debit must be above zero")
    wallet = AccountName("wallet", organization_id)
    account_id = _account_ids(cur, {wallet})[wallet]
    cur.execute(
        "SELECT posted_nanos - held_nanos FROM billing_ledgeraccount WHERE id = %s FOR NO KEY UPDATE", [account_id]
    )
    available = int(cur.fetchall()[0][0])
    transfer = NewTransfer(
        kind, key, move(wallet, to_account, amount_nanos), organization_id, reason, created_by_id=created_by_id
    )
    cur.execute("SELECT 1 FROM billing_transfer WHERE id = %s", [transfer.id])
    if cur.fetchall():
        return False
    if available < amount_nanos:
        if not may_exceed:
            raise NotEnough(available)
        raise_epoch(cur, organization_id)  # what gateways hold of it is not there any more
    return bool(post(cur, [transfer]))


def raise_epoch(cur: Cursor, organization_id: int) -> int:
    """Make gateways stop admitting on what they hold of this organization; returns the new epoch.

    The caller announces it after commit.
    """
    account_id = ensure_wallet(cur, organization_id)
    cur.execute("UPDATE billing_ledgeraccount SET epoch = epoch + 1 WHERE id = %s RETURNING epoch", [account_id])
    return int(cur.fetchall()[0][0])


def ensure_wallet(cur: Cursor, organization_id: int) -> int:
    """The id of the organization's wallet, made if need be."""
    name = AccountName("wallet", organization_id)
    return _account_ids(cur, {name})[name]


def balance(organization_id: int) -> Balance:
    """The wallet as it stands; zeros for an organization that has none yet."""
    with connection.cursor() as cur:
        cur.execute(_BALANCE, [organization_id])
        row = cur.fetchone()
    return Balance(*row) if row else Balance()


def _check_balanced(transfer: NewTransfer) -> None:
    sums = _sums((leg.account.currency, leg.amount_nanos) for leg in transfer.legs)
    if not transfer.legs or any(sums.values()) or not all(leg.amount_nanos for leg in transfer.legs):
        raise UnbalancedTransfer(transfer.idempotency_key)


def _first_of_each(transfers: Sequence[NewTransfer]) -> list[NewTransfer]:
    firsts: dict[UUID, NewTransfer] = {}
    for transfer in transfers:
        firsts.setdefault(transfer.id, transfer)
    return list(firsts.values())


def _sums(pairs: Iterable[tuple[K, int]]) -> dict[K, int]:
    sums: dict[K, int] = defaultdict(int)
    for key, amount in pairs:
        sums[key] += amount
    return dict(sums)


def _insert_transfers(cur: Cursor, transfers: Sequence[NewTransfer]) -> set[UUID]:
    if not transfers:
        return set()
    rows = [
        {
            "id": str(transfer.id),
            "kind": transfer.kind,
            "idempotency_key": transfer.idempotency_key,
            "organization_id": transfer.organization_id,
            "reason": transfer.reason,
            "created_by_id": transfer.created_by_id,
        }
        for transfer in transfers
    ]
    cur.execute(_INSERT_TRANSFERS, [json.dumps(rows)])
    return {row[0] for row in cur.fetchall()}


def _account_ids(cur: Cursor, names: Collection[AccountName]) -> dict[AccountName, int]:
    """Ids of the named accounts. Those that do not exist yet are made."""
    if not names:
        return {}
    ids = _find_accounts(cur, names)
    missing = sorted((n for n in names if n not in ids), key=lambda n: (n.kind, n.organization_id or 0, n.currency))
    if missing:
        rows = [{"kind": n.kind, "organization_id": n.organization_id, "currency": n.currency} for n in missing]
        cur.execute(_INSERT_ACCOUNTS, [json.dumps(rows)])
        ids = _find_accounts(cur, names)
    return ids


def _find_accounts(cur: Cursor, names: Collection[AccountName]) -> dict[AccountName, int]:
    organizations = sorted({n.organization_id for n in names if n.organization_id is not None})
    cur.execute(
        "SELECT id, kind, organization_id, currency FROM billing_ledgeraccount"
        " WHERE organization_id = ANY(%s::bigint[]) OR organization_id IS NULL",
        [organizations],
    )
    found = {AccountName(kind, organization, currency): id_ for id_, kind, organization, currency in cur.fetchall()}
    return {name: found[name] for name in names if name in found}


def _lock(cur: Cursor, account_ids: Collection[int]) -> dict[int, int]:
    """Posted nanos by account id."""
    # A statement of its own, so that the ones that follow read the rows as they are under the lock.
    if not account_ids:
        return {}
    cur.execute(
        "SELECT id, posted_nanos FROM billing_ledgeraccount WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE",
        [sorted(account_ids)],
    )
    return dict(cur.fetchall())


def _insert_entries(cur: Cursor, entries: Sequence[tuple[int, UUID, int, int]]) -> None:
    if entries:
        rows = [
            {"number": number, "transfer_id": str(owner), "account_id": account, "amount": amount}
            for number, owner, account, amount in entries
        ]
        cur.execute(_INSERT_ENTRIES, [json.dumps(rows)])


def _update_accounts(cur: Cursor, posted: Mapping[int, int], released: Mapping[int, int]) -> None:
    rows = [
        {"id": account, "posted": posted.get(account, 0), "released": released.get(account, 0)}
        for account in sorted(posted.keys() | released.keys())
    ]
    if rows:
        cur.execute(_UPDATE_ACCOUNTS, [json.dumps(rows)])


_BALANCE = """
SELECT a.posted_nanos, a.held_nanos,
       (SELECT COALESCE(SUM(h.remaining_nanos), 0)::bigint FROM billing_hold h
         WHERE h.account_id = a.id AND h.state = 'open' AND h.source <> 'plan')
  FROM billing_ledgeraccount a WHERE a.organization_id = %s AND a.kind = 'wallet' AND a.currency = 'USD'
"""

_INSERT_TRANSFERS = """
INSERT INTO billing_transfer (id, kind, idempotency_key, organization_id, reason, created_by_id, created_at)
SELECT id, kind, idempotency_key, organization_id, reason, created_by_id, clock_timestamp()
  FROM jsonb_to_recordset(%s::jsonb) AS t(
       id uuid, kind text, idempotency_key text, organization_id bigint, reason text, created_by_id bigint)
    ON CONFLICT DO NOTHING
RETURNING id
"""

_INSERT_ACCOUNTS = """
INSERT INTO billing_ledgeraccount (kind, organization_id, currency, posted_nanos, held_nanos, created_at)
SELECT kind, organization_id, currency, 0, 0, clock_timestamp()
  FROM jsonb_to_recordset(%s::jsonb) AS a(kind text, organization_id bigint, currency text)
    ON CONFLICT DO NOTHING
"""

_INSERT_ENTRIES = """
INSERT INTO billing_entry (transfer_id, account_id, amount_nanos, balance_after_nanos, currency, created_at)
SELECT e.transfer_id, account.id, e.amount,
       account.posted_nanos + SUM(e.amount) OVER (PARTITION BY account.id ORDER BY e.number),
       account.currency, clock_timestamp()
  FROM jsonb_to_recordset(%s::jsonb) AS e(number int, transfer_id uuid, account_id bigint, amount bigint)
  JOIN billing_ledgeraccount account ON account.id = e.account_id
 ORDER BY e.number
"""

_UPDATE_ACCOUNTS = """
UPDATE billing_ledgeraccount account
   SET posted_nanos = account.posted_nanos + d.posted, held_nanos = account.held_nanos - d.released
  FROM jsonb_to_recordset(%s::jsonb) AS d(id bigint, posted bigint, released bigint)
 WHERE account.id = d.id
"""
