"""A project's routing rules: the first one that matches a request says where it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from accounts.model_limits import allows
from routing.policy.needs import FLAGS, Needs
from routing.policy.weights import Weights
from routing.policy.wishes import MaxPrice, Wishes, both, lower_cap, once

NEEDS: Final = FLAGS | {"reasoning"}


class Match(NamedTuple):
    """All that is set must hold. `models` are patterns on the requested name, with `*`; `needs` are names of fields of
    Needs (images, tools, …); `headers` are (lower-case name, pattern) over x-router-* headers and request metadata;
    `hours` are (from, until) minutes of the day in `timezone`, past midnight where until is not above from; `weekdays`
    0 (Monday) to 6, those on which the hours begin."""

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


class Occasion(NamedTuple):
    """A request, as rules see it. `names`: as it was asked for, without suffix, and the public id where there is one,
    lower case. `labels`: its x-router-* headers and its metadata, by lower-case name."""

    names: tuple[str, ...]
    needs: Needs
    key_id: int
    labels: Mapping[str, str]
    at: datetime


class Directed(NamedTuple):
    """Where a request goes. The names of one group compete by one score; the groups come in their order. `weights`:
    the rule's, None where it has none or the request says itself what matters."""

    groups: tuple[tuple[str, ...], ...]
    wishes: Wishes
    weights: Weights | None = None
    rule_id: int | None = None


def first_match(rules: Sequence[Rule], occasion: Occasion) -> Rule | None:
    for rule in rules:
        if matches(rule.match, occasion):
            return rule
    return None


def matches(match: Match, occasion: Occasion) -> bool:
    """Whether all holds that the match names; an empty one always holds."""
    needs = occasion.needs
    return (
        (match.min_prompt_tokens is None or needs.prompt_tokens >= match.min_prompt_tokens)
        and (match.max_prompt_tokens is None or needs.prompt_tokens <= match.max_prompt_tokens)
        and (not match.key_ids or occasion.key_id in match.key_ids)
        and all(map(needs.has, match.needs))
        and (not match.models or any(allows(match.models, name) for name in occasion.names))
        and all(_is_labelled(occasion.labels, name, pattern) for name, pattern in match.headers)
        and _is_time(match, occasion.at)
    )


def direct(name: str, wishes: Wishes, rule: Rule | None) -> Directed:
    """The names to try for a request and what holds for it, once its project's rule has had its say.

    A rule's prohibitions (`only`, `ignore`, the cap) bind the request; of its preferences the request may have others.
    """
    action = _NO_ACTION if rule is None else rule.action
    own = wishes.have_an_order
    groups = _groups(name, wishes, action)
    if rule is None:
        return Directed(groups, wishes)
    merged = wishes._replace(
        only=both(action.only, wishes.only),
        ignore=once((*wishes.ignore, *action.ignore)),
        order=wishes.order if own else action.order,
        preset=wishes.preset if own else action.preset,
        max_price=lower_cap(wishes.max_price, action.max_price),
    )
    return Directed(groups, merged, None if own else action.weights, rule.id)


_NO_ACTION = Action()


def _groups(name: str, wishes: Wishes, action: Action) -> tuple[tuple[str, ...], ...]:
    if action.models:
        # Who was replaced does not come back as a fallback of the request.
        targets, others = action.models, action.fallbacks
        together = action.weights is not None or bool(action.preset) or wishes.sort_across_models
    else:
        targets, others = (name, *wishes.models), action.fallbacks
        together = wishes.sort_across_models
    targets = once(targets)
    later = tuple((other,) for other in once(others) if other not in targets)
    return (targets, *later) if together else (*((target,) for target in targets), *later)


def _is_labelled(labels: Mapping[str, str], name: str, pattern: str) -> bool:
    value = labels.get(name)
    return value is not None and allows((pattern,), value)


def _is_time(match: Match, at: datetime) -> bool:
    if match.hours is None and not match.weekdays:
        return True
    there = zone(match.timezone)
    if there is None:
        return False
    local = at.astimezone(there)
    day, minute = local.weekday(), local.hour * 60 + local.minute
    if match.hours is None:
        return day in match.weekdays
    start, end = match.hours
    if end > start:
        return start <= minute < end and (not match.weekdays or day in match.weekdays)
    if minute < start:
        if minute >= end:
            return False
        day = (day - 1) % 7  # the small hours belong to the day on which they began
    return not match.weekdays or day in match.weekdays


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo | None:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # no such zone, no name of one, or the name of a folder
        return None
