"""What the name of a model may say besides the model: suffixes such as :floor, and auto:<preset>."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from gateway.protocol.problem import ProtocolError, invalid
from routing.policy.auto import AUTO, is_auto
from routing.policy.weights import PRESETS
from routing.policy.wishes import FREE, Wishes, lower_cap

Knows = Callable[[str], bool]
_SORTS: Final[Mapping[str, str]] = {"nitro": "throughput", "floor": "price"}
_ELSEWHERE: Final[Mapping[str, str]] = {
    "thinking": "Ask for reasoning in the request, as its dialect has it.",
    "online": "Give the model a web search tool instead.",
    "exacto": "Name the providers in provider.only instead.",
    "extended": "Models have their whole context length here.",
}


class _Said(NamedTuple):
    sort: str = ""
    free: bool = False
    preset: str = ""


_NOTHING = _Said()


def named(name: str, wishes: Wishes, knows: Knows) -> tuple[str, Wishes]:
    """The name without what follows it, and the wishes with what that says; those in `models` likewise.

    `knows` says whether the catalogue has a name just as it is. What a field asks for goes before a suffix, a preset in
    the name before one elsewhere. Raises ProtocolError for a suffix that is not served.
    """
    if not wishes.models and ":" not in name:
        return (AUTO if is_auto(name) else name), wishes
    base, said = _split(name, knows, "model")
    others = [_split(other, knows, f"models[{at}]") for at, other in enumerate(wishes.models)]
    for at, (_other, also) in enumerate(others):
        if (also.sort, also.free) != (said.sort, said.free):
            message = f"'models[{at}]' must have the same suffixes as 'model': they hold for the whole request."
            raise invalid(message, param=f"models[{at}]", code="invalid_value")
    preset = next((one.preset for _name, one in ((base, said), *others) if one.preset), wishes.preset)
    return base, wishes._replace(
        models=tuple(other for other, _said in others),
        sort=wishes.sort or said.sort,
        max_price=lower_cap(wishes.max_price, FREE) if said.free else wishes.max_price,
        preset=preset,
    )


def _split(name: str, knows: Knows, where: str) -> tuple[str, _Said]:
    if ":" not in name or knows(name):
        return (AUTO if is_auto(name) else name), _NOTHING
    base, *suffixes = name.split(":")
    auto, said = is_auto(base), _NOTHING
    for written in suffixes:
        suffix = written.strip().lower()
        if suffix in _SORTS:
            if said.sort not in ("", _SORTS[suffix]):
                raise _wrong(where, name, "has two suffixes that exclude each other.")
            said = said._replace(sort=_SORTS[suffix])
        elif suffix == "free":
            said = said._replace(free=True)
        elif auto and suffix in PRESETS:
            said = said._replace(preset=suffix)
        elif auto:
            raise _wrong(where, name, f"has no such preset. There are: {', '.join(PRESETS)}.")
        elif suffix in _ELSEWHERE:
            raise _wrong(where, name, f"can't be served: there is no suffix :{suffix} here. {_ELSEWHERE[suffix]}")
        else:
            return name, _NOTHING  # not a suffix of ours, so part of a name that nobody knows
    return (AUTO if auto else base.strip()), said


def _wrong(where: str, name: str, message: str) -> ProtocolError:
    return invalid(f"'{name[:160]}' {message}", param=where, code="invalid_model_suffix")
