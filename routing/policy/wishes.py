"""What a request wishes of its routing: OpenRouter's vocabulary, our headers, and what a project's rule sets."""

from __future__ import annotations

from typing import NamedTuple


class MaxPrice(NamedTuple):
    """Nano-USD per million tokens, per request and per image; None: no cap."""

    prompt: int | None = None
    completion: int | None = None
    request: int | None = None
    image: int | None = None


class Wishes(NamedTuple):
    """Providers are slugs of the catalogue, lower case. `sort`: "", price, throughput or latency; with it or `order`
    the project's weights do not count. `models` come after the requested one, in their order."""

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


NO_WISHES = Wishes()
