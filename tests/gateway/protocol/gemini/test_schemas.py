"""Schemas: Google's own as JSON schemas, and JSON schemas cut down to what Gemini takes."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol.gemini_generate.schemas import read_schema, write_schema


@pytest.mark.parametrize(
    ("google", "expected"),
    [
        ({"type": "STRING"}, {"type": "string"}),
        ({"type": "STRING", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "STRING", "nullable": False}, {"type": "string"}),
        ({"type": "ARRAY", "items": {"type": "NUMBER"}}, {"type": "array", "items": {"type": "number"}}),
        ({"type": "ARRAY", "minItems": "2", "max_items": "9"}, {"type": "array", "minItems": 2, "maxItems": 9}),
        (
            {"type": "OBJECT", "properties": {"max_items": {"type": "BOOLEAN"}}, "propertyOrdering": ["max_items"]},
            {"type": "object", "properties": {"max_items": {"type": "boolean"}}},
        ),
        ({"any_of": [{"type": "INTEGER"}, {"type": "NULL"}]}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({"type": "STRING", "format": "enum", "enum": ["A"]}, {"type": "string", "format": "enum", "enum": ["A"]}),
        ({"type": 3, "properties": [], "items": True}, {"type": 3, "properties": [], "items": True}),
    ],
)
def test_a_schema_of_google_is_read(google: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read_schema(google) == expected


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (
            {"$schema": "s", "type": "string", "pattern": "^a", "minLength": 1, "default": "a", "examples": []},
            {"type": "string"},
        ),
        ({"type": "string", "const": "a"}, {"type": "string", "enum": ["a"]}),
        ({"oneOf": [{"type": "string", "pattern": "a"}]}, {"anyOf": [{"type": "string"}]}),
        (
            {"type": "object", "properties": {"pattern": {"type": "string"}}, "additionalProperties": False},
            {"type": "object", "properties": {"pattern": {"type": "string"}}, "additionalProperties": False},
        ),
        (
            {"type": "array", "items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": "integer", "pattern": "x"}}},
            {"type": "array", "items": {"type": "integer"}},
        ),
        (
            {"$ref": "#/$defs/a~1b", "description": "mine", "$defs": {"a/b": {"type": "integer", "description": "d"}}},
            {"type": "integer", "description": "mine"},
        ),
        ({"$ref": "https://elsewhere/x", "description": "d"}, {"description": "d"}),
        ({"$ref": "#/$defs/none"}, {}),
        (
            {"allOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}, {"properties": {"b": {}}}]},
            {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"]},
        ),
        ({"allOf": [{"type": "string"}], "title": "t"}, {"type": "string", "title": "t"}),
        ({"type": "array", "prefixItems": [{"const": 1}]}, {"type": "array", "prefixItems": [{"enum": [1]}]}),
        ({"additionalProperties": {"type": "string", "default": ""}}, {"additionalProperties": {"type": "string"}}),
    ],
)
def test_a_schema_is_written_with_the_keywords_that_gemini_takes(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert write_schema(schema) == expected


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}
    assert write_schema({"$ref": "#/$defs/tree", "$defs": {"tree": tree}}) == {
        "type": "object",
        "properties": {"next": {}},
    }


def test_references_that_unfold_without_end_are_cut() -> None:
    definitions = {
        f"d{level}": {"properties": {name: {"$ref": f"#/$defs/d{level + 1}"} for name in "abcdefgh"}}
        for level in range(12)
    }
    written = write_schema({"$ref": "#/$defs/d0", "$defs": definitions})
    assert str(written).count("properties") < 10_000


def test_a_schema_of_great_depth_is_cut() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    assert str(write_schema(schema)).count("array") < 100
    assert read_schema(schema)["type"] == "array"


def test_the_schema_of_the_caller_is_not_changed() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
    write_schema(schema)
    assert schema == {"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}
