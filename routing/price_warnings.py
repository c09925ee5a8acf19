"""What may be wrong with prices: below cost, old, doubted, about to end, unlike the bundled catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from billing.models.rates import ExchangeRate
from routing.loading.review import review
from routing.models import Deployment, MarkupRule
from routing.page_catalogue import catalogue_for_pages
from routing.policy.candidate import Catalogue, DeploymentInfo, card_in_force
from routing.policy.eligibility import unusable
from routing.uploads import bundled_files, read

Severity = Literal["bad", "warn"]
OLD_PRICE = timedelta(days=60)
OLD_RATE = timedelta(days=7)
SOON = timedelta(days=14)
_ORDER = {"bad": 0, "warn": 1}


@dataclass(frozen=True, slots=True)
class PriceWarning:
    """`what` is a word of the page; `label` names what it is about; `detail` is a figure or a date."""

    severity: Severity
    what: str
    label: str
    detail: str = ""
    deployment_id: int | None = None
    rule_id: int | None = None


def price_warnings(now: datetime | None = None) -> list[PriceWarning]:
    now = now or timezone.now()
    found = [*_below_cost(now), *_exchange_rates(now), *_cards(now), *_old(now), *_drift()]
    return sorted(found, key=lambda one: (_ORDER[one.severity], one.what, one.label))


def _below_cost(now: datetime) -> Iterator[PriceWarning]:
    """List price is what we pay: a factor below 1 sells for less than that."""
    if Decimal(settings.MARKUP) < 1:
        yield PriceWarning("bad", "below_cost", "MARKUP", f"× {settings.MARKUP}")
    live = MarkupRule.objects.filter(Q(valid_until=None) | Q(valid_until__gt=now), factor__lt=1)
    for rule in live.select_related("provider", "model", "organization"):
        target = str(rule.target or rule.get_scope_display())
        yield PriceWarning("bad", "below_cost", target, f"× {rule.factor.normalize():f}", rule_id=rule.pk)


def _exchange_rates(now: datetime) -> Iterator[PriceWarning]:
    used = Deployment.objects.filter(enabled=True, provider__enabled=True).exclude(currency="USD")
    for currency in sorted(set(used.values_list("currency", flat=True))):
        rate = ExchangeRate.objects.filter(currency=currency, valid_from__lte=now).order_by("-valid_from").first()
        if rate is None:
            yield PriceWarning("bad", "no_rate", currency)
        elif rate.valid_from < now - OLD_RATE:
            yield PriceWarning("warn", "old_rate", currency, f"{rate.valid_from:%Y-%m-%d}")


def _cards(now: datetime) -> Iterator[PriceWarning]:
    catalogue = catalogue_for_pages()
    for model in catalogue.models.values():
        for deployment in model.deployments:
            if unusable(deployment, now):
                continue
            label = f"{model.slug} @ {deployment.provider}"
            if card_in_force(deployment, at=now, holidays=catalogue.holidays) is None:
                yield PriceWarning("bad", "no_price", label, deployment_id=deployment.id)
            elif ends := _ends(catalogue, deployment, now):
                yield PriceWarning("warn", "ends_soon", label, f"{ends:%Y-%m-%d}", deployment_id=deployment.id)


def _ends(catalogue: Catalogue, deployment: DeploymentInfo, now: datetime) -> datetime | None:
    """When the last price ends, where that is soon and nothing follows."""
    if card_in_force(deployment, at=now + SOON, holidays=catalogue.holidays) is not None:
        return None
    ends = [card.valid_until for card in deployment.price_cards if card.valid_until and card.valid_until > now]
    return max(ends, default=None)


def _old(now: datetime) -> Iterator[PriceWarning]:
    used = Deployment.objects.filter(enabled=True, provider__enabled=True, provider__is_sandbox=False)
    for row in used.select_related("model", "provider"):
        label = f"{row.model.slug} @ {row.provider.slug}"
        if row.cross_check == "disagree":
            yield PriceWarning("warn", "doubted", label, row.price_source, deployment_id=row.pk)
        if row.as_of is not None and row.as_of < (now - OLD_PRICE).date():
            yield PriceWarning("warn", "old", label, f"{row.as_of}", deployment_id=row.pk)


def _drift() -> Iterator[PriceWarning]:
    """Cards that differ from the catalogue that came with this version: one of the two is wrong."""
    for item in review(read(bundled_files())):
        if item.kind == "price":
            detail = f"{item.largest_percent:.0f}%" if item.largest_percent else ""
            yield PriceWarning("bad" if item.largest_percent >= 10 else "warn", "drift", item.label, detail)
