"""What a gateway process knows of the catalogue: plain values, no framework, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from billing.pricing.markup import Markups
from billing.pricing.rates import RateCard, choose_card

ONE = Decimal(1)
_NO_HOLIDAYS: Mapping[str, frozenset[date]] = {}


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """One of our keys at a provider. Those of a provider share its requests in proportion to their weights.

    Weight 0 is for a key that was replaced and still works: only where no other one may be used.
    """

    id: int
    secret: str = field(repr=False)
    weight: int = 1


@dataclass(frozen=True, slots=True)
class DeploymentInfo:
    """One model at one provider that is switched on.

    `base_urls` maps a dialect to its URL; a dialect whose URL still lacks a value is left out.
    `credentials` are decrypted and never show in a repr, those of weight 0 last; `secret` is the first one's. Rates of
    `price_cards` are in `currency`. Whether the host trains on what it is sent, and keeps none of it: None where nobody
    knows. `region` is a word of the catalogue such as EU, "" where unknown.
    """

    id: int
    provider: str
    provider_name: str
    model: str
    upstream_id: str
    dialect: str
    other_dialects: tuple[str, ...]
    base_urls: Mapping[str, str]
    auth: str
    secret: str | None = field(repr=False)
    extra_headers: Mapping[str, str] = field(repr=False)
    on_client_leave: str
    context_length: int | None
    max_output_tokens: int | None
    status: str
    retires_on: date | None
    currency: str
    priority: int
    price_cards: tuple[RateCard, ...]
    is_sandbox: bool = False
    credentials: tuple[CredentialInfo, ...] = ()
    enabled: bool = True
    provider_enabled: bool = True
    region: str = ""
    trains_on_data: bool | None = None
    zero_retention: bool | None = None
    draining: bool = False  # staff took it, or its provider, out of use for new requests

    def retired(self, at: datetime) -> bool:
        """Whether the provider no longer serves it; the day of retirement counts as gone."""
        return self.status == "retired" or (self.retires_on is not None and self.retires_on <= at.date())


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a client asks for, with every deployment of it, also those that may not be used just now."""

    slug: str
    name: str
    author: str
    description: str
    released: date | None
    context_length: int | None
    max_output_tokens: int | None
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    capabilities: Mapping[str, object]
    quality_index: float | None
    status: str
    deployments: tuple[DeploymentInfo, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One consistent state of the catalogue. Keys of `aliases` and `withdrawn` are lower case."""

    models: Mapping[str, ModelInfo]
    aliases: Mapping[str, str]
    withdrawn: Mapping[str, str]
    exchange_rates: Mapping[str, Sequence[tuple[datetime, Decimal]]] = field(default_factory=dict)
    holidays: Mapping[str, frozenset[date]] = field(default_factory=dict)
    markups: Markups = field(default_factory=Markups)
    version: str = ""

    def resolve(self, name: str) -> ModelInfo | None:
        """The model of a public id or an alias, without regard to case; None for a name that is not served."""
        lowered = name.strip().lower()
        return self.models.get(self.aliases.get(lowered, lowered))

    def successor_of(self, name: str) -> str | None:
        """The suggested model for a name that was withdrawn."""
        return self.withdrawn.get(name.strip().lower())

    def units_per_usd(self, currency: str, at: datetime) -> Decimal:
        """How many units of the currency one US dollar buys at that time; LookupError when no rate is known.

        Before the first rate the first one counts, so that a fresh rate also serves a clock that runs behind.
        """
        if currency == "USD":
            return ONE
        rates = self.exchange_rates.get(currency)
        if not rates:
            raise LookupError(f"no exchange rate for {currency}")
        known = [units for since, units in rates if since <= at]
        return known[-1] if known else rates[0][1]

    def markup(self, deployment: DeploymentInfo, at: datetime, organization_id: int | None = None) -> Decimal:
        """The factor on this deployment's prices; without an organization the one that everybody sees."""
        return self.markups.factor(
            at=at, provider=deployment.provider, model=deployment.model, organization_id=organization_id
        )


def card_in_force(
    deployment: DeploymentInfo, *, at: datetime, holidays: Mapping[str, frozenset[date]] = _NO_HOLIDAYS
) -> RateCard | None:
    """The standard card of a short prompt at that time."""
    return choose_card(deployment.price_cards, at=at, tier="standard", prompt_size=0, holidays=holidays)


def blended_price(card: RateCard, units_per_usd: Decimal) -> Decimal:
    """USD per million tokens at three tokens in for one token out, the usual mix for comparing prices."""
    return (3 * card.rates["input"] + card.rates["output"]) / 4 / units_per_usd
