"""Rules as JSON: read, written, and checked for whoever writes one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from routing.policy import reading
from routing.policy.reading import Json, Unreadable
from routing.policy.rules import NEEDS, Action, Match, Rule, zone
from routing.policy.weights import PRESETS

DAY_MINUTES: Final = 24 * 60
MOST_HEADERS: Final = 20
_NOTHING = Action()


def match_of(source: Json, where: str = "") -> Match:
    """Raises Unreadable."""
    return Match(
        models=reading.names(source, "models", where),
        min_prompt_tokens=reading.integer(source, "min_prompt_tokens", where),
        max_prompt_tokens=reading.integer(source, "max_prompt_tokens", where),
        needs=reading.names(source, "needs", where),
        key_ids=reading.integers(source, "key_ids", where),
        headers=_headers(source, where),
        hours=_hours(source, where),
        weekdays=reading.integers(source, "weekdays", where, most=6),
        timezone=reading.text(source, "timezone", where) or "UTC",
    )


def action_of(source: Json, where: str = "") -> Action:
    """Raises Unreadable."""
    return Action(
        models=reading.names(source, "models", where),
        fallbacks=reading.names(source, "fallbacks", where),
        only=reading.names(source, "only", where),
        ignore=reading.names(source, "ignore", where),
        order=reading.names(source, "order", where),
        preset=reading.text(source, "preset", where),
        weights=reading.weights(source, "weights", where),
        max_price=reading.max_price(source, "max_price", where),
    )


class Problem(NamedTuple):
    """What is wrong with a rule: the field, such as match.hours, and what it must be."""

    field: str
    message: str


def problems(match: Json, action: Json) -> list[Problem]:
    """What is wrong with a rule's JSON, for whoever wrote it; nothing for a rule that can be used."""
    try:
        wanted = match_of(match, "match.")
        effect = action_of(action, "action.")
    except Unreadable as unreadable:
        return [Problem(unreadable.field, f"must be {unreadable.expected}")]
    found = [Problem(f"match.{name}", "is not known") for name in match if name not in Match._fields]
    found += [Problem(f"action.{name}", "is not known") for name in action if name not in Action._fields]
    found += _match_problems(wanted)
    if effect.preset and effect.preset not in PRESETS:
        found.append(Problem("action.preset", f"must be one of {', '.join(PRESETS)}"))
    if not found and effect == _NOTHING:
        found.append(Problem("action", "must say something: models, providers, weights or a price"))
    return found


def _match_problems(match: Match) -> list[Problem]:
    found = [Problem("match.needs", f"has no need named {need}") for need in match.needs if need not in NEEDS]
    least, most = match.min_prompt_tokens, match.max_prompt_tokens
    if least is not None and most is not None and least > most:
        found.append(Problem("match.max_prompt_tokens", "must not be below min_prompt_tokens"))
    if match.hours is not None and match.hours[0] == match.hours[1]:
        found.append(Problem("match.hours", "must end at another time than they begin"))
    if zone(match.timezone) is None:
        found.append(Problem("match.timezone", f"is no time zone: {match.timezone}"))
    return found


def rules_of(source: Json, where: str = "") -> tuple[Rule, ...]:
    """The rules of a policy's JSON. One with a condition that is not known here never matches and is left out: it would
    match more than it should. Raises Unreadable."""
    found = []
    for number, value in enumerate(reading.listed(source, "rules", where)):
        here = f"{where}rules[{number}]"
        rule = reading.obj(value, here)
        match = reading.obj(rule.get("match") or {}, f"{here}.match")
        action = reading.obj(rule.get("action") or {}, f"{here}.action")
        if not match.keys() <= set(Match._fields):
            continue
        found.append(
            Rule(
                reading.integer(rule, "id", f"{here}.") or 0,
                reading.text(rule, "name", f"{here}."),
                match_of(match, f"{here}.match."),
                action_of(action, f"{here}.action."),
            )
        )
    return tuple(found)


def rule_json(rule: Rule) -> dict[str, Any]:
    return {"id": rule.id, "name": rule.name, "match": _set_in(rule.match), "action": _set_in(rule.action)}


def _set_in(told: Match | Action) -> dict[str, Any]:
    """What is not as it is by default."""
    return {name: value for name, value in told._asdict().items() if value != told._field_defaults[name]}


def _headers(source: Json, where: str) -> tuple[tuple[str, str], ...]:
    pairs = reading.listed(source, "headers", where)
    expected = f"at most {MOST_HEADERS} pairs of a name and a pattern"
    if len(pairs) > MOST_HEADERS:
        raise Unreadable(where + "headers", expected)
    found = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise Unreadable(where + "headers", expected)
        found.append((pair[0].strip().lower(), pair[1].strip()))
    return tuple(found)


def _hours(source: Json, where: str) -> tuple[int, int] | None:
    ends = reading.integers(source, "hours", where, most=DAY_MINUTES)
    if not ends:
        return None
    if len(ends) != 2:
        raise Unreadable(where + "hours", "two minutes of the day, from and until")
    return (ends[0], ends[1])
