"""Taking a plan: anew, or a larger one at once with the unused part of the period credited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from accounts.models import User
from billing.models.plans import Plan, PlanChange, PlanPeriod, Subscription, Window
from billing.plans import changes, payments
from billing.plans.changes import Desk, PlanRefused, desk
from billing.plans.proration import Unused
from billing.plans.terms import Terms

TOLERATED = 100  # a hundredth of the price: how far the sum may have grown since it was shown


@dataclass(frozen=True, slots=True)
class Offer:
    """What a plan costs now. `unused` are the figures of the credit, None where no period runs.

    `later_nanos`: what running requests hold of the allowance; what they leave of it may be credited later.
    """

    plan: Plan
    due_nanos: int
    unused: Unused | None = None
    later_nanos: int = 0

    @property
    def credit_nanos(self) -> int:
        return self.unused.credit_nanos if self.unused else 0


def offer(plan: Plan, subscription: Subscription | None, now: datetime) -> Offer:
    """For a new subscriber, or for an upgrade."""
    period = changes.period_of(subscription) if subscription else None
    if subscription is None or period is None:
        return Offer(plan, plan.price_nanos)
    with connection.cursor() as cur:
        spent, held = changes.period_use(cur, subscription.pk, period.starts_at)
    figures = changes.unused_of(period, Terms.stored(subscription.terms), spent + held, now)
    return Offer(plan, max(0, plan.price_nanos - figures.credit_nanos), figures, held)


def subscribe(
    organization_id: int,
    plan: Plan,
    *,
    most_nanos: int,
    form_id: UUID | None = None,
    by: User | None = None,
    now: datetime | None = None,
) -> Subscription:
    """Pay the first period out of the wallet. The same form subscribes once.

    `most_nanos` is the sum that was shown. Raises PlanRefused, and ledger.NotEnough.
    """
    again = changes.done_by(organization_id, form_id)
    if again is not None:
        return again
    payments.free_idle_credit(organization_id, plan.price_nanos)
    with desk(organization_id, now) as at:
        again = changes.done_by(organization_id, form_id)
        if again is not None:
            return again
        terms = _checked(at, plan, most_nanos)
        if at.subscription is not None:
            raise PlanRefused("subscribed")
        subscription = _open(at, plan, terms)
        payments.pay(
            at.cur, organization_id, terms.price_nanos, key=f"{subscription.pk}:1", reason=_words(subscription)
        )
        changes.record(
            at,
            subscription,
            PlanChange.Kind.SUBSCRIBED,
            detail=terms.name,
            amount_nanos=terms.price_nanos,
            by=by,
            form_id=form_id,
        )
        return subscription


def upgrade(
    organization_id: int,
    plan: Plan,
    *,
    most_nanos: int,
    form_id: UUID | None = None,
    by: User | None = None,
    now: datetime | None = None,
) -> Subscription:
    """Start a period of a higher plan now. What the running one leaves unused is taken off its price.

    Never more than `most_nanos`, the sum that was shown, is taken; where it has grown by more than a hundredth of the
    price meanwhile, PlanRefused says `sum_changed`. Other refusals and ledger.NotEnough as in `subscribe`.
    """
    again = changes.done_by(organization_id, form_id)
    if again is not None:
        return again
    payments.free_idle_credit(organization_id, most_nanos)
    with desk(organization_id, now) as at:
        again = changes.done_by(organization_id, form_id)
        if again is not None:
            return again
        old = at.live
        if plan.rank <= Terms.stored(old.terms).rank:
            raise PlanRefused("no_upgrade")
        changes.close_windows(at, old)  # first: their lock keeps what is read of them as it is
        found = offer(plan, old, at.now)
        if found.due_nanos > most_nanos + plan.price_nanos // TOLERATED:
            raise PlanRefused("sum_changed")
        due = min(found.due_nanos, most_nanos)
        terms = _checked(at, plan, plan.price_nanos)
        _leave(at, old, found, plan.price_nanos - due)
        subscription = _open(at, plan, terms, old)
        payments.pay(at.cur, organization_id, due, key=f"{subscription.pk}:1", reason=_words(subscription, old))
        rest = found.credit_nanos - plan.price_nanos
        payments.give_back(
            at.cur, organization_id, rest, key=f"{subscription.pk}:rest", reason=_words(subscription, old)
        )
        changes.record(
            at,
            subscription,
            PlanChange.Kind.UPGRADED,
            detail=f"{old.terms['name']} → {terms.name}",
            amount_nanos=due - max(0, rest),
            by=by,
            form_id=form_id,
        )
        return subscription


def _checked(at: Desk, plan: Plan, most_nanos: int) -> Terms:
    plan.refresh_from_db()
    if at.organization.suspended_at is not None:
        raise PlanRefused("suspended")
    if not plan.is_sold:
        raise PlanRefused("not_sold")
    if plan.price_nanos > most_nanos:
        raise PlanRefused("sum_changed")
    return Terms.of(plan)


def _leave(at: Desk, old: Subscription, found: Offer, taken_off_nanos: int) -> None:
    """End the old subscription, and note what of its period was credited."""
    period = changes.period_of(old)
    changes.end(at, old)
    if period is not None:
        credit = min(period.price_nanos, max(found.credit_nanos, taken_off_nanos))
        PlanPeriod.objects.filter(pk=period.pk).update(credit_nanos=credit, credit_is_final=found.later_nanos == 0)


def _open(at: Desk, plan: Plan, terms: Terms, old: Subscription | None = None) -> Subscription:
    """A subscription with its first period, and with the settings of the one before."""
    subscription = Subscription.objects.create(
        organization=at.organization,
        plan=plan,
        terms=terms.as_json(),
        period_start=at.now,
        period_end=at.now + terms.period,
        overflow=old.overflow if old else False,
        overflow_cap_nanos=old.overflow_cap_nanos if old else None,
    )
    if old is not None:
        carry_overflow(old, subscription, at.now)
    changes.begin_period(subscription, terms.price_nanos)
    return subscription


def carry_overflow(old: Subscription, new: Subscription, now: datetime) -> None:
    """What the wallet paid this month beyond the plan still counts against the cap."""
    overflow = Window.Kind.OVERFLOW
    Window.objects.filter(subscription=old, kind=overflow, closes_at__gt=now).update(subscription=new)


def _words(subscription: Subscription, old: Subscription | None = None) -> str:
    name = subscription.terms["name"]
    if old is not None:
        name = f"{old.terms['name']} → {name}"
    return f"{name}, {changes.day(subscription.period_start)} – {changes.day(subscription.period_end)}"
