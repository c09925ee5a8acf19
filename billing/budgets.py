"""Budgets of keys and projects: what may be spent per day, week, month and in total; and what has been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.announce import announce_key, announce_keys_of
from accounts.models import ApiKey, Project
from billing.models.plans import Budget, Window

PERIODS = tuple(Budget.Period.values)  # from the shortest to the longest
Owner = ApiKey | Project


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget now. `spent_nanos` is what was charged, `reserved_nanos` what running requests may still cost."""

    period: str
    limit_nanos: int
    spent_nanos: int
    reserved_nanos: int
    resets_at: datetime | None  # None: never

    @property
    def percent(self) -> int:
        """0 to 100, rounded down: 100 means used up."""
        return min(100, 100 * max(0, self.spent_nanos) // self.limit_nanos) if self.limit_nanos else 100

    @property
    def reserved_percent(self) -> int:
        """Of the rest of the bar, as much as is reserved."""
        share = 100 * self.reserved_nanos // self.limit_nanos if self.limit_nanos else 0
        return min(100 - self.percent, share)


def limits_of(owner: Owner) -> dict[str, int]:
    """Period to nano-USD, of the budgets that there are."""
    return dict(Budget.objects.filter(**_is(owner)).values_list("period", "limit_nanos"))


def uses_of(owner: Owner, now: datetime | None = None) -> list[BudgetUse]:
    """Its budgets as they stand now, the shortest period first."""
    now = now or timezone.now()
    budgets = list(Budget.objects.filter(**_is(owner)).select_related("organization"))
    open_now = Window.objects.filter(_is_open(now), budget__in=budgets, opens_at__lte=now).order_by("opens_at")
    windows = {window.budget_id: window for window in open_now}
    uses = []
    for budget in sorted(budgets, key=lambda budget: PERIODS.index(budget.period)):
        window = windows.get(budget.pk)
        uses.append(
            BudgetUse(
                period=budget.period,
                limit_nanos=budget.limit_nanos,
                spent_nanos=window.spent_nanos if window else 0,
                reserved_nanos=window.held_nanos if window else 0,
                resets_at=window.closes_at if window else end_of(budget.period, now, budget.organization.timezone),
            )
        )
    return uses


@transaction.atomic
def set_budgets(owner: Owner, limits: Mapping[str, int | None]) -> None:
    """Period to nano-USD; a period with None, or left out, has no budget any more. Holds within a second.

    What was spent in the running periods still counts. Raises ValueError for a limit below one or an unknown period.
    """
    if not set(limits) <= set(PERIODS) or any(limit is not None and limit < 1 for limit in limits.values()):
        raise ValueError("a budget is a positive amount per known period")
    type(owner).objects.select_for_update().get(pk=owner.pk)  # one change at a time
    now = timezone.now()
    organization_id = owner.organization_id if isinstance(owner, Project) else owner.project.organization_id
    for period in PERIODS:
        limit = limits.get(period)
        if limit is None:
            Budget.objects.filter(**_is(owner), period=period).delete()
            continue
        values = {"limit_nanos": limit}
        budget, is_new = Budget.objects.update_or_create(
            **_is(owner), period=period, defaults=values, create_defaults={**values, "organization_id": organization_id}
        )
        if not is_new:
            _change_open_windows(budget, now)
    if isinstance(owner, Project):
        announce_keys_of(owner)
    else:
        announce_key(owner.key_hash)


def _change_open_windows(budget: Budget, now: datetime) -> None:
    """In id order, as everywhere."""
    windows = Window.objects.filter(_is_open(now), budget=budget).order_by("id").select_for_update()
    ids = [window.pk for window in windows]
    Window.objects.filter(pk__in=ids).update(limit_nanos=budget.limit_nanos)


def end_of(period: str, now: datetime, zone_name: str) -> datetime | None:
    """When the period that `now` is in ends, in this time zone. Weeks begin on Monday."""
    zone = ZoneInfo(zone_name)
    today = now.astimezone(zone).date()
    if period == Budget.Period.DAY:
        first = today + timedelta(days=1)
    elif period == Budget.Period.WEEK:
        first = today + timedelta(days=7 - today.weekday())
    elif period == Budget.Period.MONTH:
        first = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    else:
        return None
    return datetime.combine(first, time.min, zone)


def _is(owner: Owner) -> dict[str, Owner]:
    return {"project": owner} if isinstance(owner, Project) else {"api_key": owner}


def _is_open(now: datetime) -> Q:
    return Q(closes_at=None) | Q(closes_at__gt=now)
