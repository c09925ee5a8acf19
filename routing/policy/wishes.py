"""What a request wishes of its routing: OpenRouter's vocabulary, our headers, and what a project's rule sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from accounts.model_limits import allows


class MaxPrice(NamedTuple):
    """Nano-USD per million tokens, per request and per image; None: no cap."""

    prompt: int | None = None
    completion: int | None = None
    request: int | None = None
    image: int | None = None


class Wishes(NamedTuple):
    """Providers are slugs of the catalogue, lower case; those of a rule may be patterns with `*`. `sort`: "", price,
    throughput or latency; with it or `order` the project's weights do not count. `models` come after the requested
    one, in their order."""

    models: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    no_training: bool = False  # data_collection: deny
    zero_retention: bool = False  # zdr
    sort: str = ""
    sort_across_models: bool = False  # partition: none
    max_price: MaxPrice | None = None
    preferred_min_throughput: float | None = None  # output tokens per second; only puts others behind
    preferred_max_latency_s: float | None = None  # to the first token
    regions: tuple[str, ...] = ()
    preset: str = ""  # auto:<preset> or the x-router-preset header
    session: str = ""  # a keyed hash, never the caller's own text

    @property
    def have_an_order(self) -> bool:
        """Whether the request says itself who comes first, so that no rule's or project's weights count."""
        return bool(self.order or self.sort or self.preset)


NO_WISHES = Wishes()
NOBODY: Final = ("",)  # no provider has this name: what two lists have in common where they have nothing
FREE: Final = MaxPrice(0, 0, 0, 0)


def lower_cap(one: MaxPrice | None, other: MaxPrice | None) -> MaxPrice | None:
    """The stricter of two caps, part by part."""
    if one is None or other is None:
        return one or other
    return MaxPrice(*(_lower(mine, theirs) for mine, theirs in zip(one, other, strict=True)))


def both(patterns: tuple[str, ...], wished: tuple[str, ...]) -> tuple[str, ...]:
    """The wished names that the patterns allow; an empty list allows all, NOBODY none."""
    if not patterns or not wished:
        return patterns or wished
    return tuple(name for name in wished if allows(patterns, name)) or NOBODY


def once(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, where it came first."""
    return tuple(dict.fromkeys(names))


def _lower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
