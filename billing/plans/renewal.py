"""The end of a period: the next one is paid, or grace begins, or the subscription ends. Safe to repeat and to race."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

from django.db import connection, transaction
from django.db.models import Q

from billing import ledger
from billing.ledger import NotEnough
from billing.models.plans import PlanChange, PlanPeriod, Subscription
from billing.plans import changes, payments
from billing.plans.changes import Desk, desk
from billing.plans.purchase import carry_overflow
from billing.plans.terms import GRACE, Terms

Outcome = Literal["nothing", "renewed", "due", "ended"]
PUNCTUAL = timedelta(minutes=5)  # a job that comes later than this has kept the customer waiting


def due_until(until: datetime) -> Iterator[tuple[int, datetime]]:
    """Subscriptions whose period has ended by then, with its end. Those in grace are among them until they end."""
    live = Subscription.objects.filter(~Q(state=Subscription.State.ENDED), period_end__lte=until)
    yield from live.order_by("period_end").values_list("pk", "period_end")


def renew(subscription_id: int, now: datetime | None = None) -> Outcome:
    """Bring one subscription over the end of its period, as far as its wallet allows."""
    subscription = Subscription.objects.select_related("next_plan").filter(pk=subscription_id).first()
    if subscription is None or subscription.state == Subscription.State.ENDED:
        return "nothing"
    if subscription.renews and (now is None or subscription.period_end <= now):
        try:  # what gateways hold idle is not missing
            payments.free_idle_credit(subscription.organization_id, _next_terms(subscription).price_nanos)
        except NotEnough:
            pass
    with desk(subscription.organization_id, now) as at:
        if at.subscription is None or at.subscription.pk != subscription_id or at.subscription.period_end > at.now:
            return "nothing"
        return _over_the_end(at, at.subscription)


def _over_the_end(at: Desk, subscription: Subscription) -> Outcome:
    is_over = subscription.state == Subscription.State.GRACE and at.now >= _grace_end(subscription)
    if not subscription.renews or is_over:
        return _end(at, subscription)
    if _paid(at, subscription):
        return "renewed"
    if at.now >= subscription.period_end + GRACE:
        return _end(at, subscription)
    if subscription.state == Subscription.State.ACTIVE:
        subscription.state = Subscription.State.GRACE
        subscription.grace_until = subscription.period_end + GRACE
        subscription.save(update_fields=["state", "grace_until"])
        changes.record(at, subscription, PlanChange.Kind.DUE, detail=subscription.terms["name"])
    return "due"


def _paid(at: Desk, subscription: Subscription) -> bool:
    """The next period, if the wallet has its price. False, with nothing changed, where it has not."""
    terms = _next_terms(subscription)
    is_short = ledger.balance(at.organization.pk).available_nanos < terms.price_nanos
    if at.organization.suspended_at is not None or is_short:
        return False
    try:
        with transaction.atomic():
            _next_period(at, subscription, terms)
    except NotEnough:
        subscription.refresh_from_db()
        return False
    return True


def _next_period(at: Desk, subscription: Subscription, terms: Terms) -> None:
    """Paid once per period, whatever happens: the key of the debit counts periods."""
    starts_at = _start(at, subscription)
    changes.close_windows(at, subscription)
    if subscription.next_plan is None:
        following = subscription
        following.state = Subscription.State.ACTIVE
        following.grace_until = None
        following.period_start, following.period_end = starts_at, starts_at + terms.period
        following.save(update_fields=["state", "grace_until", "period_start", "period_end"])
    else:
        changes.end(at, subscription)
        following = Subscription.objects.create(
            organization=at.organization,
            plan=subscription.next_plan,
            terms=terms.as_json(),
            period_start=starts_at,
            period_end=starts_at + terms.period,
            overflow=subscription.overflow,
            overflow_cap_nanos=subscription.overflow_cap_nanos,
        )
        carry_overflow(subscription, following, at.now)
    period = changes.begin_period(following, terms.price_nanos)
    words = f"{terms.name}, {changes.day(following.period_start)} – {changes.day(following.period_end)}"
    payments.pay(at.cur, at.organization.pk, terms.price_nanos, key=f"{following.pk}:{period.number}", reason=words)
    changes.record(at, following, PlanChange.Kind.RENEWED, detail=terms.name, amount_nanos=terms.price_nanos)


def _start(at: Desk, subscription: Subscription) -> datetime:
    """Without a gap, days of grace included. Where it was us who came late, it begins now."""
    was_waiting = subscription.state == Subscription.State.ACTIVE and at.now > subscription.period_end + PUNCTUAL
    return at.now if was_waiting else subscription.period_end


def _end(at: Desk, subscription: Subscription) -> Outcome:
    changes.end(at, subscription)
    changes.record(at, subscription, PlanChange.Kind.ENDED, detail=subscription.terms["name"])
    return "ended"


def _next_terms(subscription: Subscription) -> Terms:
    """Those it was sold with, or those of the plan that was chosen to follow."""
    return Terms.of(subscription.next_plan) if subscription.next_plan else Terms.stored(subscription.terms)


def _grace_end(subscription: Subscription) -> datetime:
    return subscription.grace_until or subscription.period_end + GRACE


def credit_what_was_left(period_id: int, now: datetime | None = None) -> int:
    """Once nothing runs against a period that was left early: credit what is unused and was not credited then.

    Returns the nanos. Zero, to be tried again, while requests are still running.
    """
    period = PlanPeriod.objects.select_related("subscription").get(pk=period_id)
    with desk(period.organization_id, now) as at:
        period.refresh_from_db()
        spent, held = changes.period_use(at.cur, period.subscription_id, period.starts_at)
        if period.credit_is_final or held or period.closed_at is None:
            return 0
        terms = Terms.stored(period.subscription.terms)
        credit = changes.unused_of(period, terms, spent, period.closed_at).credit_nanos
        more = max(0, credit - period.credit_nanos)
        period.credit_nanos += more
        period.credit_is_final = True
        period.save(update_fields=["credit_nanos", "credit_is_final"])
        if more:
            payments.give_back(at.cur, period.organization_id, more, key=f"left:{period.pk}", reason=terms.name)
            changes.record(at, period.subscription, PlanChange.Kind.CREDITED, detail=terms.name, amount_nanos=-more)
        return more


def periods_to_credit() -> list[int]:
    return list(PlanPeriod.objects.filter(credit_is_final=False).order_by("pk").values_list("pk", flat=True))


def now_by_database() -> datetime:
    with connection.cursor() as cur:
        return changes.database_now(cur)
