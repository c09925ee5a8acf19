"""Money for plans: from the wallet to the account of plans sold, and back for what was left unused."""

from __future__ import annotations

import time
from typing import Any

from accounts.announce import announce_recall
from billing import ledger
from billing.ledger import AccountName, NewTransfer, NotEnough

PLANS = AccountName("plans")
_WAIT_S = 2.0
_LOOK_EVERY_S = 0.1


def pay(cur: Any, organization_id: int, nanos: int, *, key: str, reason: str) -> None:
    """Raises ledger.NotEnough. The same key pays once."""
    if nanos > 0:
        ledger.debit_wallet(cur, organization_id, nanos, PLANS, "plan", f"plan:{organization_id}:{key}", reason=reason)


def give_back(cur: Any, organization_id: int, nanos: int, *, key: str, reason: str) -> None:
    """Credit to be used, not paid out again: a plan may have been bought with granted credit."""
    if nanos > 0:
        legs = ledger.move(PLANS, AccountName("wallet", organization_id), nanos)
        transfer = NewTransfer("adjustment", f"plan:{organization_id}:{key}", legs, organization_id, reason)
        ledger.post(cur, [transfer])


def free_idle_credit(organization_id: int, nanos: int) -> None:
    """Ask gateways for the credit they hold idle, and wait a little, where it is what the wallet lacks for `nanos`.

    Outside of a transaction. Raises NotEnough where the wallet does not have it even so.
    """
    give_up_at = time.monotonic() + _WAIT_S
    balance = ledger.balance(organization_id)
    if balance.available_nanos < nanos <= balance.shown_nanos:
        announce_recall(organization_id)
        while balance.available_nanos < nanos and time.monotonic() < give_up_at:
            time.sleep(_LOOK_EVERY_S)
            balance = ledger.balance(organization_id)
    if balance.available_nanos < nanos:
        raise NotEnough(balance.available_nanos)
