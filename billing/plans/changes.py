"""What every change of a subscription has in common: one at a time, recorded, and told to the gateways."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db import connection, transaction

from accounts.announce import announce_organization
from accounts.models import Organization, User
from billing import ledger
from billing.models.plans import PlanChange, PlanPeriod, Subscription
from billing.plans.proration import Unused, unused
from billing.plans.terms import Terms

Refusal = Literal["subscribed", "not_subscribed", "not_sold", "suspended", "no_upgrade", "sum_changed"]

_LOCK_WINDOWS = """
SELECT id FROM billing_window WHERE subscription_id = %s AND kind = 'plan' AND (closes_at > %s OR opens_at = %s)
 ORDER BY id FOR NO KEY UPDATE
"""
_CLOSE_WINDOWS = """
UPDATE billing_window SET closes_at = GREATEST(opens_at, %s::timestamptz)
 WHERE subscription_id = %s AND kind = 'plan' AND closes_at > %s
"""
_PERIOD_USE = """
SELECT spent_nanos, held_nanos FROM billing_window
 WHERE subscription_id = %s AND kind = 'plan' AND name = 'period' AND opens_at = %s
"""


class PlanRefused(Exception):
    """The change cannot be made now; nothing was changed."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why: Refusal = why


@dataclass(slots=True)
class Desk:
    """The organization's subscription, with nobody else changing it. `now` is the database's time."""

    cur: Any
    organization: Organization
    subscription: Subscription | None
    now: datetime

    @property
    def live(self) -> Subscription:
        """Raises PlanRefused where there is none."""
        if self.subscription is None:
            raise PlanRefused("not_subscribed")
        return self.subscription


@contextmanager
def desk(organization_id: int, now: datetime | None = None) -> Iterator[Desk]:
    """A transaction in which the organization's row is locked, so that its plan changes one step at a time."""
    with transaction.atomic(), connection.cursor() as cur:
        organization = Organization.objects.select_for_update(no_key=True).get(pk=organization_id)
        yield Desk(cur, organization, live_subscription(organization_id), now or database_now(cur))


def live_subscription(organization_id: int) -> Subscription | None:
    """Active or in grace."""
    ended = Subscription.State.ENDED
    found = Subscription.objects.filter(organization_id=organization_id).exclude(state=ended)
    return found.select_related("plan", "next_plan").first()


def database_now(cur: Any) -> datetime:
    cur.execute("SELECT clock_timestamp()")
    now: datetime = cur.fetchone()[0]
    return now


def done_by(organization_id: int, form_id: UUID | None) -> Subscription | None:
    """The subscription that this form has made or changed already."""
    if form_id is None:
        return None
    change = PlanChange.objects.filter(organization_id=organization_id, form_id=form_id).first()
    return None if change is None else change.subscription


def record(
    desk: Desk,
    subscription: Subscription,
    kind: PlanChange.Kind,
    *,
    detail: str = "",
    amount_nanos: int = 0,
    reason: str = "",
    by: User | None = None,
    form_id: UUID | None = None,
) -> None:
    """Keep what happened, make gateways stop on what they hold under the old terms, and tell them after the commit."""
    PlanChange.objects.create(
        organization=desk.organization,
        subscription=subscription,
        kind=kind,
        detail=detail[:200],
        amount_nanos=amount_nanos,
        reason=reason,
        created_by=by,
        form_id=form_id,
        created_at=desk.now,
    )
    ledger.raise_epoch(desk.cur, desk.organization.pk)
    announce_organization(desk.organization.pk)


def close_windows(desk: Desk, subscription: Subscription) -> None:
    """The allowances of now end. Requests that were admitted to them are still settled there."""
    desk.cur.execute(_LOCK_WINDOWS, [subscription.pk, desk.now, subscription.period_start])
    desk.cur.execute(_CLOSE_WINDOWS, [desk.now, subscription.pk, desk.now])


def period_use(cur: Any, subscription_id: int, starts_at: datetime) -> tuple[int, int]:
    """What was spent of a period's allowance, and what running requests hold of it; zeros where it was never opened."""
    cur.execute(_PERIOD_USE, [subscription_id, starts_at])
    row = cur.fetchone()
    return (int(row[0]), int(row[1])) if row else (0, 0)


def period_of(subscription: Subscription) -> PlanPeriod | None:
    """The period that runs, or that ran last."""
    return PlanPeriod.objects.filter(subscription=subscription).order_by("-number").first()


def unused_of(period: PlanPeriod, terms: Terms, used_nanos: int, now: datetime) -> Unused:
    return unused(
        price_nanos=period.price_nanos,
        allowance_nanos=terms.period_nanos,
        used_nanos=used_nanos,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        now=now,
    )


def begin_period(subscription: Subscription, price_nanos: int) -> PlanPeriod:
    """The row of the period that the subscription says it is in."""
    last = period_of(subscription)
    return PlanPeriod.objects.create(
        organization_id=subscription.organization_id,
        subscription=subscription,
        number=last.number + 1 if last else 1,
        starts_at=subscription.period_start,
        ends_at=subscription.period_end,
        price_nanos=price_nanos,
    )


def end(desk: Desk, subscription: Subscription) -> None:
    """It covers nothing from now on."""
    close_windows(desk, subscription)
    subscription.state = Subscription.State.ENDED
    subscription.ended_at = desk.now
    subscription.grace_until = None
    subscription.save(update_fields=["state", "ended_at", "grace_until"])
    PlanPeriod.objects.filter(subscription=subscription, closed_at=None, ends_at__gt=desk.now).update(
        closed_at=desk.now
    )


def day(moment: datetime) -> str:
    """For reasons in the statement, which every language reads."""
    return moment.strftime("%Y-%m-%d")
