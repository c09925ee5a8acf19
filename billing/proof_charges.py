"""Charges computed again: a random sample of the recent ones, from the usage and the rates that stand in the record.

The gateway charges with compiled prices; this is the other way, the one behind receipts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from billing.ledger import Cursor
from billing.pricing.price import Charge
from billing.receipts.document import plain, recompute

RECENT = 100_000
SAMPLE = 1_000

_COLUMNS = ("usage", "policy", "price_card_id", "rates", "units_per_usd", "markup", "charge_nanos")
# The newest by id, which begins with the time; their ids alone are read to choose from.
_SAMPLE = """
SELECT id::text, usage::text, policy, price_card_id, rates::text, units_per_usd, markup, charge_nanos
  FROM billing_usagerecord
 WHERE id = ANY(ARRAY(SELECT id FROM (SELECT id FROM billing_usagerecord ORDER BY id DESC LIMIT %s) recent
                       ORDER BY random() LIMIT %s))
"""


def wrong_charges(cur: Cursor, *, sample: int = SAMPLE, recent: int = RECENT) -> tuple[list[str], int]:
    """Records among `sample` of the `recent` newest whose charge is another, line by line; and how many were looked at.

    What was waived is charged with nothing.
    """
    cur.execute(_SAMPLE, [recent, sample])
    rows = cur.fetchall()
    found = (_difference(id_, dict(zip(_COLUMNS, values, strict=True))) for id_, *values in rows)
    return [text for text in found if text], len(rows)


def _difference(id_: str, record: dict[str, Any]) -> str:
    """What is wrong with it; empty where nothing is."""
    record["usage"], record["rates"] = orjson.loads(record["usage"]), orjson.loads(record["rates"])
    charged = record["charge_nanos"]
    try:
        charge = recompute(record)
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError) as error:
        return f"{id_}: charged {charged}, cannot be computed ({type(error).__name__})"
    if charge.total_nanos == charged or (charged == 0 and _is_free(record)):
        return ""
    return f"{id_}: charged {charged}, computed {charge.total_nanos} = {_lines(charge)}"


def _is_free(record: Mapping[str, Any]) -> bool:
    return str(record["policy"]).endswith("_free")


def _lines(charge: Charge) -> str:
    parts = [f"{line.bucket} {line.quantity} at {plain(line.rate)}: {plain(line.nanos)}" for line in charge.lines]
    return " + ".join(parts) or "nothing"
