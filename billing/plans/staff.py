"""What staff may do to subscriptions, each with a reason that is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from accounts.models import User
from billing.models.plans import Plan, PlanChange, PlanPeriod, Subscription
from billing.plans import changes, payments
from billing.plans.changes import PlanRefused, desk
from billing.plans.terms import Terms


def give(
    organization_id: int,
    plan: Plan,
    *,
    days: int,
    reason: str,
    by: User | None,
    form_id: UUID | None = None,
    now: datetime | None = None,
) -> Subscription:
    """A subscription for so many days, without payment and without renewal. The same form gives once.

    Raises PlanRefused where one is running, ValueError without a reason or a day.
    """
    if not reason.strip() or days < 1:
        raise ValueError("a gift needs a reason and at least a day")
    with desk(organization_id, now) as at:
        again = changes.done_by(organization_id, form_id)
        if again is not None:
            return again
        if at.subscription is not None:
            raise PlanRefused("subscribed")
        subscription = Subscription.objects.create(
            organization=at.organization,
            plan=plan,
            terms=Terms.of(plan).as_json(),
            period_start=at.now,
            period_end=at.now + timedelta(days=days),
            renews=False,
        )
        changes.begin_period(subscription, 0)
        changes.record(
            at,
            subscription,
            PlanChange.Kind.GIVEN,
            detail=f"{plan.name}, {days} d",
            reason=reason.strip(),
            by=by,
            form_id=form_id,
        )
        return subscription


def end_now(
    subscription: Subscription, *, reason: str, credits_unused: bool, by: User | None, now: datetime | None = None
) -> int:
    """End it at once; returns what was credited to the wallet, in nano-USD: the unused part, if it is to be.

    Raises PlanRefused where it has ended already, ValueError without a reason.
    """
    if not reason.strip():
        raise ValueError("an end needs a reason")
    organization_id = subscription.organization_id
    with desk(organization_id, now) as at:
        live = at.live
        if live.pk != subscription.pk:
            raise PlanRefused("not_subscribed")
        changes.end(at, live)
        period = changes.period_of(live)
        credit = 0
        if credits_unused and period is not None:
            spent, held = changes.period_use(at.cur, live.pk, period.starts_at)
            credit = changes.unused_of(period, Terms.stored(live.terms), spent + held, at.now).credit_nanos
            PlanPeriod.objects.filter(pk=period.pk).update(credit_nanos=credit, credit_is_final=held == 0)
            payments.give_back(at.cur, organization_id, credit, key=f"end:{live.pk}", reason=live.terms["name"])
        changes.record(
            at,
            live,
            PlanChange.Kind.STOPPED,
            detail=live.terms["name"],
            amount_nanos=-credit,
            reason=reason.strip(),
            by=by,
        )
        return credit
