"""A project's routing rules: the first one that matches a request says where it goes."""

from __future__ import annotations

from typing import NamedTuple

from routing.policy.weights import Weights
from routing.policy.wishes import MaxPrice


class Match(NamedTuple):
    """All that is set must hold. `models` are patterns on the requested name, with `*`; `needs` are names of fields of
    Needs (images, tools, …); `headers` are (lower-case name, pattern) over x-router-* headers and request metadata;
    `hours` are (from, until) minutes of the day in `timezone`, `weekdays` 0 (Monday) to 6."""

    models: tuple[str, ...] = ()
    min_prompt_tokens: int | None = None
    max_prompt_tokens: int | None = None
    needs: tuple[str, ...] = ()
    key_ids: tuple[int, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    hours: tuple[int, int] | None = None
    weekdays: tuple[int, ...] = ()
    timezone: str = "UTC"


class Action(NamedTuple):
    """What the rule sets; what is empty stays as the project and the request have it. `models` replaces the requested
    one: the first is tried first, or with weights the best of them; `fallbacks` come after."""

    models: tuple[str, ...] = ()
    fallbacks: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    preset: str = ""
    weights: Weights | None = None
    max_price: MaxPrice | None = None


class Rule(NamedTuple):
    id: int
    name: str
    match: Match
    action: Action
