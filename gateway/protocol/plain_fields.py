"""Whether a request's fields are of the kinds that every codec takes without a look at what is in them.

A "no" is no error: the codec then reads the request and finds the words for what is wrong, if anything is.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any

from gateway.protocol.fields import MOST_TOKENS

Kinds = Mapping[str, frozenset[type]]

NUMBER: frozenset[type] = frozenset((int, float, NoneType))
TEXT: frozenset[type] = frozenset((str, NoneType))
FLAG: frozenset[type] = frozenset((bool, NoneType))
OBJECT: frozenset[type] = frozenset((dict, NoneType))
LIST: frozenset[type] = frozenset((list, NoneType))
INTEGER: frozenset[type] = frozenset((int, NoneType))
NOTHING_ELSE: frozenset[type] = frozenset((NoneType,))


def are_of(source: Mapping[str, Any], kinds: Kinds) -> bool:
    """Whether every field that `kinds` names, and that is there, is of one of its kinds."""
    for name, value in source.items():
        allowed = kinds.get(name)
        if allowed is not None and type(value) not in allowed:
            return False
    return True


def in_range(value: Any, least: int, most: int = MOST_TOKENS) -> bool:
    """Whether a field that is none or a whole number is none or within these bounds."""
    return value is None or least <= value <= most


def is_texts(value: Any) -> bool:
    """None, a text or a list of texts."""
    if type(value) is list:
        return all(type(item) is str for item in value)
    return type(value) in TEXT


def is_cache_hint(value: Any) -> bool:
    """A ``cache_control`` field, or its absence."""
    return value is None or (type(value) is dict and type(value.get("ttl")) in TEXT)
