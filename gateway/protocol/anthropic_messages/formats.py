"""Structured output: a JSON schema that the provider holds the model to, or a request for it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.anthropic_messages.host import json_instruction
from gateway.protocol.anthropic_messages.thinking import claude_version
from gateway.protocol.conversation import JsonObject, ResponseFormat
from gateway.protocol.json_text import dump_text
from gateway.protocol.quirks.messages import MessagesQuirks

# Keywords that Anthropic's structured outputs refuse; models still read them in a description.
_REFUSED = frozenset(
    [
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    ]
)
_OF_SCHEMAS = ("properties", "$defs", "definitions")
_SCHEMA_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_DEEPEST = 60


def encode_format(
    wish: ResponseFormat | None, upstream_model: str, quirks: MessagesQuirks, *, own: bool, dropped: list[str]
) -> tuple[dict[str, Any] | None, str]:
    """(``output_config.format``, words for the system text); either is empty. The words are no guarantee, so the
    wish is named in ``dropped``."""
    if wish is None or wish.kind == "text":
        return None, ""
    if wish.kind == "json_schema" and wish.schema is not None and holds_to_schemas(upstream_model, quirks):
        return {"type": "json_schema", "schema": wish.schema if own else closed(wish.schema)}, ""
    dropped.append("response_format")
    schema = wish.schema if wish.kind == "json_schema" else None
    return None, json_instruction(dump_text(schema) if schema else "")


def holds_to_schemas(upstream_model: str, quirks: MessagesQuirks) -> bool:
    """Claude does from Opus 4.1 and the 4.5 generation on."""
    version = claude_version(upstream_model)
    if version is None:
        return quirks.json_schema
    return version >= (4, 5) or (version == (4, 1) and "opus" in upstream_model.lower())


def closed(schema: JsonObject, depth: int = 0) -> dict[str, Any]:
    """The schema with every object closed, and without refused keywords, which move into the description."""
    result = {name: value for name, value in schema.items() if name not in _REFUSED}
    refused = {name: value for name, value in schema.items() if name in _REFUSED}
    if isinstance(schema.get("minItems"), int) and schema["minItems"] > 1:
        refused["minItems"] = result.pop("minItems")
    if refused:
        words = ", ".join(f"{name}: {value}" for name, value in refused.items())
        result["description"] = f"{result['description']} ({words})" if result.get("description") else words
    if result.get("type") == "object" or "properties" in result:
        result["additionalProperties"] = False
    if depth < _DEEPEST:
        _close_inside(result, depth + 1)
    return result


def _close_inside(result: dict[str, Any], depth: int) -> None:
    for name in _OF_SCHEMAS:
        if isinstance(result.get(name), Mapping):
            result[name] = {key: _closed(value, depth) for key, value in result[name].items()}
    for name in _SCHEMA_LISTS:
        if isinstance(result.get(name), list):
            result[name] = [_closed(value, depth) for value in result[name]]
    if "items" in result:
        result["items"] = _closed(result["items"], depth)


def _closed(value: Any, depth: int) -> Any:
    return closed(value, depth) if isinstance(value, Mapping) else value
