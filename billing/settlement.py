"""Turning usage events into charges: each request part once, however often and in whatever order its event arrives.

SQL over the caller's cursor (Django's or psycopg's, rows as tuples) and transaction, with the same few statements for
one event or five hundred. Rows are touched in one order everywhere: usage records, holds, windows, accounts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256

import orjson

from billing import holds, ledger, usage_insert, windows
from billing.events import UsageEvent
from billing.funding_split import Split, split_charges
from billing.ledger import AccountName, Cursor, NewTransfer

MOST_NANOS = 10**14  # 100,000 USD for one request is a mistake

_INSERT_EXCESS = """
INSERT INTO billing_usageexcess (usage_id, wallet_nanos, absorbed_nanos, transfer_id)
SELECT (e->>0)::uuid, (e->>1)::bigint, (e->>2)::bigint, (e->>3)::uuid FROM jsonb_array_elements(%s::jsonb) e
"""


class DoubleTransfer(ValueError):
    """New usage records whose transfer exists already: the ledger and the records disagree, a person must look."""


def settle(cur: Cursor, events: Sequence[UsageEvent]) -> set[str]:
    """Charge the events that are new; returns the ids of those.

    A charge above its hold is charged in full. Raises ValueError for an event that makes no sense; like any error of
    the database, it concerns the whole batch, and nothing may be committed.
    """
    firsts: dict[str, UsageEvent] = {}
    for event in events:
        firsts.setdefault(event.id, event)
    if not firsts:
        return set()
    _check(firsts.values())
    keys = _batch_keys(firsts.values())
    new_ids = usage_insert.insert(
        cur, firsts.values(), {org: ledger.transfer_id(_usage(key)) for org, key in keys.items()}
    )
    if new_ids:
        _charge(cur, [firsts[id_] for id_ in sorted(new_ids)], keys)
        # Foreign keys and the zero sum are checked at commit otherwise, too late to single out the bad event.
        cur.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    return new_ids


def _charge(cur: Cursor, new: Sequence[UsageEvent], keys: dict[int, str]) -> None:
    leases = holds.lock(cur, {event.hold_id for event in new if event.hold_id is not None})
    rooms = windows.lock(cur, {id_ for lease in leases.values() for id_ in lease.window_ids})
    split = split_charges(new, leases, rooms)
    holds.write(cur, leases.values())
    windows.write(cur, rooms.values())
    transfers = _transfers(split, keys)
    if len(ledger.post(cur, transfers, releases=split.released)) != len(transfers):
        raise DoubleTransfer
    if split.excesses:
        cur.execute(_INSERT_EXCESS, [orjson.dumps([_excess_row(excess, keys) for excess in split.excesses]).decode()])


def _check(events: Iterable[UsageEvent]) -> None:
    for event in events:
        charge = event.charge_nanos
        if type(charge) is not int or not 0 <= charge <= MOST_NANOS:
            raise ValueError("a charge is a whole number of nanos, zero or more, below 100,000 USD")


def _batch_keys(events: Iterable[UsageEvent]) -> dict[int, str]:
    """By organization: what names its part of this batch.

    Made from all of its events, the known ones too: the records name their transfer before it is known which are new.
    The same set can have something new only once.
    """
    ids: defaultdict[int, list[str]] = defaultdict(list)
    for event in events:
        ids[event.organization_id].append(event.id)
    return {
        organization: f"{organization}:{sha256(','.join(sorted(of_one)).encode()).hexdigest()[:40]}"
        for organization, of_one in ids.items()
    }


def _usage(key: str) -> str:
    return f"usage:{key}"


def _absorbed(key: str) -> str:
    return f"absorbed:{key}"


def _transfers(split: Split, keys: dict[int, str]) -> list[NewTransfer]:
    revenue = AccountName("revenue")
    transfers = []
    for organization in sorted(split.wallet):
        debits = split.wallet[organization]
        total = sum(nanos for _, nanos in debits)
        legs = ledger.move(AccountName("wallet", organization), revenue, total)
        transfers.append(NewTransfer("usage", _usage(keys[organization]), legs, organization, debits=tuple(debits)))
    for organization, nanos in sorted(split.absorbed.items()):
        legs = ledger.move(AccountName("absorbed"), revenue, nanos)
        transfers.append(NewTransfer("usage", _absorbed(keys[organization]), legs, organization))
    return transfers


def _excess_row(excess: tuple[UsageEvent, int, int], keys: dict[int, str]) -> tuple[str, int, int, str]:
    event, wallet, absorbed = excess
    key = keys[event.organization_id]
    return event.id, wallet, absorbed, str(ledger.transfer_id(_usage(key) if wallet else _absorbed(key)))
