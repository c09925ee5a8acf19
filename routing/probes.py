"""Tiny real requests to deployments: by staff at a click, by the worker within a budget per day.

Here is decided which and when; `gateway.probing` sends them, with the gateway's own codecs and connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any

from celery import Celery
from django.db import connection, transaction
from django.db.models import Sum
from django.utils import timezone

from routing.live_health import read_vitals
from routing.models import Check, Deployment, ProbePlan
from routing.page_catalogue import catalogue_for_pages
from routing.page_prices import PagePrices
from routing.policy.candidate import Catalogue, DeploymentInfo
from routing.policy.eligibility import unusable

TASK = "gateway.tasks.check_deployment"
PROMPT_TOKENS, OUTPUT_TOKENS = 20, 16  # what a check sends and lets be written, about
ENOUGH_SAMPLES = 3.0  # recent attempts of customers, after which a probe tells nothing new
AT_ONCE = 10
KEPT = timedelta(days=30)
EXPIRES_S = 120
_LOCK = "routing_probes"


def ask_for_check(deployment: Deployment, *, by: Any) -> Check:
    """A test that the worker makes as soon as it can."""
    check = Check.objects.create(deployment=deployment, kind=Check.Kind.TEST, asked_by=by)
    _send(check)
    return check


def probe_due(now: datetime | None = None) -> int:
    """Ask for probes of usable deployments without news, the longest unseen first, within the day's budget.

    Returns how many. The expected cost of what was asked for counts at once, so a day never costs more.
    """
    now = now or timezone.now()
    plan = ProbePlan.objects.filter(pk=1).first()
    if plan is None or plan.budget_nanos <= 0:
        return 0
    catalogue = catalogue_for_pages()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [_LOCK])
        left = plan.budget_nanos - spent_today(now)
        prices = PagePrices(catalogue, now)
        asked = 0
        for deployment in _due(catalogue, now, timedelta(minutes=plan.every_minutes)):
            try:
                cost = prices.expected_nanos(deployment, PROMPT_TOKENS, OUTPUT_TOKENS)
            except LookupError:
                continue
            if cost > left:
                continue
            left -= cost
            _send(Check.objects.create(deployment_id=deployment.id, kind=Check.Kind.PROBE, cost_nanos=cost))
            asked += 1
            if asked == AT_ONCE:
                break
    return asked


def spent_today(now: datetime) -> int:
    """Nano-USD that probes of this day (UTC) have cost, or will when they end."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    rows = Check.objects.filter(kind=Check.Kind.PROBE, created_at__gte=midnight)
    return rows.aggregate(total=Sum("cost_nanos"))["total"] or 0


def forget_old_checks(now: datetime | None = None) -> int:
    deleted, _ = Check.objects.filter(created_at__lt=(now or timezone.now()) - KEPT).delete()
    return deleted


def _due(catalogue: Catalogue, now: datetime, every: timedelta) -> Iterable[DeploymentInfo]:
    vitals = read_vitals()
    seen: dict[int, datetime] = dict(
        Check.objects.order_by("deployment_id", "-created_at")
        .distinct("deployment_id")
        .values_list("deployment_id", "created_at")
    )
    due = [
        deployment
        for model in catalogue.models.values()
        for deployment in model.deployments
        if not unusable(deployment, now)
        and (deployment.id not in vitals or vitals[deployment.id].samples < ENOUGH_SAMPLES)
        and (deployment.id not in seen or seen[deployment.id] <= now - every)
    ]
    return sorted(due, key=lambda one: (one.id in seen, seen.get(one.id, now)))


def _send(check: Check) -> None:
    transaction.on_commit(partial(send_check, check.pk))


def send_check(check_id: int) -> None:
    """Ask the worker for it. One that cannot be told in time is not made any more."""
    _sender().send_task(TASK, [check_id], expires=EXPIRES_S)


@cache
def _sender() -> Celery:
    """Only sends. A process that serves pages has no worker's application, and Celery's own default knows no broker."""
    sender = Celery("routing", set_as_current=False)
    sender.config_from_object("django.conf:settings", namespace="CELERY")
    return sender
