"""The schemas of the Gemini dialect: its own words for types, and fields that it does not know. Pure."""

from __future__ import annotations

import re
from typing import Any

from gateway.sandbox.question import Json, Refused

TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
_FIELDS = frozenset(
    (
        *("type", "format", "title", "description", "nullable", "enum", "default", "example", "items", "required"),
        *("minItems", "maxItems", "properties", "minProperties", "maxProperties", "propertyOrdering"),
        *("minLength", "maxLength", "pattern", "anyOf", "minimum", "maximum"),
    )
)
_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1beta.Type"
_TEXT_FORMATS = ("enum", "date-time")
_HUMP = re.compile(r"_([a-z])")


def camel(name: str) -> str:
    """The vendor takes both spellings of a field."""
    return _HUMP.sub(lambda match: match[1].upper(), name)


def spelled(body: Json) -> dict[str, Any]:
    """The fields in one spelling, without those that are null: null is as good as absent."""
    return {camel(name): value for name, value in body.items() if value is not None}


def bad_argument(message: str) -> Refused:
    return Refused(400, message)


def unknown_field(name: str, place: str) -> Refused:
    where = f" at '{place}'" if place else ""
    return bad_argument(f'Invalid JSON payload received. Unknown name "{name[:80]}"{where}: Cannot find field.')


def check_fields(body: Any, known: frozenset[str], place: str) -> dict[str, Any]:
    """The fields of an object, in one spelling. Raises Refused for one that the vendor does not know."""
    if not isinstance(body, dict):
        raise bad_argument(f"Invalid value at '{place}', an object was expected.")
    for name in body:
        if camel(name) not in known:
            raise unknown_field(name, place)
    return spelled(body)


def json_schema(given: Any, place: str) -> dict[str, Any]:
    """The JSON schema that means the same. Raises Refused."""
    schema = check_fields(given, _FIELDS, place)
    kind = schema.get("type")
    if isinstance(kind, list):
        raise bad_argument(f"Proto field is not repeating, cannot start list. at '{place}.type'")
    if kind is not None and str(kind).upper() not in TYPES:
        raise bad_argument(f"Invalid value at '{place}.type' ({_TYPE}), \"{str(kind)[:40]}\"")
    _check_values(schema, str(kind).upper(), place)
    if kind is not None:
        schema["type"] = str(kind).lower()
    for name, inner in _inner(schema, place).items():
        schema[name] = inner
    return schema


def _check_values(schema: dict[str, Any], kind: str, place: str) -> None:
    if "enum" in schema and not _are_texts(schema["enum"]):
        raise bad_argument(f"Invalid value at '{place}.enum' (TYPE_STRING)")
    if "enum" in schema and kind != "STRING":
        raise bad_argument(f"* {place}.enum: only allowed for STRING type")
    if kind == "STRING" and schema.get("format", "enum") not in _TEXT_FORMATS:
        raise bad_argument(f"* {place}.format: only 'enum' and 'date-time' are supported for STRING type")
    if kind == "ARRAY" and "items" not in schema:
        raise bad_argument(f"* {place}.items: missing field.")
    for at, name in enumerate(schema.get("required") or []):
        if name not in (schema.get("properties") or {}):
            raise bad_argument(f"* {place}.required[{at}]: property is not defined")


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _inner(schema: dict[str, Any], place: str) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    if "items" in schema:
        inner["items"] = json_schema(schema["items"], f"{place}.items")
    if "anyOf" in schema:
        inner["anyOf"] = [json_schema(one, f"{place}.any_of[{at}]") for at, one in enumerate(schema["anyOf"])]
    if "properties" in schema:
        inner["properties"] = {
            name: json_schema(one, f"{place}.properties['{name[:40]}']") for name, one in schema["properties"].items()
        }
    return inner
