"""Usage records into their table, those that are new."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

import orjson

from billing.events import UsageEvent
from billing.ledger import Cursor

_FIELDS = UsageEvent._fields

# The primary key is the guard: an id is a function of (request, part). The hold says who pays, the event has a copy.
# What a plan pays moves no money, so it names no transfer.
_INSERT = """
INSERT INTO billing_usagerecord (
       id, request_id, part, organization_id, project_id, api_key_id, model, provider, usage, usage_source, usage_flags,
       policy, price_card_id, rates, rate_currency, units_per_usd, markup, charge_nanos, currency, source, hold_id,
       transfer_id, occurred_at, settled_at)
SELECT e.id, e.request_id, e.part, e.organization_id, e.project_id, e.api_key_id, e.model, e.provider, e.usage,
       e.usage_source, e.usage_flags, e.policy, e.price_card_id, e.rates::jsonb, e.rate_currency, e.units_per_usd,
       e.markup, e.charge_nanos, 'USD', COALESCE(h.source, e.source), e.hold_id,
       CASE WHEN e.charge_nanos > 0 AND COALESCE(h.source, e.source) <> 'plan'
            THEN (%s::jsonb->>e.organization_id::text)::uuid END,
       e.occurred_at, clock_timestamp()
  FROM json_to_recordset(%s::json) AS e(
       id uuid, request_id uuid, part int, organization_id bigint, project_id bigint, api_key_id bigint, model text,
       provider text, usage jsonb, usage_source text, usage_flags jsonb, policy text, price_card_id bigint, rates text,
       rate_currency text, units_per_usd text, markup text, charge_nanos bigint, hold_id uuid, source text,
       occurred_at timestamptz)
  LEFT JOIN billing_hold h ON h.id = e.hold_id
 ORDER BY e.id
    ON CONFLICT (id) DO NOTHING
RETURNING id::text
"""


def insert(cur: Cursor, events: Collection[UsageEvent], transfers: Mapping[int, UUID]) -> set[str]:
    """The ids of those that were not there yet. `transfers`: the one that pays, by organization id.

    Raises ValueError for an id that is not written as PostgreSQL writes it.
    """
    rows = orjson.dumps([dict(zip(_FIELDS, event, strict=True)) for event in events])
    by_organization = orjson.dumps({str(key): str(id_) for key, id_ in transfers.items()})
    cur.execute(_INSERT, [by_organization.decode(), rows.decode()])
    new_ids = {row[0] for row in cur.fetchall()}
    if not new_ids.issubset({event.id for event in events}):
        raise ValueError("an event's id must be a UUID in its usual form")
    return new_ids
