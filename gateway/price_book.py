"""Prices made ready for the requests of one moment: which card bills a usage, and what a plan can cost at most.

Which card is in force is kept for a second at a time: cards, schedules and markups change on whole minutes at the
finest. What was made of a card is kept with the catalogue, for a card never changes.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from billing.pricing.compiled import CardPrice, CostBound, rates_text
from billing.pricing.rates import choose_card
from routing.catalogue import Catalogue, DeploymentInfo
from routing.planner import RoutePlan

_MOST_COMPILED = 20_000


class Priced(CardPrice):
    """A card's price with the texts that a usage record keeps of it."""

    __slots__ = ("markup_text", "rates_text", "units_text")

    def __init__(self, card: CardPrice) -> None:
        super().__init__(card.card, units_per_usd=card.units_per_usd, markup=card.markup)
        self.rates_text = rates_text(self.card.rates)
        self.units_text = str(self.units_per_usd)
        self.markup_text = f"{self.markup.normalize():f}"


class PriceBook:
    """Over one state of the catalogue."""

    __slots__ = ("_bounds", "_cards", "_compiled", "_now", "_offers", "_second", "catalogue")

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._second = 0
        self._now: datetime | None = None
        self._cards: dict[tuple[int, str, int, Decimal], Priced | None] = {}
        # A price holds its card: as long as it is kept here no other card can have its id.
        self._compiled: dict[tuple[int, Decimal, Decimal], Priced] = {}
        self._offers: dict[int, dict[tuple[int, int], Priced]] = {}
        # With the plan itself: as long as it is kept here no other plan can have its id.
        self._bounds: dict[tuple[int, int], tuple[RoutePlan, CostBound]] = {}

    def offers(self, organization_id: int, now: datetime) -> dict[tuple[int, int], Priced]:
        """What an organization (0: any without markups of its own) pays now, by deployment and size of the prompt: for
        the caller to fill."""
        self._turn(now)
        return self._offers.setdefault(organization_id, {})

    def card(
        self, deployment: DeploymentInfo, *, tier: str, prompt_size: int, markup: Decimal, now: datetime
    ) -> Priced | None:
        """The price of a usage that ended now; None where no card or exchange rate is in force."""
        self._turn(now)
        step = -1
        for card in deployment.price_cards:
            if step < card.min_prompt_tokens <= prompt_size:
                step = card.min_prompt_tokens
        key = (deployment.id, tier, step, markup)
        if key not in self._cards:
            self._cards[key] = self._compile(deployment, tier, prompt_size, markup, now)
        return self._cards[key]

    def _compile(
        self, deployment: DeploymentInfo, tier: str, prompt_size: int, markup: Decimal, now: datetime
    ) -> Priced | None:
        card = choose_card(
            deployment.price_cards, at=now, tier=tier, prompt_size=prompt_size, holidays=self.catalogue.holidays
        )
        if card is None:
            return None
        try:
            units = self.catalogue.units_per_usd(deployment.currency, now)
        except LookupError:
            return None
        key = (id(card), units, markup)
        known = self._compiled.get(key)
        if known is None:
            if len(self._compiled) > _MOST_COMPILED:
                self._compiled.clear()
            known = self._compiled[key] = Priced(CardPrice(card, units_per_usd=units, markup=markup))
        return known

    def bound(self, plan: RoutePlan, at: datetime, organization_id: int) -> CostBound:
        """The most that the dearest deployment of the plan can charge. Raises LookupError, InvalidRateCard."""
        self._turn(at)
        key = (id(plan), organization_id)
        known = self._bounds.get(key)
        if known is not None:
            return known[1]
        bound = CostBound(
            (
                (
                    step.deployment.price_cards,
                    self.catalogue.units_per_usd(step.deployment.currency, at),
                    self.catalogue.markup(step.deployment, at, organization_id or None),
                )
                for step in plan.steps
            ),
            at=at,
        )
        self._bounds[key] = (plan, bound)
        return bound

    def _turn(self, now: datetime) -> None:
        if now is self._now:
            return  # the same decision asks for many
        self._now = now
        second = int(now.timestamp())
        if second != self._second:
            self._second = second
            self._cards.clear()
            self._bounds.clear()
            self._offers.clear()
