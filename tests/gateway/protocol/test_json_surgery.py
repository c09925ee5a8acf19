"""Members are cut out of JSON and places are found in it, whatever its spacing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.json_surgery import place_of, without_members

NAMES = st.sampled_from(["cost", "total_cost", "usage", "a", 'b"c', "", "{", "é"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
SPACINGS = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}, {"separators": (" , ", "\n:")}])


def is_cost(name: str) -> bool:
    return "cost" in name


@given(OBJECTS, SPACINGS)
def test_only_what_is_unwanted_goes(value: dict[str, Any], spacing: dict[str, Any]) -> None:
    text = json.dumps(value, **spacing)
    cut = without_members(text, 0, is_cost)
    assert json.loads(cut) == {name: inner for name, inner in value.items() if "cost" not in name}
    if not any(map(is_cost, value)):
        assert cut == text


@given(VALUES, SPACINGS, st.lists(NAMES | st.integers(0, 2), max_size=3))
def test_a_place_is_found_as_a_parser_finds_it(value: Any, spacing: dict[str, Any], path: list[str | int]) -> None:
    text = " " + json.dumps(value, **spacing)
    found = value
    for step in path:
        try:
            found = found[step]
        except (TypeError, KeyError, IndexError):
            assert place_of(text, tuple(path)) == -1
            return
        if isinstance(found, str) and isinstance(step, int) and not isinstance(value, list | dict):
            return
    if _through_text(value, path):
        return
    place = place_of(text, tuple(path))
    assert json.JSONDecoder().raw_decode(text, place)[0] == found


def _through_text(value: Any, path: list[str | int]) -> bool:
    """Python finds letters in a text by their numbers."""
    for step in path:
        if isinstance(value, str):
            return True
        value = value[step]
    return False


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"a":', '{"a":1', '{"a" 1}', "[1", "{1:2}x", "[" * 100_000])
def test_what_is_no_json_is_said(text: str) -> None:
    for path in (("a", "b"), (0, 0)):
        try:
            assert place_of(text, path) == -1
        except ValueError:
            pass


def test_a_name_that_comes_twice_means_the_last() -> None:
    assert place_of('{"a":1,"a":{"b":2}}', ("a", "b")) == 16
