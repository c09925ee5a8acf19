"""Changes in the middle of a JSON text that leave every other byte as it was.

For what is done rarely: the text is walked through, value by value. What is no JSON raises ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from json import JSONDecoder
from typing import NamedTuple

Path = tuple[str | int, ...]

_SPACE = " \t\n\r"
_scan = JSONDecoder().raw_decode


class _Member(NamedTuple):
    """Of an object: where its name and its value begin, and where it ends; of a list the name is None."""

    name: str | None
    start: int
    value: int
    end: int


def place_of(text: str, path: Path) -> int:
    """Where the value at `path` begins, names and numbers from the outside in; -1 where there is none."""
    place = _skip(text, 0)
    for step in path:
        found = [
            member.value
            for number, member in enumerate(_members(text, place))
            if (member.name == step if isinstance(step, str) else member.name is None and number == step)
        ]
        if not found:
            return -1
        place = found[-1]  # as parsers do it with a name that comes twice
    return place


def without_members(text: str, place: int, unwanted: Callable[[str], bool]) -> str:
    """The text without the unwanted members of the object that begins at `place`."""
    cuts: list[tuple[int, int]] = []
    members = list(_members(text, place))
    kept_end = -1  # of the last member before this one that stays
    for number, member in enumerate(members):
        if member.name is None or not unwanted(member.name):
            kept_end = member.end
        elif kept_end >= 0:
            cuts.append((kept_end, member.end))  # with the comma before it
            kept_end = member.end
        else:
            is_last = number + 1 == len(members)
            cuts.append((member.start, member.end if is_last else members[number + 1].start))
    for start, end in reversed(cuts):
        text = text[:start] + text[end:]
    return text


def _members(text: str, place: int) -> Iterator[_Member]:
    """Of the object or list that begins there; nothing of any other value."""
    opening = text[place : place + 1]
    if opening not in ("{", "["):
        return
    closing = "}" if opening == "{" else "]"
    place = _skip(text, place + 1)
    while text[place : place + 1] != closing:
        start, name = place, None
        if opening == "{":
            name, place = _read(text, place)
            place = _skip(text, place, ":")
        value = place
        _, place = _read(text, place)
        yield _Member(name if isinstance(name, str) else None, start, value, place)
        end = _skip(text, place)
        place = _skip(text, end + 1) if text[end : end + 1] == "," else end


def _read(text: str, place: int) -> tuple[object, int]:
    try:
        value, end = _scan(text, place)
    except (RecursionError, IndexError):
        raise ValueError("no JSON, or nested too deeply") from None
    return value, end


def _skip(text: str, place: int, sign: str = "") -> int:
    """Past white space, and past `sign` and the white space around it."""
    while text[place : place + 1] and text[place] in _SPACE:
        place += 1
    if not sign:
        return place
    if text[place : place + 1] != sign:
        raise ValueError("no JSON")
    return _skip(text, place + 1)
