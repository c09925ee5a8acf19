"""The pure parts of the sandbox: options, token counting, the memory of prompts, sample values."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sandbox.faults import FaultCounter
from gateway.sandbox.patterns import matching_text
from gateway.sandbox.samples import sample
from gateway.sandbox.script import MODELS, Behaviour, Fault, Script, UnknownModel, read_script
from gateway.sandbox.tokens import PromptMemory, count, pieces, segment


def test_options_are_read_from_the_name_and_the_header() -> None:
    script = read_script("sandbox-echo;first_ms=300;gap_ms=20;words=50;fail=500x2,cut;cached=0.5", "words=7")
    assert script == Script(
        first_ms=300, gap_ms=20, words=7, fail=(Fault("500", 2), Fault("cut")), cached=Decimal("0.5")
    )


def test_every_model_of_the_list_can_be_read() -> None:
    assert {read_script(name).behaviour for name in MODELS} == set(get_args(Behaviour))


def test_a_name_that_is_not_in_the_list_is_unknown() -> None:
    with pytest.raises(UnknownModel):
        read_script("sandbox-echo-2")


@settings(max_examples=100)
@given(st.text())
def test_the_tokens_of_a_text_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert count(text) == len(pieces(text))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("two words", 2), ("incomprehensible", 2), ("你好, world!", 5), ("a\n\n b ", 2), ("  ", 1)],
)
def test_tokens_are_counted_by_the_documented_rule(text: str, tokens: int) -> None:
    assert count(text) == tokens


def test_a_memory_forgets_the_oldest_prompt_first() -> None:
    memory = PromptMemory(b"k" * 16, size=2)
    one, two, three = ([segment(f"{word} " * 64)] for word in ("one", "two", "three"))
    for prompt in (one, two, three):
        assert memory.meet_automatic("m", prompt).cache_read == 0
    assert memory.meet_automatic("m", two).cache_read == 64
    assert memory.meet_automatic("m", one).cache_read == 0


def test_a_memory_keeps_models_apart() -> None:
    memory = PromptMemory(b"k" * 16)
    prompt = [segment("word " * 64)]
    memory.meet_automatic("one", prompt)
    assert memory.meet_automatic("two", prompt).cache_read == 0


def test_the_parts_of_a_prompt_add_up() -> None:
    memory = PromptMemory(b"k" * 16)
    prompt = [segment("a " * 70, mark="1h"), segment("b " * 30), segment("c " * 10, mark="5m"), segment("d " * 5)]
    first, second = memory.meet_marked("m", prompt), memory.meet_marked("m", prompt)
    assert (first.total, first.cache_read, first.uncached) == (115, 0, 5)
    assert (first.cache_write_long, first.cache_write) == (70, 40)
    assert (second.cache_read, second.cache_write, second.uncached) == (110, 0, 5)


def test_fault_counters_are_bounded() -> None:
    counter = FaultCounter(size=1)
    once = (Fault("500", 1),)
    assert counter.next("a", once) == once[0]
    assert counter.next("b", once) == once[0]
    assert counter.next("a", once) == once[0]  # forgotten, so it begins again
    assert counter.next("a", once) is None


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "sample value"),
        ({"type": "string", "minLength": 20}, "sample value........"),
        ({"type": "string", "maxLength": 3}, "sam"),
        ({"type": "string", "format": "date"}, "2026-01-15"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 5}, 5),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True}, [1, 2, 3]),
        ({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False}, [1, True]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer", "minimum": 4}}}, 4),
        (
            {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "boolean"}}}]},
            {"a": 1, "b": True},
        ),
        ({"type": "object", "required": ["extra"]}, {"extra": "sample extra"}),
        ({}, "sample value"),
    ],
)
def test_samples_fit_their_schema(schema: dict[str, Any], value: object) -> None:
    assert sample(schema) == value


def test_a_recursive_schema_ends() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "value": {"type": "integer"}},
        "required": ["value"],
    }
    value, depth = sample(node), 0
    while "next" in value:
        assert value["value"] == 1
        value, depth = value["next"], depth + 1
    assert 0 < depth < 10


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"$ref": "#"},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
    ],
)
def test_a_schema_without_an_end_is_given_up(schema: dict[str, Any]) -> None:
    with pytest.raises(RecursionError):
        sample(schema)


@pytest.mark.parametrize(
    "pattern",
    [r"^[A-Z]{2}\d{4}$", r"^(foo|bar)-[^a-y]+$", r"^\w+@\w+\.com$", r"^a{2,}b?$", r"^[^,]*$", r"^\+?[0-9 ]{3,5}$"],
)
def test_a_text_is_found_for_a_pattern(pattern: str) -> None:
    text = matching_text(pattern)
    assert text is not None
    assert re.search(pattern, text)


def test_a_pattern_that_is_too_hard_is_left_alone() -> None:
    assert matching_text(r"(?=x)y") is None
    assert matching_text(r"((a{1000}){1000}){1000}") is None
    assert matching_text(r"(") is None
