"""Turning usage events into charges: each request part once, however often and in whatever order its event arrives.

SQL over the caller's cursor (Django's or psycopg's, rows as tuples) and transaction, with the same few statements for
one event or five hundred. Rows are touched in one order everywhere: usage records, holds, transfers, accounts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from billing import holds, ledger
from billing.events import UsageEvent
from billing.ledger import AccountName, Cursor, NewTransfer

# ON CONFLICT without a target covers both the id and (request, part), within this very statement too. A hold that is
# not in the table (a gateway outlived a restored database) must not stop the charge.
_INSERT_RECORDS = """
INSERT INTO billing_usagerecord (
       id, request_id, part, organization_id, project_id, api_key_id, model, provider, usage, usage_source, usage_flags,
       policy, price_card_id, rates, rate_currency, units_per_usd, markup, charge_nanos, currency, hold_id, transfer_id,
       occurred_at, settled_at)
SELECT e.id, e.request_id, e.part, e.organization_id, e.project_id, e.api_key_id, e.model, e.provider, e.usage,
       e.usage_source, e.usage_flags, e.policy, e.price_card_id, e.rates, e.rate_currency, e.units_per_usd, e.markup,
       e.charge_nanos, e.currency, hold.id, e.transfer_id, e.occurred_at, clock_timestamp()
  FROM jsonb_to_recordset(%s::jsonb) AS e(
       id uuid, request_id uuid, part int, organization_id bigint, project_id bigint, api_key_id bigint, model text,
       provider text, usage jsonb, usage_source text, usage_flags jsonb, policy text, price_card_id bigint, rates jsonb,
       rate_currency text, units_per_usd text, markup text, charge_nanos bigint, currency text, hold_id uuid,
       transfer_id uuid, occurred_at timestamptz)
  LEFT JOIN billing_hold hold ON hold.id = e.hold_id
 ORDER BY e.id
    ON CONFLICT DO NOTHING
RETURNING id
"""


class DoubleTransfer(ValueError):
    """A new usage record whose transfer exists already: the ledger and the records disagree, a person must look."""


def settle(cur: Cursor, events: Sequence[UsageEvent]) -> set[UUID]:
    """Charge the events that are new and close their holds; returns the ids of those that were new.

    A charge above its hold is charged in full. An event with a charge of zero is recorded and closes its hold.
    """
    firsts: dict[UUID, UsageEvent] = {}
    for event in events:
        firsts.setdefault(event.id, event)
    if not firsts:
        return set()
    cur.execute(_INSERT_RECORDS, [json.dumps([_row(event) for event in firsts.values()])])
    new_ids = {row[0] for row in cur.fetchall()}
    new = sorted((firsts[id_] for id_ in new_ids), key=lambda event: event.id)
    releases = holds.close(cur, (event.hold_id for event in new if event.hold_id), "settled")
    transfers = [_transfer(event) for event in new if event.charge_nanos]
    if len(ledger.post(cur, transfers, releases=releases)) != len(transfers):
        raise DoubleTransfer
    # Foreign keys and the zero sum are checked at commit otherwise, when it is too late to single out the bad event.
    cur.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    return new_ids


def close_hold_without_usage(cur: Cursor, hold_ids: Iterable[UUID]) -> None:
    """Give back the holds of requests that ended with nothing to record. Safe to repeat."""
    ledger.post(cur, (), releases=holds.close(cur, hold_ids, "settled"))


def idempotency_key(event: UsageEvent) -> str:
    """One transfer per request part, whatever event brings it."""
    return f"usage:{event.request_id}:{event.part}"


def _row(event: UsageEvent) -> dict[str, Any]:
    transfer = str(ledger.transfer_id(idempotency_key(event))) if event.charge_nanos else None
    return {**event.to_json(), "transfer_id": transfer}


def _transfer(event: UsageEvent) -> NewTransfer:
    wallet = AccountName("wallet", event.organization_id, event.currency)
    revenue = AccountName("revenue", None, event.currency)
    return NewTransfer(
        kind="usage",
        idempotency_key=idempotency_key(event),
        legs=ledger.move(wallet, revenue, event.charge_nanos),
        organization_id=event.organization_id,
    )
