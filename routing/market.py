"""What the marketplace shows: models with prices per provider, by the same rules that the gateway routes with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.db.models.functions import Now

from billing.models.rates import ExchangeRate
from billing.pricing.rates import RateCard, rate_of
from routing.addresses import fill_addresses
from routing.markups import live_markups
from routing.models import Credential, Deployment, HolidayCalendar, Model, PriceCard
from routing.policy.candidate import ONE, Catalogue, DeploymentInfo, blended_price, card_in_force
from routing.policy.plan import refusal_of

CAPABILITIES = ("tools", "vision", "reasoning", "structured_output", "prompt_caching", "audio_input", "web_search")


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens with the markup that everybody pays; an organization's own rule never shows."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None
    cache_write: Decimal | None


@dataclass(frozen=True, slots=True)
class Condition:
    """A price that holds only under conditions: a long prompt, certain hours, a later date, another tier."""

    tier: str
    min_prompt_tokens: int
    schedule: Mapping[str, object] | None
    valid_from: datetime | None
    valid_until: datetime | None
    price: Price


@dataclass(frozen=True, slots=True)
class Offer:
    """One deployment as customers see it. `price` is None while no card is in force."""

    provider: str
    provider_slug: str
    available: bool
    is_sandbox: bool
    retired: bool
    retires_on: date | None
    context_length: int | None
    max_output_tokens: int | None
    currency: str
    units_per_usd: Decimal | None
    price: Price | None
    blended: Decimal
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A model with its offers, cheapest first; `best` is the one whose price stands for the model."""

    model: Model
    offers: tuple[Offer, ...]
    aliases: tuple[str, ...]
    best: Offer | None
    retires_on: date | None

    @property
    def available(self) -> bool:
        return any(offer.available for offer in self.offers)

    @property
    def is_sandbox(self) -> bool:
        return bool(self.offers) and all(offer.is_sandbox for offer in self.offers)

    @property
    def capabilities(self) -> list[str]:
        return [name for name in CAPABILITIES if self.model.capabilities.get(name)]


def listings(at: datetime, models: QuerySet[Model] | None = None, *, standard_only: bool = True) -> list[Listing]:
    """Every enabled model, in a fixed number of queries whatever their number."""
    rows = _with_offers(models if models is not None else Model.objects.all(), standard_only=standard_only)
    rates = _rates(at)
    return [_listing(row, rates, at) for row in rows]


def _with_offers(models: QuerySet[Model], *, standard_only: bool) -> QuerySet[Model]:
    cards = PriceCard.objects.filter(tier="standard") if standard_only else PriceCard.objects.all()
    stored = Credential.objects.filter(provider=OuterRef("provider"), enabled=True)
    stored = stored.filter(Q(valid_until=None) | Q(valid_until__gt=Now()))
    deployments = (
        Deployment.objects.select_related("provider")
        .annotate(has_credential=Exists(stored))
        .prefetch_related(Prefetch("price_cards", cards))
    )
    return (
        models.filter(enabled=True).prefetch_related(Prefetch("deployments", deployments), "aliases").order_by("slug")
    )


def _rates(at: datetime) -> Catalogue:
    """An empty catalogue that only knows exchange rates, holidays and markups."""
    exchange: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for row in ExchangeRate.objects.order_by("currency", "valid_from"):
        exchange[row.currency].append((row.valid_from, row.units_per_usd))
    holidays = {
        row.name: frozenset(date.fromisoformat(day) for day in row.dates) for row in HolidayCalendar.objects.all()
    }
    return Catalogue(
        models={}, aliases={}, withdrawn={}, exchange_rates=exchange, holidays=holidays, markups=live_markups(at)
    )


def _listing(row: Model, rates: Catalogue, at: datetime) -> Listing:
    offers = sorted((_offer(row, deployment, rates, at) for deployment in row.deployments.all()), key=_rank)
    living = [offer for offer in offers if not offer.retired]
    best = next((offer for offer in living if offer.price is not None), None)
    aliases = tuple(sorted(alias.name for alias in row.aliases.all()))
    return Listing(row, tuple(offers), aliases, best, _retires_on(living))


def _rank(offer: Offer) -> tuple[bool, bool, bool, Decimal]:
    return (not offer.available, offer.retired, offer.price is None, offer.blended)


def _retires_on(living: Sequence[Offer]) -> date | None:
    """The day after which nobody serves the model, as far as known."""
    candidates = [offer for offer in living if offer.available] or list(living)
    days = [offer.retires_on for offer in candidates]
    return max((day for day in days if day is not None), default=None) if days and None not in days else None


def _offer(model: Model, row: Deployment, rates: Catalogue, at: datetime) -> Offer:
    info = _info(model, row)
    units = _units(rates, info.currency, at)
    card = card_in_force(info, at=at, holidays=rates.holidays)
    factor = None if units is None else rates.markup(info, at) / units
    priced = card is not None and factor is not None
    return Offer(
        provider=info.provider_name,
        provider_slug=info.provider,
        available=priced and refusal_of(info, at) is None,
        is_sandbox=info.is_sandbox,
        retired=info.retired(at),
        retires_on=info.retires_on,
        context_length=info.context_length or model.context_length,
        max_output_tokens=info.max_output_tokens or model.max_output_tokens,
        currency=info.currency,
        units_per_usd=units,
        price=_price(card, factor) if card is not None and factor is not None else None,
        blended=blended_price(card, ONE) * factor if card is not None and factor is not None else Decimal("Infinity"),
        conditions=tuple(_conditions(info.price_cards, card, factor, at)),
    )


def _units(rates: Catalogue, currency: str, at: datetime) -> Decimal | None:
    try:
        return rates.units_per_usd(currency, at)
    except LookupError:
        return None


def _price(card: RateCard, factor: Decimal) -> Price:

    def shown(bucket: str) -> Decimal:
        return rate_of(card, bucket) * factor

    return Price(
        input=shown("input"),
        output=shown("output"),
        cache_read=shown("cache_read") if "cache_read" in card.rates else None,
        cache_write=shown("cache_write") if "cache_write" in card.rates else None,
    )


def _conditions(
    cards: Iterable[RateCard], in_force: RateCard | None, factor: Decimal | None, at: datetime
) -> Iterable[Condition]:
    if factor is None:
        return
    ahead = (card for card in cards if card is not in_force and (card.valid_until is None or card.valid_until > at))
    order = sorted(
        ahead, key=lambda card: (card.tier != "standard", card.tier, card.min_prompt_tokens, str(card.valid_from))
    )
    for card in order:
        later = card.valid_from if card.valid_from and card.valid_from > at else None
        yield Condition(card.tier, card.min_prompt_tokens, card.schedule, later, card.valid_until, _price(card, factor))


def _info(model: Model, row: Deployment) -> DeploymentInfo:
    provider = row.provider
    return DeploymentInfo(
        id=row.pk,
        provider=provider.slug,
        provider_name=provider.name,
        model=model.slug,
        upstream_id=row.upstream_id,
        dialect=row.dialect,
        other_dialects=tuple(row.other_dialects),
        base_urls=fill_addresses(provider.base_urls, provider.url_variables, {row.dialect: row.base_url}),
        auth=provider.auth,
        secret="stored" if getattr(row, "has_credential", False) else None,  # whether there is one is all a page knows
        extra_headers={},
        on_client_leave=provider.on_client_leave,
        context_length=row.context_length,
        max_output_tokens=row.max_output_tokens,
        status=row.status,
        retires_on=row.retires_on,
        currency=row.currency,
        priority=row.priority,
        price_cards=tuple(_card(card) for card in row.price_cards.all()),
        is_sandbox=provider.is_sandbox,
        enabled=row.enabled,
        provider_enabled=provider.enabled,
        draining=row.drained_at is not None or provider.drained_at is not None,
    )


def _card(card: PriceCard) -> RateCard:
    return RateCard(
        id=card.pk,
        tier=card.tier,
        valid_from=card.valid_from,
        valid_until=card.valid_until,
        min_prompt_tokens=card.min_prompt_tokens,
        schedule=card.schedule,
        rates={name: Decimal(rate) for name, rate in card.rates.items()},
    )
