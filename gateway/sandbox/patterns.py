"""A text that a regular expression accepts: the shortest way through it. Pure."""

from __future__ import annotations

import importlib
import re
import string
from collections.abc import Callable
from typing import Any

# The standard parser of `re`; it has no public name since Python 3.11.
_parser: Any = importlib.import_module("re._parser")
MOST_PATTERN = 500
MOST_TEXT = 5000
_PRINTABLE = string.ascii_lowercase + string.ascii_uppercase + string.digits + " -_.,:;/@#+"
_CATEGORIES = {"CATEGORY_DIGIT": "0", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_DIGIT": "a",
               "CATEGORY_NOT_SPACE": "a", "CATEGORY_NOT_WORD": "-"}  # fmt: skip


def matching_text(pattern: str, least: int = 0) -> str | None:
    """A text of at least `least` characters in which the pattern is found, or None where that is too hard.

    The text matches by construction. It is not searched for the pattern, which a caller may have made to take ages.
    """
    if len(pattern) > MOST_PATTERN:
        return None
    try:
        parsed = _parser.parse(pattern)
        texts = [_sequence(parsed, repeats) for repeats in (0, 1, min(least, MOST_TEXT))]
    except (re.error, LookupError, ValueError, RecursionError, OverflowError):
        return None
    return next((text for text in texts if len(text) >= least), None)


def _sequence(parsed: Any, repeats: int) -> str:
    text = "".join(_one(str(kind), value, repeats) for kind, value in parsed)
    if len(text) > MOST_TEXT:
        raise LookupError("too long")
    return text


def _one(kind: str, value: Any, repeats: int) -> str:
    if kind == "LITERAL":
        return chr(value)
    if kind == "ANY":
        return "a"
    if kind == "AT":
        return ""
    if kind == "IN":
        return _from_class(value)
    if kind == "NOT_LITERAL":
        return _first_printable(lambda c: ord(c) == value)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = value
        return _sequence(inner, repeats) * min(max(int(low), repeats), int(high), 1000)
    if kind == "SUBPATTERN":
        return _sequence(value[-1], repeats)
    if kind == "BRANCH":
        return _sequence(value[1][0], repeats)
    raise LookupError(kind)


def _first_printable(unwanted: Callable[[str], bool]) -> str:
    for character in _PRINTABLE:
        if not unwanted(character):
            return character
    raise LookupError("no character is left")


def _from_class(members: Any) -> str:
    if str(members[0][0]) == "NEGATE":
        return _first_printable(lambda c: any(_within(c, str(kind), value) for kind, value in members[1:]))
    kind, value = members[0]
    if str(kind) == "RANGE":
        return chr(value[0])
    return chr(value) if str(kind) == "LITERAL" else _CATEGORIES[str(value)]


def _within(character: str, kind: str, value: Any) -> bool:
    if kind == "LITERAL":
        return ord(character) == int(value)
    if kind == "RANGE":
        return int(value[0]) <= ord(character) <= int(value[1])
    return {"CATEGORY_DIGIT": character.isdigit(), "CATEGORY_SPACE": character.isspace()}.get(
        str(value), character.isalnum()
    )
