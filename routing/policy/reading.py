"""Reading a policy's JSON: what is missing has its default, what is of a wrong kind is refused by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from routing.policy.weights import Weights
from routing.policy.wishes import MaxPrice

Json = Mapping[str, Any]
MOST_NAMES: Final = 200  # in one list
LONGEST_NAME: Final = 200
MOST_NANOS: Final = 10**15  # a million dollars


class Unreadable(ValueError):
    """`field` is the path of what is wrong, such as rules[2].action.weights."""

    def __init__(self, field: str, expected: str) -> None:
        super().__init__(f"{field} must be {expected}")
        self.field = field
        self.expected = expected


def obj(value: Any, where: str) -> Json:
    if not isinstance(value, dict):
        raise Unreadable(where, "an object")
    return value


def flag(source: Json, name: str, where: str, *, default: bool = False) -> bool:
    value = source.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Unreadable(where + name, "true or false")
    return value


def text(source: Json, name: str, where: str, *, default: str = "") -> str:
    value = source.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise Unreadable(where + name, f"a text of at most {LONGEST_NAME} characters")
    return value


def integer(source: Json, name: str, where: str, *, least: int = 0, most: int = 2**53) -> int | None:
    value = source.get(name)
    return None if value is None else _whole(value, where + name, least, most)


def integers(source: Json, name: str, where: str, *, least: int = 0, most: int = 2**53) -> tuple[int, ...]:
    found = listed(source, name, where)
    return tuple(_whole(value, f"{where}{name}[{at}]", least, most) for at, value in enumerate(found))


def _whole(value: Any, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Unreadable(where, f"a whole number from {least} to {most}")
    return value


def listed(source: Json, name: str, where: str) -> list[Any]:
    value = source.get(name)
    if value is None:
        return []
    if not isinstance(value, list | tuple) or len(value) > MOST_NAMES:
        raise Unreadable(where + name, f"a list of at most {MOST_NAMES}")
    return list(value)


def names(source: Json, name: str, where: str, *, lower: bool = True) -> tuple[str, ...]:
    """A list of texts without spaces around them, in lower case; empty ones are left out."""
    found = listed(source, name, where)
    for at, one in enumerate(found):
        if not isinstance(one, str) or len(one) > LONGEST_NAME:
            raise Unreadable(f"{where}{name}[{at}]", f"a text of at most {LONGEST_NAME} characters")
    return tuple(bare.lower() if lower else bare for one in found if (bare := one.strip()))


def weights(source: Json, name: str, where: str) -> Weights | None:
    """Latency, cost, quality: a list of three, or an object."""
    value = source.get(name)
    if value is None:
        return None
    given = [value.get(part) for part in Weights._fields] if isinstance(value, dict) else value
    if not isinstance(given, list | tuple) or len(given) != 3 or not all(map(_is_weight, given)) or not any(given):
        raise Unreadable(where + name, "three numbers of at least 0, not all 0: latency, cost, quality")
    return Weights(*given)


def max_price(source: Json, name: str, where: str) -> MaxPrice | None:
    """Nano-dollars for prompt, completion, request, image: a list, or an object. None where nothing is capped."""
    value = source.get(name)
    if value is None:
        return None
    given = [value.get(part) for part in MaxPrice._fields] if isinstance(value, dict) else value
    if not isinstance(given, list | tuple) or len(given) > len(MaxPrice._fields) or not all(map(_is_cap, given)):
        raise Unreadable(where + name, "up to four whole numbers of nano-dollars: prompt, completion, request, image")
    cap = MaxPrice(*given)
    return None if cap == MaxPrice() else cap


def _is_weight(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _is_cap(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_NANOS)
