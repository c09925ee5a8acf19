"""Markup rules for staff: what may still change, and the rules as values."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from billing.pricing.markup import Markup, Markups
from routing.models import MarkupRule

# What a rule that has begun may still change.
OPEN_FIELDS = frozenset({"valid_until", "note"})


def has_begun(rule: MarkupRule, now: datetime) -> bool:
    return rule.valid_from <= now


def has_ended(rule: MarkupRule, now: datetime) -> bool:
    return rule.valid_until is not None and rule.valid_until <= now


def end(rule: MarkupRule) -> bool:
    """End a rule that is in force. False for one that is over already, or has not begun and can simply be deleted."""
    now = timezone.now()
    if has_ended(rule, now) or not has_begun(rule, now):
        return False
    rule.valid_until = now.replace(microsecond=0) + timedelta(seconds=1)  # whole seconds: forms show no others
    rule.save(update_fields=["valid_until"])
    return True


def live_markups(at: datetime) -> Markups:
    """The rules that everybody's prices follow at that time."""
    rows = MarkupRule.objects.select_related("provider", "model").filter(
        Q(valid_until=None) | Q(valid_until__gt=at), organization=None, valid_from__lte=at
    )
    return Markups.of(map(_value, rows), otherwise=Decimal(settings.MARKUP))


def _value(row: MarkupRule) -> Markup:
    target = row.provider.slug if row.provider else row.model.slug if row.model else None
    return Markup(row.pk, row.scope, target, row.factor, row.valid_from, row.valid_until)
