"""A receipt as JSON: what was charged for one request, with all that is needed to compute it again.

No framework, no database: the pages, the API and the offline check all make and read receipts here. A document holds
no floating-point numbers: whole nanos are integers, decimals are strings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from billing.pricing.money import NANOS_PER_USD, exact
from billing.pricing.price import Charge, price
from billing.pricing.rates import STANDARD, RateCard
from billing.pricing.usage import TokenUsage

TYPE: Final = "routerone.receipt"
VERSION: Final = 1
_ID_PREFIX: Final = "gen-"
_LINE_PLACES: Final = Decimal("1e-18")  # of a dollar; a line is shown, only the total is charged

# Columns of a usage record; a record is a mapping from these to what the database gives.
RECORD_COLUMNS: Final = (
    "part",
    "organization_id",
    "project_id",
    "api_key_id",
    "model",
    "provider",
    "usage",
    "usage_source",
    "usage_flags",
    "policy",
    "price_card_id",
    "rates",
    "rate_currency",
    "units_per_usd",
    "markup",
    "charge_nanos",
    "currency",
    "hold_id",
    "transfer_id",
    "occurred_at",
    "settled_at",
)
ATTEMPT_COLUMNS: Final = ("number", "provider", "reason", "status", "error_class", "started_ms", "duration_ms")

Json = dict[str, Any]


def public_id(request_id: UUID) -> str:
    """The id that callers see."""
    return f"{_ID_PREFIX}{request_id.hex}"


def request_id_in(text: str) -> UUID | None:
    """The request that a public id names; None for what is no such id. A bare UUID is taken too."""
    try:
        return UUID(text.removeprefix(_ID_PREFIX))
    except ValueError:
        return None


def receipt_document(
    request_id: UUID, records: Sequence[Mapping[str, Any]], attempts: Sequence[Mapping[str, Any]], *, issuer: str
) -> Json:
    """The unsigned receipt of a request. `records` and `attempts` are rows by column name, `issuer` our public URL."""
    parts = [_part(record) for record in sorted(records, key=lambda record: int(record["part"]))]
    return {
        "type": TYPE,
        "version": VERSION,
        "id": public_id(request_id),
        "issuer": issuer,
        "charge_nanos": sum(part["charge_nanos"] for part in parts),
        "parts": parts,
        "attempts": [{name: attempt[name] for name in ATTEMPT_COLUMNS} for attempt in attempts],
    }


def canonical(document: Mapping[str, Any]) -> bytes:
    """The one form that is signed: keys sorted, no spaces, UTF-8."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def recompute(record: Mapping[str, Any]) -> Charge:
    """What the usage of a record, or of a part of a receipt, costs by its own rates.

    Without rates no card was in force and nothing can be charged. Raises InvalidRateCard, ValueError, TypeError,
    KeyError or decimal.InvalidOperation for what cannot be computed.
    """
    usage = TokenUsage.from_dict(record["usage"])
    rates = {name: Decimal(rate) for name, rate in record["rates"].items()}
    if not rates:
        return Charge(0, ())
    card = RateCard(record["price_card_id"], STANDARD, None, None, 0, None, rates)
    return price(usage, card, units_per_usd=Decimal(record["units_per_usd"]), markup=Decimal(record["markup"]))


def computed_fields(record: Mapping[str, Any]) -> Json:
    """Those fields of a part that follow from its others. Raises as `recompute`."""
    charge, charged = recompute(record), int(record["charge_nanos"])
    lines = [
        {"bucket": line.bucket, "quantity": line.quantity, "rate": plain(line.rate), "usd": _line_usd(line.nanos)}
        for line in charge.lines
    ]
    return {
        "lines": lines,
        "computed_nanos": charge.total_nanos,
        "waived_nanos": charge.total_nanos - charged,
        "funding": [{"source": "wallet", "nanos": charged}] if charged else [],
    }


def plain(value: Decimal) -> str:
    """A decimal without exponent and without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _part(record: Mapping[str, Any]) -> Json:
    return {name: _value(record[name]) for name in RECORD_COLUMNS} | computed_fields(record)


def _value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


def _line_usd(nanos: Decimal) -> str:
    with exact():
        return plain((nanos / NANOS_PER_USD).quantize(_LINE_PLACES))
