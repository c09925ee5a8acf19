"""Search, filters and order of the model list, taken from a query string."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from routing.market import CAPABILITIES, Listing

MODALITIES = ("image", "audio", "video", "pdf")
SORTS = ("quality", "price", "context", "name")


@dataclass(frozen=True, slots=True)
class Selection:
    """What was asked for; an empty text means no restriction, values that do not exist count as empty."""

    text: str = ""
    author: str = ""
    capability: str = ""
    modality: str = ""
    sort: str = "quality"
    available: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Selection:
        return cls(
            text=query.get("q", "").strip()[:100],
            author=query.get("author", "")[:64],
            capability=_one_of(query.get("capability", ""), CAPABILITIES, ""),
            modality=_one_of(query.get("modality", ""), MODALITIES, ""),
            sort=_one_of(query.get("sort", ""), SORTS, "quality"),
            available=query.get("available", "") == "1",
        )

    def apply(self, listings: Sequence[Listing]) -> list[Listing]:
        """The listings that match, in the wished order; what can be called comes first."""
        return sorted((listing for listing in listings if self.matches(listing)), key=self._order)

    def matches(self, listing: Listing) -> bool:
        model = listing.model
        return (
            (not self.author or model.author == self.author)
            and (not self.capability or bool(model.capabilities.get(self.capability)))
            and (not self.modality or self.modality in (*model.input_modalities, *model.output_modalities))
            and (not self.available or listing.available)
            and self._matches_text(listing)
        )

    def _matches_text(self, listing: Listing) -> bool:
        if not self.text:
            return True
        model = listing.model
        names = [model.name, model.slug, model.author, *listing.aliases, *listing.capabilities]
        names += [name for offer in listing.offers for name in (offer.provider, offer.provider_slug)]
        haystack = " ".join(names).lower()
        return all(word in haystack for word in self.text.lower().split())

    def _order(self, listing: Listing) -> tuple[bool, Decimal, str]:
        model = listing.model
        keys = {
            "quality": -Decimal(str(model.quality_index if model.quality_index is not None else -1)),
            "price": listing.best.blended if listing.best else Decimal("Infinity"),
            "context": -Decimal(model.context_length or 0),
            "name": Decimal(0),
        }
        return (not listing.available, keys[self.sort], model.name.lower())


def _one_of(value: str, choices: Sequence[str], default: str) -> str:
    return value if value in choices else default
