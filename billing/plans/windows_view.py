"""A subscription's windows as people see them: spent, reserved, limit, and when each resets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.budgets import end_of
from billing.models.plans import Budget, Subscription, Window
from billing.plans.terms import Terms

NAMES = ("five_hours", "seven_days", "period")


@dataclass(frozen=True, slots=True)
class WindowUse:
    """Amounts in nano-USD. `resets_at` None: it is not open, the next request that the plan covers opens it."""

    name: str  # five_hours, seven_days, period, month
    limit_nanos: int
    spent_nanos: int = 0
    reserved_nanos: int = 0
    resets_at: datetime | None = None

    @property
    def percent(self) -> int:
        """0 to 100, rounded down: 100 means used up."""
        return min(100, 100 * max(0, self.spent_nanos) // self.limit_nanos) if self.limit_nanos else 100

    @property
    def reserved_percent(self) -> int:
        """Of the rest of the bar, as much as is reserved."""
        share = 100 * self.reserved_nanos // self.limit_nanos if self.limit_nanos else 0
        return min(100 - self.percent, share)


def covers_until(subscription: Subscription) -> datetime:
    """When the plan stops paying for requests unless something happens before."""
    if subscription.state == Subscription.State.GRACE and subscription.grace_until:
        return max(subscription.period_end, subscription.grace_until)
    return subscription.period_end


def uses_of(subscription: Subscription, now: datetime) -> list[WindowUse]:
    """The three windows, the shortest first."""
    terms = Terms.stored(subscription.terms)
    limits = (terms.five_hours_nanos, terms.seven_days_nanos, terms.period_nanos)
    rows = Window.objects.filter(subscription=subscription, kind=Window.Kind.PLAN, closes_at__gt=now, opens_at__lte=now)
    windows = {row.name: row for row in rows.order_by("opens_at")}
    period = Window.objects.filter(
        subscription=subscription, kind=Window.Kind.PLAN, name="period", opens_at=subscription.period_start
    ).first()
    uses = []
    for name, limit in zip(NAMES, limits, strict=True):
        row = period if name == "period" else windows.get(name)
        resets_at = covers_until(subscription) if name == "period" else row.closes_at if row else None
        uses.append(WindowUse(name, limit, row.spent_nanos if row else 0, row.held_nanos if row else 0, resets_at))
    return uses


def overflow_of(subscription: Subscription, now: datetime, zone: str) -> WindowUse | None:
    """What the wallet paid beyond the plan this month, of the cap; None without one. `zone` is the organization's."""
    cap = subscription.overflow_cap_nanos
    if cap is None:
        return None
    row = Window.objects.filter(
        subscription=subscription, kind=Window.Kind.OVERFLOW, opens_at__lte=now, closes_at__gt=now
    ).first()
    resets_at = end_of(Budget.Period.MONTH, now, zone)
    return WindowUse("month", cap, row.spent_nanos if row else 0, row.held_nanos if row else 0, resets_at)
