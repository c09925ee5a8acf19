"""A value that fits a JSON schema, always the same one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.sandbox.patterns import matching_text

Schema = Mapping[str, Any]
MAX_DEPTH = 6  # below this only what is required is filled in, so that recursive schemas end
HARD_DEPTH = 60
MANY_VALUES = 500  # after so many values only what is required is filled in
MOST_VALUES = 20_000
MOST_CHARACTERS = 100_000

_FORMATS = {
    "date": "2026-01-15",
    "date-time": "2026-01-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "sample@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/sample",
    "url": "https://example.com/sample",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(slots=True)
class _Budget:
    """How much one sample has made so far; a schema must not make the sandbox run for ever."""

    values: int = 0

    def spend(self) -> None:
        self.values += 1
        if self.values > MOST_VALUES:
            raise RecursionError("the schema asks for too much")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema we are."""

    root: Schema
    name: str
    budget: _Budget
    depth: int = 0

    @property
    def sparse(self) -> bool:
        return self.depth >= MAX_DEPTH or self.budget.values >= MANY_VALUES

    def below(self, name: str) -> _Place:
        return replace(self, name=name, depth=self.depth + 1)


def sample(schema: Schema, name: str = "value") -> Any:
    """A value for `schema`; `name` colours its texts.

    Raises RecursionError for a schema without an end, and TypeError and its like for one that is none.
    """
    return _sample(schema, _Place(schema, name, _Budget()))


def _sample(schema: Any, place: _Place) -> Any:
    if place.depth > HARD_DEPTH:
        raise RecursionError("the schema has no end")
    place.budget.spend()
    if not isinstance(schema, Mapping):
        return f"sample {place.name}"
    schema = _resolved(schema, place)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            rest = {k: v for k, v in schema.items() if k != key}
            return _sample(_merged(rest, _easiest(schema[key], place)), place.below(place.name))
    return _of_type(schema, place)


def _resolved(schema: Schema, place: _Place) -> Schema:
    """Follow `$ref` and fold `allOf` in."""
    for _ in range(HARD_DEPTH):
        if "$ref" in schema:
            rest = {k: v for k, v in schema.items() if k != "$ref"}
            schema = _merged(_pointed(place.root, str(schema["$ref"])), rest)
        elif schema.get("allOf"):
            parts, schema = schema["allOf"], {k: v for k, v in schema.items() if k != "allOf"}
            for part in parts:
                schema = _merged(schema, _resolved(part, place))
        else:
            return schema
    raise RecursionError("the schema refers to itself")


def _pointed(root: Schema, pointer: str) -> Schema:
    found: Any = root
    for step in pointer.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _merged(one: Schema, two: Schema) -> Schema:
    merged = {**one, **two}
    for key in ("properties", "$defs"):
        if key in one and key in two:
            merged[key] = {**one[key], **two[key]}
    if "required" in one and "required" in two:
        merged["required"] = list(dict.fromkeys([*one["required"], *two["required"]]))
    return merged


def _easiest(options: list[Any], place: _Place) -> Schema:
    """The first option; far down one that ends at once, if there is one."""
    chosen: Any = options[0]
    if place.sparse:
        chosen = next((option for option in options if "$ref" not in option and option.get("type") != "object"), chosen)
    return chosen if isinstance(chosen, Mapping) else {}


def _of_type(schema: Schema, place: _Place) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    if kind == "object":
        return _object(schema, place)
    if kind == "array":
        return _array(schema, place)
    if kind in ("integer", "number"):
        return _number(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema, place.name)


def _object(schema: Schema, place: _Place) -> dict[str, Any]:
    properties: Schema = schema.get("properties") or {}
    required = [str(name) for name in schema.get("required") or ()]
    names = required if place.sparse else list(dict.fromkeys([*properties, *required]))
    filled = {name: _sample(properties.get(name, {"type": "string"}), place.below(name)) for name in names}
    extra = schema.get("additionalProperties")
    for at in range(int(schema.get("minProperties", 0)) - len(filled)):
        filled[f"sample_{at}"] = _sample(extra if isinstance(extra, Mapping) else {}, place.below("value"))
    return filled


def _array(schema: Schema, place: _Place) -> list[Any]:
    fixed = [_sample(part, place.below(place.name)) for part in schema.get("prefixItems") or ()]
    least = int(schema.get("minItems", 0))
    wanted = least if place.sparse or schema.get("maxItems") == 0 else max(1, least)
    items = schema.get("items", {})
    for at in range(len(fixed), wanted if items is not False else len(fixed)):
        value = _sample(items, place.below(place.name))
        fixed.append(_varied(value, items, at) if schema.get("uniqueItems") else value)
    return fixed


def _varied(value: Any, items: Any, at: int) -> Any:
    """Another value of the same kind for each place in a list without repetition."""
    if isinstance(items, Mapping) and items.get("enum"):
        return items["enum"][at % len(items["enum"])]
    if isinstance(value, bool):
        return value if at == 0 else not value
    if isinstance(value, int | float):
        return value + at
    return f"{value} {at + 1}" if isinstance(value, str) and at else value


def _number(schema: Schema, *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else 0)
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if above is not None and not isinstance(above, bool):
        low = above + (step or 0.5) if low is None else max(low, above + (step or 0.5))
        if not step and below is not None:
            low = (above + below) / 2
    if below is not None and not isinstance(below, bool):
        high = below - (step or 0.5) if high is None else min(high, below - (step or 0.5))
    value = 1 if low is None or low <= 1 else low
    if high is not None and value > high:
        value = high if low is None or high >= low else (low + high) / 2
    if step:
        value = math.ceil(value / step) * step
        if high is not None and value > high:
            value = math.floor(high / step) * step
    return int(value) if whole else value


def _text(schema: Schema, name: str) -> str:
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if least > MOST_CHARACTERS:
        raise RecursionError("the schema asks for too long a text")
    if "pattern" in schema:
        found = matching_text(str(schema["pattern"]), least)
        if found is not None:
            return found
    text = _FORMATS.get(str(schema.get("format")), f"sample {name}")
    text += "." * (least - len(text))
    return text[: int(most)] if most is not None else text
