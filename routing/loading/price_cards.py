"""Applies the price cards of one deployment. A card that has billed keeps its rates for ever.

A changed price closes such a card and adds a new one from this moment on; a card that never billed is corrected in
place. The new card remembers which one it took over from, so that the next load recognizes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.usage_records import card_has_billed
from routing.loading.changes import Changes
from routing.loading.entries import CardEntry, CardKey, card_key
from routing.models import PriceCard


def apply_cards(
    cards: Sequence[PriceCard],
    entries: Iterable[CardEntry],
    *,
    now: datetime,
    label: str,
    changes: Changes,
    other_currency: bool = False,
) -> list[PriceCard]:
    """Corrects or closes `cards` where they differ; returns the cards to add.

    With `other_currency` the same figures are another price: the deployment's currency has changed.
    """
    by_id = {card.pk: card for card in cards}
    replaced = {card.replaces_id for card in cards if card.replaces_id}
    heads = {_key(card, by_id): card for card in cards if card.pk not in replaced}
    change = _CardChange(now, label, changes, other_currency)
    added: list[PriceCard] = []
    for entry in entries:
        head = heads.pop(entry.conditions, None)
        new = _fresh(entry) if head is None else change.of(head, entry)
        if new is not None:
            added.append(new)
            if head is None and cards:
                changes.new.append(f"price card {label}: {_name(entry)}")
    for card in heads.values():
        if card.valid_until is None or card.valid_until > now:
            changes.gone.append(
                f"price card {card.pk} of {label}: {card.tier} from {card.min_prompt_tokens} tokens, in force"
            )
    return added


def _key(card: PriceCard, by_id: dict[int, PriceCard]) -> CardKey:
    """The conditions as the files state them: those of the first card of a chain of replacements."""
    first = card
    while first.replaces_id:
        first = by_id[first.replaces_id]
    return card_key(card.tier, card.min_prompt_tokens, card.schedule, first.valid_from)


def _fresh(entry: CardEntry) -> PriceCard:
    return PriceCard(
        tier=entry.tier,
        min_prompt_tokens=entry.min_prompt_tokens,
        schedule=entry.schedule,
        valid_from=entry.valid_from,
        valid_until=entry.valid_until,
        rates=dict(entry.rates),
    )


def _name(entry: CardEntry) -> str:
    return f"{entry.tier} from {entry.min_prompt_tokens} tokens"


@dataclass(frozen=True, slots=True)
class _CardChange:
    now: datetime
    label: str
    changes: Changes
    other_currency: bool

    def of(self, card: PriceCard, entry: CardEntry) -> PriceCard | None:
        """Makes the card match; returns a successor where it may not be changed any more."""
        same_rates = card.rates == dict(entry.rates) and not self.other_currency
        if same_rates and card.valid_until == entry.valid_until:
            return None
        over, ends = self._is_past(card.valid_until), self._is_past(entry.valid_until)
        # Where only the end moves and lies ahead, a card that has billed keeps its rates too.
        if not card_has_billed(card.pk) or (same_rates and not over and not ends):
            self._correct(card, entry)
            return None
        if not over:
            self._close(card)
        return None if ends else self._succeed(card, entry)

    def _is_past(self, moment: datetime | None) -> bool:
        return moment is not None and moment <= self.now

    def _correct(self, card: PriceCard, entry: CardEntry) -> None:
        self._note(entry, f"{_rates(card.rates)} → {_rates(entry.rates)}, until {_end(entry.valid_until)}")
        card.rates = dict(entry.rates)
        card.valid_until = entry.valid_until
        card.save()

    def _close(self, card: PriceCard) -> None:
        card.valid_until = self.now
        card.save(update_fields=["valid_until"])
        self.changes.changed.append(f"price card {card.pk} of {self.label}: has billed, closed now")

    def _succeed(self, card: PriceCard, entry: CardEntry) -> PriceCard:
        self._note(entry, f"{_rates(card.rates)} → {_rates(entry.rates)} from now on")
        successor = _fresh(entry)
        successor.valid_from = self.now
        successor.replaces = card
        return successor

    def _note(self, entry: CardEntry, text: str) -> None:
        self.changes.changed.append(f"price card {self.label}: {_name(entry)}: {text}")


def _rates(rates: object) -> str:
    return ", ".join(f"{name} {rate}" for name, rate in rates.items()) if isinstance(rates, dict) else ""


def _end(moment: datetime | None) -> str:
    return "open" if moment is None else moment.isoformat()
