"""The windows of the running plan on pages that are about something else."""

from __future__ import annotations

from typing import Any

import structlog
from django import template
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.access import organization_or_none
from billing.models.plans import Subscription
from billing.plans import windows_view
from billing.plans.changes import live_subscription

register = template.Library()
log = structlog.get_logger(__name__)

NAMES = {
    "five_hours": _("5 hours"),
    "seven_days": _("7 days"),
    "period": _("This period"),
    "month": _("Beyond the plan, this month"),
}


@register.filter
def window_name(name: str) -> str:
    return str(NAMES.get(name, name))


@register.inclusion_tag("billing/_plan_panel.html", takes_context=True)
def plan_panel(context: dict[str, Any]) -> dict[str, Any]:
    """Nothing without a plan. What cannot be read is said, and leaves the page standing."""
    request = context.get("request")
    if not isinstance(request, HttpRequest):
        return {}
    try:
        organization = organization_or_none(request)
        subscription = live_subscription(organization.pk) if organization else None
        if organization is None or subscription is None:
            return {}
        now = timezone.now()
        return {
            "subscription": subscription,
            "uses": windows_view.uses_of(subscription, now),
            "overflow": windows_view.overflow_of(subscription, now, organization.timezone),
            "is_due": subscription.state == Subscription.State.GRACE,
        }
    except DatabaseError as error:
        log.warning("plan_unreadable", error_class=type(error).__name__)
        return {"unreadable": True}
