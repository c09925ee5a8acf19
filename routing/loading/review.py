"""What catalogue files would change, one thing after another, so that somebody can say yes to some of them.

A thing is known by its key: `provider:acme`, `model:acme/one`, `offer:acme/one|acme|one-1` for a deployment's facts,
`price:…` for the rates of its cards, `gone:…` for one that the files no longer have, and `names` for aliases and
withdrawn names. `routing.loading.taking_over` applies those that were chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from routing.loading.entries import CardEntry, CatalogueFiles, ModelEntry, OfferingEntry, ProviderEntry, card_key
from routing.models import Deployment, Model, ModelAlias, PriceCard, Provider

Kind = Literal["new", "changed", "price", "gone"]
DeploymentKey = tuple[str, str, str]  # model, provider, upstream id


@dataclass(frozen=True, slots=True)
class Difference:
    """`name` of a column or rate; "" where there was or will be nothing. `percent`: how much a rate moves."""

    name: str
    before: str
    after: str
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """`needs` are keys of items that must be taken over with it. One that is `blocked` cannot be taken over here: its
    currency changes, and cards in the old one would be read in the new one until they end."""

    key: str
    kind: Kind
    label: str
    differences: tuple[Difference, ...] = ()
    needs: tuple[str, ...] = ()
    blocked: bool = False

    @property
    def largest_percent(self) -> float:
        return max((abs(one.percent) for one in self.differences if one.percent is not None), default=0.0)


def text_of(key: DeploymentKey) -> str:
    return "|".join(key)


def review(files: CatalogueFiles) -> list[Item]:
    """Everything that differs between the files and the tables, in a steady order."""
    providers = {row.slug: row for row in Provider.objects.all()}
    models = {row.slug: row for row in Model.objects.all()}
    known = {
        (row.model.slug, row.provider.slug, row.upstream_id): row
        for row in Deployment.objects.select_related("model", "provider").prefetch_related("price_cards")
    }
    items = [item for entry in files.providers if (item := _of_provider(entry, providers.get(entry.slug)))]
    for entry in files.models:
        if item := _of_model(entry, models.get(entry.slug)):
            items.append(item)
        for offering in entry.offerings:
            key = (entry.slug, offering.provider, offering.upstream_id)
            items += _of_offering(key, offering, known.get(key), providers, models)
    items += _gone(files, known)
    if item := _of_names(files):
        items.append(item)
    return items


def _of_provider(entry: ProviderEntry, row: Provider | None) -> Item | None:
    key, label = f"provider:{entry.slug}", entry.fields["name"]
    if row is None:
        return Item(key, "new", label)
    wanted = {**entry.fields, "auth": entry.auth, "api_key_env": entry.api_key_env}
    differences = tuple(_columns(row, wanted))
    return Item(key, "changed", label, differences) if differences else None


def _of_model(entry: ModelEntry, row: Model | None) -> Item | None:
    key = f"model:{entry.slug}"
    if row is None:
        return Item(key, "new", entry.slug)
    differences = tuple(_columns(row, entry.fields))
    return Item(key, "changed", entry.slug, differences) if differences else None


def wanted_of(offering: OfferingEntry, provider: Provider | None, file_currency: str = "USD") -> dict[str, Any]:
    """Column values as the loader means them: its provider's currency and address where it names none."""
    wanted = dict(offering.fields)
    wanted["currency"] = wanted["currency"] or (provider.currency if provider else file_currency)
    if provider is not None and wanted["base_url"] == provider.base_urls.get(wanted["dialect"]):
        wanted["base_url"] = ""
    return wanted


def _of_offering(
    key: DeploymentKey,
    offering: OfferingEntry,
    row: Deployment | None,
    providers: Mapping[str, Provider],
    models: Mapping[str, Model],
) -> Iterator[Item]:
    label = f"{key[0]} @ {key[1]} ({key[2]})"
    needs = tuple(
        name
        for name, is_there in (
            (f"provider:{key[1]}", key[1] in providers),
            (f"model:{key[0]}", key[0] in models),
        )
        if not is_there
    )
    if row is None:
        cards = tuple(Difference(_card_name(card), "", _rates(card.rates)) for card in offering.price_cards)
        yield Item(f"offer:{text_of(key)}", "new", label, cards, needs)
        return
    wanted = wanted_of(offering, row.provider)
    blocked = row.currency != wanted["currency"]
    if differences := tuple(_columns(row, wanted)):
        yield Item(f"offer:{text_of(key)}", "changed", label, differences, needs, blocked)
    if prices := tuple(_prices(row, offering.price_cards)):
        yield Item(f"price:{text_of(key)}", "price", label, prices, needs, blocked)


def heads_of(row: Deployment) -> dict[tuple[Any, ...], PriceCard]:
    """The card in charge of each set of conditions: the last one of its chain of replacements."""
    cards = list(row.price_cards.all())
    by_id = {card.pk: card for card in cards}
    replaced = {card.replaces_id for card in cards if card.replaces_id}
    heads = {}
    for card in cards:
        if card.pk in replaced:
            continue
        first = card
        while first.replaces_id:
            first = by_id[first.replaces_id]
        heads[card_key(card.tier, card.min_prompt_tokens, card.schedule, first.valid_from)] = card
    return heads


def _prices(row: Deployment, entries: Sequence[CardEntry]) -> Iterator[Difference]:
    heads = heads_of(row)
    for entry in entries:
        card = heads.get(entry.conditions)
        if card is None:
            yield Difference(_card_name(entry), "", _rates(entry.rates))
            continue
        for name in dict.fromkeys((*card.rates, *entry.rates)):
            before, after = card.rates.get(name), entry.rates.get(name)
            if before != after:
                yield Difference(f"{_card_name(entry)} · {name}", before or "", after or "", _percent(before, after))
        if card.valid_until != entry.valid_until and entry.valid_until is not None:
            yield Difference(f"{_card_name(entry)} · until", _plain(card.valid_until), _plain(entry.valid_until))


def _percent(before: str | None, after: str | None) -> float | None:
    if before is None or after is None or not Decimal(before):
        return None
    return float((Decimal(after) / Decimal(before) - 1) * 100)


def _gone(files: CatalogueFiles, known: Mapping[DeploymentKey, Deployment]) -> Iterator[Item]:
    """Only of providers that the files list: the others belong to other catalogues."""
    ours = {entry.slug for entry in files.providers}
    listed = {(m.slug, offering.provider, offering.upstream_id) for m in files.models for offering in m.offerings}
    for key, row in known.items():
        if key[1] in ours and key not in listed and row.enabled:
            yield Item(f"gone:{text_of(key)}", "gone", f"{key[0]} @ {key[1]} ({key[2]})")


def _of_names(files: CatalogueFiles) -> Item | None:
    known = {row.name.lower(): row for row in ModelAlias.objects.select_related("model")}
    wanted = {name: entry.slug for entry in files.models for name in entry.aliases}
    withdrawn = {entry.name: entry.successor for entry in files.legacy_names}
    differences = tuple(
        Difference(name, _target(known.get(name.lower())), target)
        for name, target in (wanted | withdrawn).items()
        if _target(known.get(name.lower())) != target
    )
    needs: tuple[str, ...] = ()
    return Item("names", "changed", "", differences, needs) if differences else None


def _target(row: ModelAlias | None) -> str:
    if row is None:
        return ""
    return row.model.slug if row.model else row.successor


def _columns(row: Provider | Model | Deployment, wanted: Mapping[str, Any]) -> Iterator[Difference]:
    for name, value in wanted.items():
        before = getattr(row, name)
        if before != value:
            yield Difference(name, _plain(before), _plain(value))


def _plain(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _card_name(card: CardEntry) -> str:
    name = card.tier
    if card.min_prompt_tokens:
        name += f" ≥{card.min_prompt_tokens}"
    return f"{name}, at certain hours" if card.schedule else name


def _rates(rates: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {rate}" for name, rate in rates.items())
