"""Jobs about money. Each may run twice, and at the same time as itself."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from django.db import connection, transaction

from billing import lots, proof

_SETTLED_TO = "SELECT min(settled_to) FROM billing_journalshard HAVING count(*) >= %s"


@shared_task(name="billing.tasks.prove_ledger")  # type: ignore[untyped-decorator]
def prove_ledger() -> int:
    """Check the whole ledger and keep the result; returns the number of problems."""
    return len(proof.run().problems)


@shared_task(name="billing.tasks.expire_credit")  # type: ignore[untyped-decorator]
def expire_credit() -> None:
    """Hold back credit whose time is over, and take it once nothing can be charged to it any more."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_SETTLED_TO, [settings.JOURNAL_SHARDS])
        row = cursor.fetchone()
        if row and row[0]:
            lots.expire(cursor, settled_to=row[0])
