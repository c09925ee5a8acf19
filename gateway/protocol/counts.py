"""Lenient reading of token counts: whatever a provider sends, the result is a whole number from 0 up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

# No request has this many tokens; a larger number is a provider's mistake and must not reach the ledger.
MOST_TOKENS = 1_000_000_000


class Counts:
    """A usage object. Oddities are collected in ``flags``, shared with the objects inside it."""

    def __init__(self, source: Any, flags: list[str] | None = None) -> None:
        self._source: Mapping[str, Any] = source if isinstance(source, Mapping) else {}
        self._flags = flags if flags is not None else []

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self._flags)

    def flag(self, word: str) -> None:
        if word not in self._flags:
            self._flags.append(word)

    def has(self, *names: str) -> bool:
        return any(self._source.get(name) is not None for name in names)

    def inside(self, *names: str) -> Counts:
        """The first of the named objects that is there; an empty one otherwise."""
        for name in names:
            if isinstance(self._source.get(name), Mapping):
                return Counts(self._source[name], self._flags)
        return Counts(None, self._flags)

    def first(self, *names: str) -> int:
        """The first of the named counts that is there; 0 otherwise."""
        for name in names:
            if self._source.get(name) is not None:
                return self._whole(self._source[name])
        return 0

    def split(self, whole: int, *parts: int) -> tuple[int, ...]:
        """(what is left of the whole, *parts), each part cut to what is left so that nothing is negative."""
        kept: list[int] = []
        for part in parts:
            if part > whole:
                self.flag("clamped")
                part = whole
            kept.append(part)
            whole -= part
        return (whole, *kept)

    def _whole(self, value: Any) -> int:
        if type(value) is int:
            number = value
        else:
            self.flag("odd_number")
            number = _from_odd(value)
        if not 0 <= number <= MOST_TOKENS:
            self.flag("clamped")
            number = min(max(number, 0), MOST_TOKENS)
        return number


def _from_odd(value: Any) -> int:
    """A count that came as a float or as text; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return 0
    try:
        number = float(value)
    except ValueError:
        return 0
    return math.ceil(number) if math.isfinite(number) else 0
