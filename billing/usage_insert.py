"""Usage records into their table, those that are new."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from uuid import UUID

import orjson
from psycopg import DataError, IntegrityError

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


_COLUMNS = (
    *("id", "request_id", "part", "organization_id", "project_id", "api_key_id", "model", "provider", "usage"),
    *("usage_source", "usage_flags", "policy", "price_card_id", "rates", "rate_currency", "units_per_usd", "markup"),
    *("charge_nanos", "currency", "source", "hold_id", "transfer_id", "occurred_at", "settled_at"),
)
_COPY = f"COPY billing_usagerecord ({', '.join(_COLUMNS)}) FROM STDIN"
_SOURCES = "SELECT id::text, source FROM billing_hold WHERE id = ANY(%s::uuid[])"
_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SPECIAL = re.compile(r"[\\\t\n\r]")
_TABS = len(_COLUMNS) - 1
_LINE = "\t".join(["%s"] * len(_COLUMNS)) + "\n"
_NULL = "\0"  # in no text that PostgreSQL takes
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def insert(cur: Cursor, events: Collection[UsageEvent], transfers: Mapping[int, UUID]) -> set[str]:
    """The ids of those that were not there yet. `transfers`: the one that pays, by organization id.

    Nearly always all are new, so they are copied straight into the table; only where one is not, which the primary key
    says, they are inserted around it. Raises ValueError for an id that is not written as PostgreSQL writes it.
    """
    ids = {event.id for event in events}
    if not all(_CANONICAL.fullmatch(id_) for id_ in ids):
        raise ValueError("an event's id must be a UUID in its usual form")
    cur.execute("SAVEPOINT copy_usage")
    try:
        _copy(cur, events, transfers)
    except (IntegrityError, DataError):  # a known one, or one that makes no sense: the other way says which
        cur.execute("ROLLBACK TO SAVEPOINT copy_usage")
        return _insert(cur, events, transfers)
    cur.execute("RELEASE SAVEPOINT copy_usage")
    return ids


def _copy(cur: Cursor, events: Collection[UsageEvent], transfers: Mapping[int, UUID]) -> None:
    cur.execute(_SOURCES, [list({event.hold_id for event in events if event.hold_id is not None})])
    sources: dict[str, str] = dict(cur.fetchall())
    payers = {organization: str(id_) for organization, id_ in transfers.items()}
    now = datetime.now(UTC).isoformat()
    lines = "".join([_line(event, sources, payers, now) for event in sorted(events, key=lambda event: event.id)])
    with cur.copy(_COPY) as copy:
        copy.write(lines)


def _line(event: UsageEvent, sources: Mapping[str, str], payers: Mapping[int, str], now: str) -> str:
    source = event.source if event.hold_id is None else sources.get(event.hold_id, event.source)
    pays = event.charge_nanos > 0 and source != "plan"
    values = (
        event.id,
        event.request_id,
        event.part,
        event.organization_id,
        event.project_id,
        event.api_key_id,
        event.model,
        event.provider,
        _NULL if event.usage is None else orjson.dumps(event.usage).decode(),
        event.usage_source,
        orjson.dumps(event.usage_flags).decode(),
        event.policy,
        _NULL if event.price_card_id is None else event.price_card_id,
        event.rates,
        event.rate_currency,
        event.units_per_usd,
        event.markup,
        event.charge_nanos,
        "USD",
        source,
        event.hold_id or _NULL,
        payers[event.organization_id] if pays else _NULL,
        event.occurred_at,
        now,
    )
    line = _LINE % values
    is_plain = "\\" not in line and "\r" not in line and line.find("\n") == len(line) - 1
    if is_plain and line.count("\t") == _TABS and line.count(_NULL) == values.count(_NULL):
        return line.replace(_NULL, r"\N")
    return "\t".join([r"\N" if value == _NULL else _escaped(str(value)) for value in values]) + "\n"


def _escaped(text: str) -> str:
    """As COPY reads it; a NUL is refused by the database."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _insert(cur: Cursor, events: Collection[UsageEvent], transfers: Mapping[int, UUID]) -> set[str]:
    rows = orjson.dumps([dict(zip(_FIELDS, event, strict=True)) for event in events])
    by_organization = orjson.dumps({str(key): str(id_) for key, id_ in transfers.items()})
    cur.execute(_INSERT, [by_organization.decode(), rows.decode()])
    return {row[0] for row in cur.fetchall()}
