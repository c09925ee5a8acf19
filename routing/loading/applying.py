"""Applies a folder's catalogue to the tables, in the caller's transaction.

What staff switch (`enabled`, `priority`) is set once, when a row is made. What is gone from the files is reported
and kept, and what other folders loaded is not touched at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from billing.exchange import ensure_rate
from routing.loading.aliases import apply_aliases
from routing.loading.changes import Changes
from routing.loading.entries import CalendarEntry, CatalogueFiles, ModelEntry, OfferingEntry
from routing.loading.price_cards import apply_cards
from routing.loading.providers import apply_providers
from routing.loading.rows import update
from routing.models import Deployment, HolidayCalendar, Model, PriceCard, Provider

_DEFAULT_RATES = {"CNY": Decimal("7.12")}
_DeploymentKey = tuple[str, str, str]  # model, provider, upstream id


@dataclass(slots=True)
class _Load:
    now: datetime
    providers: Mapping[str, Provider]
    models: Mapping[str, Model]
    changes: Changes
    cards: list[PriceCard] = field(default_factory=list)


def apply_catalogue(
    files: CatalogueFiles, *, now: datetime, environment: Mapping[str, str], keys: Sequence[str]
) -> Changes:
    """Makes the tables say what the files say. Raises CatalogueInvalid where files and tables contradict each other."""
    changes = Changes()
    _apply_calendars(files.calendars, changes)
    providers = apply_providers(files.providers, environment=environment, keys=keys, changes=changes)
    models = _apply_models(files.models, changes)
    apply_aliases(files, models, changes)
    load = _Load(now, providers, models, changes)
    _apply_deployments(files, load)
    PriceCard.objects.bulk_create(load.cards)
    _ensure_exchange_rates(files, providers, changes)
    return changes


def _apply_calendars(entries: Iterable[CalendarEntry], changes: Changes) -> None:
    for entry in entries:
        wanted = {"covers_through": entry.covers_through, "dates": list(entry.dates), "source": entry.source}
        row, created = HolidayCalendar.objects.get_or_create(name=entry.name, defaults=wanted)
        if created:
            changes.new.append(f"holiday calendar {entry.name}")
        else:
            update(row, wanted, f"holiday calendar {entry.name}", changes)


def _apply_models(entries: Iterable[ModelEntry], changes: Changes) -> dict[str, Model]:
    known = {row.slug: row for row in Model.objects.all()}
    fresh = []
    for entry in entries:
        if entry.slug in known:
            update(known[entry.slug], entry.fields, f"model {entry.slug}", changes)
        else:
            fresh.append(Model(slug=entry.slug, **entry.fields))
            changes.new.append(f"model {entry.slug}")
    return known | {row.slug: row for row in Model.objects.bulk_create(fresh)}


def _apply_deployments(files: CatalogueFiles, load: _Load) -> None:
    known = {_key(row): row for row in Deployment.objects.select_related("provider", "model")}
    cards: dict[int, list[PriceCard]] = defaultdict(list)
    for card in PriceCard.objects.order_by("id"):
        cards[card.deployment_id].append(card)
    listed: set[_DeploymentKey] = set()
    for model in files.models:
        for offering in model.offerings:
            key = (model.slug, offering.provider, offering.upstream_id)
            listed.add(key)
            _apply_offering(key, offering, known.get(key), cards, load)
    _report_gone(files, known, listed, load.changes)


def _key(row: Deployment) -> _DeploymentKey:
    return (row.model.slug, row.provider.slug, row.upstream_id)


def _apply_offering(
    key: _DeploymentKey,
    offering: OfferingEntry,
    known: Deployment | None,
    cards: Mapping[int, list[PriceCard]],
    load: _Load,
) -> None:
    label = f"{key[0]} @ {key[1]} ({key[2]})"
    provider = load.providers[offering.provider]
    wanted = dict(offering.fields)
    wanted["currency"] = wanted["currency"] or provider.currency
    if wanted["base_url"] == provider.base_urls.get(wanted["dialect"]):
        wanted["base_url"] = ""  # the provider's own: it follows when the provider moves
    other_currency = False
    if known is None:
        row = Deployment.objects.create(
            provider=provider, model=load.models[key[0]], upstream_id=key[2], **wanted, **offering.initial
        )
        load.changes.new.append(f"deployment {label} with {len(offering.price_cards)} price cards")
    else:
        row = known
        other_currency = row.currency != wanted["currency"]
        update(row, wanted, f"deployment {label}", load.changes)
    fresh = apply_cards(
        cards.get(row.pk, []),
        offering.price_cards,
        now=load.now,
        label=label,
        changes=load.changes,
        other_currency=other_currency,
    )
    for card in fresh:
        card.deployment = row
    load.cards += fresh


def _report_gone(
    files: CatalogueFiles, known: Mapping[_DeploymentKey, Deployment], listed: set[_DeploymentKey], changes: Changes
) -> None:
    """Only of providers that these files list: the others belong to other catalogues."""
    ours = {entry.slug for entry in files.providers}
    for key, row in known.items():
        if key[1] in ours and key not in listed and row.enabled:
            changes.gone.append(f"deployment {key[0]} @ {key[1]} ({key[2]})")


def _ensure_exchange_rates(files: CatalogueFiles, providers: Mapping[str, Provider], changes: Changes) -> None:
    used = {
        offering.fields["currency"] or providers[offering.provider].currency
        for model in files.models
        for offering in model.offerings
    }
    for currency in sorted(used - {"USD"}):
        if currency in _DEFAULT_RATES:
            ensure_rate(currency, _DEFAULT_RATES[currency], source="default, until staff set one")
        else:
            changes.notes.append(f"prices in {currency}: set an exchange rate in the admin, or they cannot be used")
