"""A function call whose arguments come in pieces, each with the JSON path of its place (``$.location``, ``$.a[0]``)."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from gateway.protocol.conversation import JsonObject
from gateway.protocol.gemini_generate.names import listed, string
from gateway.protocol.json_text import dump_text

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d{1,4})\]|\[(?:'([^']*)'|\"([^\"]*)\")\]")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")
_MOST_ITEMS = 10_000


class PartialCall:
    def __init__(self, number: int, args: JsonObject) -> None:
        self.number = number
        self._args: dict[str, Any] = dict(args)

    def add(self, call: JsonObject) -> None:
        for piece in listed(call, "partialArgs"):
            name = next((name for name in _VALUES if name in piece), None)
            if name is not None:
                self._put(_steps(string(piece, "jsonPath")), None if name == "nullValue" else piece[name])
        args = call.get("args")
        if isinstance(args, dict):
            self._args.update(args)

    def arguments(self) -> str:
        return dump_text(self._args)

    def _put(self, steps: list[str | int], value: Any) -> None:
        """Text is added to the text that is there; anything else takes the place."""
        if not steps:
            return
        place: Any = self._args
        for step, after in pairwise(steps):
            known = _get(place, step)
            if not isinstance(known, list if isinstance(after, int) else dict):
                known = [] if isinstance(after, int) else {}
                _set(place, step, known)
            place = known
        there = _get(place, steps[-1])
        _set(place, steps[-1], there + value if isinstance(there, str) and isinstance(value, str) else value)


def _steps(path: str) -> list[str | int]:
    found = _STEP.findall(path.removeprefix("$"))
    return [int(index) if index else name or single or double for name, index, single, double in found]


def _get(place: Any, step: str | int) -> Any:
    if isinstance(place, list):
        return place[step] if isinstance(step, int) and step < len(place) else None
    return place.get(step) if isinstance(place, dict) else None


def _set(place: Any, step: str | int, value: Any) -> None:
    if isinstance(place, list) and isinstance(step, int) and step < _MOST_ITEMS:
        place.extend([None] * (step + 1 - len(place)))
        place[step] = value
    elif isinstance(place, dict):
        place[str(step)] = value
