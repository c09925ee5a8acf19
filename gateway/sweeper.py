"""Holds whose process never came back."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import connection, transaction

from billing.holds import SWEEP_AT_MOST, sweep
from billing.watermark import settled_to
from gateway.unsettled import holds_of_unsettled

_PROLONG = """
UPDATE billing_hold SET expires_at = clock_timestamp() + interval '1 day'
 WHERE id = ANY(%s::uuid[]) AND state IN ('open', 'returned') AND expires_at < clock_timestamp() + interval '1 hour'
"""


def sweep_expired() -> int:
    """Free holds that ended long enough ago; returns how many.

    Only those whose end every shard's watermark is past: an event of theirs may still wait in the journal. A hold
    whose event was put aside lives until staff have dealt with that.
    """
    swept = SWEEP_AT_MOST
    total = 0
    while swept == SWEEP_AT_MOST:
        with transaction.atomic(), connection.cursor() as cursor:
            watermark = settled_to(cursor)
            if watermark is None:
                return total
            waiting = holds_of_unsettled()
            if waiting:
                cursor.execute(_PROLONG, [waiting])
            cursor.execute("SELECT clock_timestamp()")
            (now,) = cursor.fetchone()
            swept = sweep(cursor, before=min(now - timedelta(seconds=settings.SWEEP_MARGIN_S), watermark))
        total += swept
    return total
