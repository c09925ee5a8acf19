"""What a customer may choose for a running subscription. Each takes no money, and may be said twice."""

from __future__ import annotations

from datetime import datetime

from accounts.models import User
from billing.models.plans import Plan, PlanChange, Subscription
from billing.plans import changes
from billing.plans.changes import PlanRefused, desk

LARGEST_CAP_NANOS = 10_000_000 * 1_000_000_000


def change_at_period_end(
    organization_id: int, plan: Plan, *, by: User | None = None, now: datetime | None = None
) -> Subscription:
    """The next period is one of `plan`, at its terms of that day. The plan of now takes such a wish back.

    Raises PlanRefused.
    """
    with desk(organization_id, now) as at:
        subscription = at.live
        wanted = None if plan.pk == subscription.plan_id else plan
        if subscription.renews and subscription.next_plan_id == (wanted.pk if wanted else None):
            return subscription
        if wanted is not None and not wanted.is_sold:
            raise PlanRefused("not_sold")
        subscription.next_plan = wanted
        subscription.renews = True
        subscription.save(update_fields=["next_plan", "renews"])
        detail = f"{subscription.terms['name']} → {plan.name}"
        changes.record(at, subscription, PlanChange.Kind.PLANNED, detail=detail, by=by)
        return subscription


def cancel(organization_id: int, *, by: User | None = None, now: datetime | None = None) -> Subscription:
    """It covers requests until the period ends, and does not renew. One whose renewal is due ends at once.

    Raises PlanRefused.
    """
    with desk(organization_id, now) as at:
        subscription = at.live
        is_due = subscription.state == Subscription.State.GRACE
        if not subscription.renews and not is_due:
            return subscription
        subscription.renews = False
        subscription.next_plan = None
        subscription.save(update_fields=["renews", "next_plan"])
        if is_due:
            changes.end(at, subscription)
        kind = PlanChange.Kind.ENDED if is_due else PlanChange.Kind.CANCELLED
        changes.record(at, subscription, kind, detail=subscription.terms["name"], by=by)
        return subscription


def resume(organization_id: int, *, by: User | None = None, now: datetime | None = None) -> Subscription:
    """Take the cancellation back. Raises PlanRefused."""
    with desk(organization_id, now) as at:
        subscription = at.live
        if not subscription.renews:
            subscription.renews = True
            subscription.save(update_fields=["renews"])
            changes.record(at, subscription, PlanChange.Kind.RESUMED, detail=subscription.terms["name"], by=by)
        return subscription


def set_overflow(
    organization_id: int,
    *,
    allowed: bool,
    cap_nanos: int | None = None,
    by: User | None = None,
    now: datetime | None = None,
) -> Subscription:
    """Whether the wallet pays where a window is full, and how much of that per month; None: no cap.

    Raises PlanRefused, and ValueError for a cap that is not above zero.
    """
    if cap_nanos is not None and not 0 < cap_nanos <= LARGEST_CAP_NANOS:
        raise ValueError("a cap is a positive amount")
    with desk(organization_id, now) as at:
        subscription = at.live
        if (subscription.overflow, subscription.overflow_cap_nanos) != (allowed, cap_nanos):
            subscription.overflow = allowed
            subscription.overflow_cap_nanos = cap_nanos
            subscription.save(update_fields=["overflow", "overflow_cap_nanos"])
            cap = "no cap" if cap_nanos is None else f"at most ${cap_nanos / 1e9:,.2f} per month"
            detail = f"on, {cap}" if allowed else "off"
            changes.record(at, subscription, PlanChange.Kind.OVERFLOW, detail=detail, by=by)
        return subscription
