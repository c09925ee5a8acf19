"""JSON schemas: from Gemini's upper-case dialect, and cut down to the keywords that Gemini takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.conversation import JsonObject
from gateway.protocol.gemini_generate.names import camel

# The keywords of ``responseJsonSchema`` and ``parametersJsonSchema``.
_TAKEN = frozenset(
    [
        "type",
        "format",
        "title",
        "description",
        "enum",
        "items",
        "prefixItems",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "anyOf",
        "properties",
        "additionalProperties",
        "required",
        "propertyOrdering",
    ]
)
_WHOLE_NUMBERS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_DEEPEST = 60
# References can unfold to a size that grows with every level.
_MOST_NODES = 5_000


def read_schema(schema: JsonObject, depth: int = 0) -> dict[str, Any]:
    """Google's Schema object as a JSON schema."""
    result = camel(schema)
    kind = result.get("type")
    if isinstance(kind, str):
        result["type"] = kind.lower()
    if result.pop("nullable", None) is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    result.pop("propertyOrdering", None)
    for name in _WHOLE_NUMBERS:
        value = result.get(name)
        if isinstance(value, str) and value.isdecimal() and len(value) < 10:
            result[name] = int(value)
    if depth >= _DEEPEST:
        return result
    properties = result.get("properties")
    if isinstance(properties, Mapping):
        result["properties"] = {name: _read(value, depth + 1) for name, value in properties.items()}
    if "items" in result:
        result["items"] = _read(result["items"], depth + 1)
    if isinstance(result.get("anyOf"), list):
        result["anyOf"] = [_read(value, depth + 1) for value in result["anyOf"]]
    return result


def _read(value: Any, depth: int) -> Any:
    return read_schema(value, depth) if isinstance(value, Mapping) else value


def write_schema(schema: JsonObject) -> dict[str, Any]:
    """The schema with references put in their places and without keywords that are refused."""
    written = _Writer(schema).write(schema, 0, ())
    return written if isinstance(written, dict) else {}


class _Writer:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _MOST_NODES

    def write(self, schema: Any, depth: int, inside: tuple[str, ...]) -> Any:
        """``inside``: the references that led here; one that leads into itself becomes a schema for anything."""
        if not isinstance(schema, Mapping):
            return schema
        self._left -= 1
        if depth > _DEEPEST or self._left < 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            found = self._find(reference)
            if reference in inside or found is None:
                return {"description": schema["description"]} if isinstance(schema.get("description"), str) else {}
            beside = {name: value for name, value in schema.items() if name != "$ref"}
            return self.write({**found, **beside}, depth + 1, (*inside, reference))
        merged = _merged(schema)
        if merged is not schema:
            return self.write(merged, depth + 1, inside)
        return self._written(schema, depth + 1, inside)

    def _written(self, schema: JsonObject, depth: int, inside: tuple[str, ...]) -> dict[str, Any]:
        result = {name: value for name, value in schema.items() if name in _TAKEN}
        if "const" in schema and "enum" not in result:
            result["enum"] = [schema["const"]]
        either = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(either, list):
            result["anyOf"] = [self.write(value, depth, inside) for value in either]
        if isinstance(result.get("properties"), Mapping):
            result["properties"] = {
                name: self.write(value, depth, inside) for name, value in result["properties"].items()
            }
        for name in ("items", "additionalProperties"):
            if name in result:
                result[name] = self.write(result[name], depth, inside)
        if isinstance(result.get("prefixItems"), list):
            result["prefixItems"] = [self.write(value, depth, inside) for value in result["prefixItems"]]
        return result

    def _find(self, reference: str) -> Mapping[str, Any] | None:
        if not reference.startswith("#"):
            return None
        place: Any = self._root
        for step in reference[1:].split("/")[1:]:
            place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, Mapping) else None
        return place if isinstance(place, Mapping) else None


def _merged(schema: JsonObject) -> JsonObject:
    """``allOf`` put together: properties and required names of all, else the first that speaks."""
    pieces = schema.get("allOf")
    if not isinstance(pieces, list):
        return schema
    result = {name: value for name, value in schema.items() if name != "allOf"}
    if len(pieces) == 1 and isinstance(pieces[0], Mapping):
        return {**pieces[0], **result}
    for piece in pieces:
        if not isinstance(piece, Mapping):
            continue
        for name, value in piece.items():
            if name == "properties" and isinstance(value, Mapping):
                known = result.get(name)
                result[name] = {**value, **(known if isinstance(known, Mapping) else {})}
            elif name == "required" and isinstance(value, list):
                known = result.get(name)
                result[name] = [*(known if isinstance(known, list) else ()), *value]
            else:
                result.setdefault(name, value)
    return result
