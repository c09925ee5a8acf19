"""What deployments cost an organization now, for pages and tasks: as exact as a receipt, and not in a hurry."""

from __future__ import annotations

from datetime import datetime

from billing.pricing.price import price
from billing.pricing.rates import choose_card
from billing.pricing.usage import TokenUsage
from routing.policy.candidate import Catalogue, DeploymentInfo
from routing.policy.wishes import MaxPrice

_MILLION = 1_000_000


class PagePrices:
    """Standard prices in nano-USD. Without an organization those that everybody sees."""

    def __init__(self, catalogue: Catalogue, at: datetime, organization_id: int | None = None) -> None:
        self._catalogue = catalogue
        self._at = at
        self._organization_id = organization_id

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        """Raises LookupError("no_price") or LookupError("no_exchange_rate")."""
        return self._nanos(deployment, TokenUsage(input=prompt_tokens, output=output_tokens), prompt_tokens)

    def per_million(self, deployment: DeploymentInfo, prompt_tokens: int) -> MaxPrice:
        """By the card for a prompt of this size. Raises LookupError likewise."""
        return MaxPrice(
            prompt=self._nanos(deployment, TokenUsage(input=_MILLION, request=0), prompt_tokens),
            completion=self._nanos(deployment, TokenUsage(output=_MILLION, request=0), prompt_tokens),
            request=self._nanos(deployment, TokenUsage(request=1), prompt_tokens),
            image=0,
        )

    def _nanos(self, deployment: DeploymentInfo, usage: TokenUsage, prompt_size: int) -> int:
        catalogue, at = self._catalogue, self._at
        card = choose_card(
            deployment.price_cards, at=at, tier="standard", prompt_size=prompt_size, holidays=catalogue.holidays
        )
        if card is None:
            raise LookupError("no_price")
        try:
            units = catalogue.units_per_usd(deployment.currency, at)
        except LookupError:
            raise LookupError("no_exchange_rate") from None
        markup = catalogue.markup(deployment, at, self._organization_id)
        return price(usage, card, units_per_usd=units, markup=markup).total_nanos
