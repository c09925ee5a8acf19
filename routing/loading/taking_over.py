"""Takes over what staff chose of a reviewed catalogue, in the caller's transaction. The rest stays as it is.

A changed price never corrects a card: the old one ends at the chosen moment and a new one takes over from there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from routing.loading.applying import apply_catalogue
from routing.loading.changes import Changes
from routing.loading.entries import CardEntry, CatalogueFiles, ModelEntry, OfferingEntry
from routing.loading.review import Item, heads_of, review, text_of
from routing.models import Deployment, Model, PriceCard


class Incomplete(Exception):
    """Something chosen needs something that was not chosen."""

    def __init__(self, item: Item, missing: str) -> None:
        super().__init__(f"{item.key} needs {missing}")
        self.item = item
        self.missing = missing


def take_over(
    files: CatalogueFiles,
    chosen: Collection[str],
    *,
    prices_from: datetime,
    now: datetime,
    environment: Mapping[str, str],
    keys: Sequence[str],
) -> list[str]:
    """The keys that were applied, in their order. Raises Incomplete, and CatalogueInvalid as the loader does."""
    items = [item for item in review(files) if item.key in chosen and not item.blocked]
    applied = {item.key for item in items}
    for item in items:
        for missing in item.needs:
            if missing not in applied:
                raise Incomplete(item, missing)
    known = {
        (row.model.slug, row.provider.slug, row.upstream_id): row
        for row in Deployment.objects.select_related("model", "provider").prefetch_related("price_cards")
    }
    _apply_facts(files, applied, known, now, environment, keys)
    for entry in files.models:
        for offering in entry.offerings:
            key = (entry.slug, offering.provider, offering.upstream_id)
            if f"price:{text_of(key)}" in applied:
                _apply_prices(known[key], offering.price_cards, prices_from)
    for key, row in known.items():
        if f"gone:{text_of(key)}" in applied:
            row.enabled = False
            row.drain_reason = "gone from the catalogue"
            row.save(update_fields=["enabled", "drain_reason", "updated_at"])
    return [item.key for item in items]


def _apply_facts(
    files: CatalogueFiles,
    applied: Collection[str],
    known: Mapping[tuple[str, str, str], Deployment],
    now: datetime,
    environment: Mapping[str, str],
    keys: Sequence[str],
) -> Changes:
    """Through the loader, with files that say only what was chosen, and for the rest what is there already."""
    models = {row.slug: row for row in Model.objects.all()}
    wanted = [_model(entry, applied, known, models) for entry in files.models]
    names = "names" in applied
    chosen = CatalogueFiles(
        providers=tuple(entry for entry in files.providers if f"provider:{entry.slug}" in applied),
        models=tuple(entry for entry in wanted if entry is not None),
        legacy_names=files.legacy_names if names else (),
        calendars=files.calendars,
    )
    return apply_catalogue(chosen, now=now, environment=environment, keys=keys)


def _model(
    entry: ModelEntry,
    applied: Collection[str],
    known: Mapping[tuple[str, str, str], Deployment],
    models: Mapping[str, Model],
) -> ModelEntry | None:
    row = models.get(entry.slug)
    if row is None and f"model:{entry.slug}" not in applied:
        return None
    fields = entry.fields
    if row is not None and f"model:{entry.slug}" not in applied:
        fields = {name: getattr(row, name) for name in entry.fields}
    offerings = tuple(
        _offering(offering, known.get((entry.slug, offering.provider, offering.upstream_id)))
        for offering in entry.offerings
        if f"offer:{text_of((entry.slug, offering.provider, offering.upstream_id))}" in applied
    )
    aliases = entry.aliases if "names" in applied else ()
    return replace(entry, fields=fields, aliases=aliases, offerings=offerings)


def _offering(offering: OfferingEntry, row: Deployment | None) -> OfferingEntry:
    """The cards of a deployment that is there are a matter of their own."""
    return offering if row is None else replace(offering, price_cards=())


def _apply_prices(row: Deployment, entries: Sequence[CardEntry], at: datetime) -> None:
    heads = heads_of(row)
    for entry in entries:
        card = heads.get(entry.conditions)
        if card is None:
            _card(row, entry, at if entry.valid_from is None else max(at, entry.valid_from)).save()
        elif card.rates != dict(entry.rates):
            _supersede(card, entry, at)
        elif entry.valid_until is not None and card.valid_until != entry.valid_until and entry.valid_until > at:
            card.valid_until = entry.valid_until
            card.save(update_fields=["valid_until"])


def _supersede(card: PriceCard, entry: CardEntry, at: datetime) -> None:
    if card.valid_from is not None and card.valid_from >= at:
        # It has not begun, so it has billed nobody: it gets the new rates itself.
        card.rates = dict(entry.rates)
        card.save(update_fields=["rates"])
        return
    if card.valid_until is None or card.valid_until > at:
        card.valid_until = at
        card.save(update_fields=["valid_until"])
    successor = _card(card.deployment, entry, at)
    successor.replaces = card
    successor.save()


def _card(row: Deployment, entry: CardEntry, valid_from: datetime) -> PriceCard:
    return PriceCard(
        deployment=row,
        tier=entry.tier,
        min_prompt_tokens=entry.min_prompt_tokens,
        schedule=entry.schedule,
        valid_from=valid_from,
        valid_until=entry.valid_until,
        rates=dict(entry.rates),
    )
