"""Jobs about money. Each may run twice, and at the same time as itself."""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from celery import shared_task
from django.db import connection, transaction
from django.utils import timezone

from billing import lots, proof, watermark
from billing.models.idempotency import IdempotencyKey
from billing.plans import renewal

log = structlog.get_logger(__name__)

RENEWED_AHEAD = timedelta(seconds=60)  # as often as the job runs
CLOCKS_DIFFER = timedelta(milliseconds=500)  # the worker's clock says when, the database's whether it is time
KEYS_KEPT = timedelta(days=1)
EXPIRING_AT_MOST_S = 50.0  # the next run begins after a minute


@shared_task(name="billing.tasks.prove_ledger")  # type: ignore[untyped-decorator]
def prove_ledger() -> int:
    """Check the whole ledger and keep the result; returns the number of problems."""
    return len(proof.run().problems)


@shared_task(name="billing.tasks.expire_credit")  # type: ignore[untyped-decorator]
def expire_credit() -> int:
    """Hold back credit whose time is over, and take it once nothing can be charged to it any more.

    Batch after batch until every ended lot was looked at once; returns how many are done with.
    """
    done, place = 0, lots.FIRST
    stop_at = time.monotonic() + EXPIRING_AT_MOST_S
    while time.monotonic() < stop_at:
        with transaction.atomic(), connection.cursor() as cursor:
            batch = lots.expire(cursor, settled_to=watermark.settled_to(cursor), after=place)
        done += batch.done
        if batch.last is None:
            return done
        place = batch.last
    log.warning("credit_not_all_expired", lots=done)
    return done


@shared_task(name="billing.tasks.forget_idempotency_keys")  # type: ignore[untyped-decorator]
def forget_idempotency_keys() -> int:
    """Delete the keys whose day is over; returns how many. The gateway takes no notice of them any more."""
    old = timezone.now() - KEYS_KEPT
    deleted, _ = IdempotencyKey.objects.filter(created_at__lt=old).delete()
    return deleted


@shared_task(name="billing.tasks.renew_plans")  # type: ignore[untyped-decorator]
def renew_plans() -> None:
    """Bring over the end of their period all whose time has come; those of the next minute to the second."""
    now = renewal.now_by_database()
    for subscription_id, ends_at in renewal.due_until(now + RENEWED_AHEAD):
        if ends_at > now:
            renew_plan.apply_async((subscription_id,), eta=ends_at + CLOCKS_DIFFER)
        else:
            renew_plan(subscription_id)
    for period_id in renewal.periods_to_credit():
        renewal.credit_what_was_left(period_id)


@shared_task(name="billing.tasks.renew_plan")  # type: ignore[untyped-decorator]
def renew_plan(subscription_id: int) -> str:
    """One subscription; a failure is logged, and the next minute tries again."""
    try:
        return renewal.renew(subscription_id)
    except Exception as error:
        log.exception("plan_not_renewed", subscription_id=subscription_id, error_class=type(error).__name__)
        return "failed"
