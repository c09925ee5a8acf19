"""Up to when the usage journal is settled."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from billing.ledger import Cursor

_SETTLED_TO = """
SELECT min(settled_to) FROM billing_journalshard WHERE shard < %s HAVING count(settled_to) = %s
"""


def settled_to(cur: Cursor) -> datetime | None:
    """Every event appended before this time, by the database's clock, is settled. None while a shard was never read."""
    cur.execute(_SETTLED_TO, [settings.JOURNAL_SHARDS, settings.JOURNAL_SHARDS])
    rows = cur.fetchall()
    return rows[0][0] if rows else None
