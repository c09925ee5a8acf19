"""What the home page tells about the catalogue: how many models, what some cost, what one request would cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from accounts.sample_models import SANDBOX_MODEL
from billing.pricing.money import NANOS_PER_USD
from routing.market import Listing, Price, listings

SHOWN = 6
FALLBACK_MODEL = SANDBOX_MODEL  # where nothing can be called yet: the name that an evaluation has
_EXAMPLE = (("input", 2_000), ("cache_read", 8_000), ("output", 500))  # tokens; the page calls it an example


@dataclass(frozen=True, slots=True)
class ExampleLine:
    """USD per million tokens; nanos of `quantity` tokens at that rate."""

    bucket: str
    quantity: int
    rate: Decimal
    nanos: int


@dataclass(frozen=True, slots=True)
class Row:
    slug: str
    name: str
    price: Price | None
    context_length: int | None
    available: bool


@dataclass(frozen=True, slots=True)
class Highlights:
    """`model` is what the snippets ask for: one that can be called here, where there is one."""

    model_total: int
    provider_total: int
    rows: tuple[Row, ...]
    model: str
    example_name: str
    example: tuple[ExampleLine, ...]

    @property
    def any_available(self) -> bool:
        return any(row.available for row in self.rows)

    @property
    def example_nanos(self) -> int:
        return sum(line.nanos for line in self.example)


def highlights(at: datetime) -> Highlights:
    """Of the catalogue as it is at that time."""
    known = listings(at)
    best = _best_per_author(known)
    priced = next((one for one in best if one.best is not None), None)
    return Highlights(
        model_total=len(known),
        provider_total=len({offer.provider_slug for one in known for offer in one.offers}),
        rows=tuple(_row(one) for one in best[:SHOWN]),
        model=next((one.model.slug for one in best if one.available), FALLBACK_MODEL),
        example_name=priced.model.name if priced else "",
        example=tuple(_example(priced.best.price)) if priced and priced.best and priced.best.price else (),
    )


def _best_per_author(known: Iterable[Listing]) -> list[Listing]:
    """The best rated model of each author, what can be called here first. The sandbox only where there is no other."""
    found: dict[str, Listing] = {}
    for one in sorted(known, key=lambda one: (not one.available, -_quality(one), one.model.slug)):
        if not one.is_sandbox and one.best is not None:
            found.setdefault(one.model.author, one)
    if found:
        return list(found.values())
    sandbox = [one for one in known if one.is_sandbox]
    return sorted(sandbox, key=lambda one: (one.model.slug != FALLBACK_MODEL, one.model.slug))


def _quality(one: Listing) -> float:
    return float(one.model.quality_index or 0)


def _row(one: Listing) -> Row:
    price = one.best.price if one.best else None
    return Row(one.model.slug, one.model.name, price, one.model.context_length, one.available)


def _example(price: Price) -> Iterable[ExampleLine]:
    rates = {"input": price.input, "cache_read": price.cache_read, "output": price.output}
    for bucket, quantity in _EXAMPLE:
        rate = rates[bucket]
        if rate is not None:
            nanos = Decimal(quantity) * rate * NANOS_PER_USD / 1_000_000
            yield ExampleLine(bucket, quantity, rate, int(nanos.quantize(Decimal(1), ROUND_HALF_UP)))
