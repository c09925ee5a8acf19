from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.usage import TokenUsage
from gateway.protocol.anthropic_messages import usage as messages
from gateway.protocol.openai_chat import usage as chat

CHAT = [
    # (what, usage object, buckets that are not zero, flags)
    (
        "cached inside the prompt, reasoning inside the completion",
        {
            "prompt_tokens": 1000,
            "completion_tokens": 60,
            "total_tokens": 1060,
            "prompt_tokens_details": {"cached_tokens": 800},
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
        {"input": 200, "cache_read": 800, "output": 10, "reasoning": 50},
        (),
    ),
    (
        "xAI: reasoning outside the completion",
        {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 160,
            "completion_tokens_details": {"reasoning_tokens": 50},
        },
        {"input": 100, "output": 10, "reasoning": 50},
        (),
    ),
    (
        "Gemini's OpenAI surface: thoughts only in the total",
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
        {"input": 35, "output": 12, "reasoning": 62},
        (),
    ),
    (
        "DeepSeek: the same hit in two places is one hit",
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
        {"input": 36, "cache_read": 64, "output": 5},
        (),
    ),
    (
        "DeepSeek: the hit in its own field alone",
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_cache_hit_tokens": 64},
        {"input": 36, "cache_read": 64, "output": 5},
        (),
    ),
    (
        "Kimi: cached at the top",
        {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 40, "cache_write_tokens": 10},
        {"input": 50, "cache_read": 40, "cache_write": 10, "output": 5},
        (),
    ),
    (
        "audio on both sides",
        {
            "prompt_tokens": 50,
            "completion_tokens": 30,
            "total_tokens": 80,
            "prompt_tokens_details": {"audio_tokens": 20},
            "completion_tokens_details": {"audio_tokens": 25},
        },
        {"input": 30, "input_audio": 20, "output": 5, "output_audio": 25},
        (),
    ),
    (
        "Mistral: audio only in the total",
        {
            "prompt_tokens": 9,
            "completion_tokens": 248,
            "total_tokens": 632,
            "prompt_tokens_details": {"audio_tokens": 375},
        },
        {"input": 9, "input_audio": 375, "output": 248},
        (),
    ),
    (
        "more cached than there was",
        {"prompt_tokens": 7, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 161}},
        {"cache_read": 7, "output": 8},
        ("clamped",),
    ),
    (
        "more reasoning than there was",
        {"prompt_tokens": 43, "completion_tokens": 10, "completion_tokens_details": {"reasoning_tokens": 11}},
        {"input": 43, "reasoning": 10},
        ("clamped",),
    ),
    (
        "a total that fits nothing",
        {
            "prompt_tokens": 10,
            "completion_tokens": 10,
            "total_tokens": 50,
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
        {"input": 10, "output": 7, "reasoning": 3},
        ("total_mismatch",),
    ),
    (
        "numbers of other types",
        {"prompt_tokens": "12", "completion_tokens": 3.0, "prompt_tokens_details": None},
        {"input": 12, "output": 3},
        ("odd_number",),
    ),
    (
        "negative and absurd numbers",
        {"prompt_tokens": -5, "completion_tokens": 10**12},
        {"output": 10**9},
        ("clamped",),
    ),
    (
        "searches",
        {"prompt_tokens": 1, "completion_tokens": 1, "num_search_queries": 2},
        {"input": 1, "output": 1, "web_search": 2},
        (),
    ),
    (
        "the names of the other protocol",
        {"input_tokens": 4, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 1}},
        {"input": 3, "cache_read": 1, "output": 2},
        (),
    ),
]


@pytest.mark.parametrize(("usage", "buckets", "flags"), [row[1:] for row in CHAT], ids=[row[0] for row in CHAT])
def test_chat_usage_becomes_disjoint_buckets(
    usage: dict[str, Any], buckets: dict[str, int], flags: tuple[str, ...]
) -> None:
    report = chat.read_usage(usage)
    assert report is not None
    assert report.usage == TokenUsage(**buckets)
    assert report.flags == flags


@pytest.mark.parametrize("value", [None, {}, [], "x", 3, {"cost": 0.1}, {"prompt_tokens": None}])
def test_no_counts_are_no_report(value: Any) -> None:
    assert chat.read_usage(value) is None
    assert messages.read_usage(value) is None


@pytest.mark.parametrize(
    "body",
    [
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4}},
        {"usage": None, "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}},
        {"choices": [{"usage": {"prompt_tokens": 3, "completion_tokens": 4}}]},
    ],
)
def test_chat_usage_is_found_where_it_is(body: dict[str, Any]) -> None:
    report = chat.usage_in_body(body)
    assert report is not None
    assert report.usage == TokenUsage(input=3, output=4)


@pytest.mark.parametrize("body", [{}, {"x_groq": {}}, {"choices": []}, {"choices": [None]}])
def test_a_chunk_without_usage_has_none(body: dict[str, Any]) -> None:
    assert chat.usage_in_body(body) is None


MESSAGES = [
    (
        {
            "input_tokens": 3,
            "cache_read_input_tokens": 10,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 60},
            "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 5},
            "server_tool_use": {"web_search_requests": 2},
        },
        TokenUsage(
            input=3,
            cache_read=10,
            cache_write=40,
            cache_write_long=60,
            output=15,
            reasoning=5,
            web_search=2,
        ),
        (),
    ),
    ({"input_tokens": 3, "output_tokens": 2}, TokenUsage(input=3, output=2), ()),
    ({"input_tokens": 1, "cache_creation_input_tokens": 9}, TokenUsage(input=1, cache_write=9), ()),
    (
        {"input_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5}},
        TokenUsage(input=1, cache_write=4, cache_write_long=5),
        (),
    ),
    (
        {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 9}},
        TokenUsage(input=1, reasoning=2),
        ("clamped",),
    ),
]


@pytest.mark.parametrize(("value", "usage", "flags"), MESSAGES)
def test_messages_usage_becomes_disjoint_buckets(
    value: dict[str, Any], usage: TokenUsage, flags: tuple[str, ...]
) -> None:
    report = messages.read_usage(value)
    assert report is not None
    assert (report.usage, report.flags) == (usage, flags)


def test_the_opening_counts_have_no_output_and_say_that_they_are_not_final() -> None:
    report = messages.opening_report({"input_tokens": 5, "output_tokens": 8})
    assert report is not None
    assert report.usage == TokenUsage(input=5)
    assert report.flags == ("opening",)
    assert messages.opening_report(None) is None
    assert messages.opening_report({}) is None


def test_later_counts_replace_earlier_ones_and_nulls_do_not() -> None:
    start = {"input_tokens": 2068, "cache_read_input_tokens": 7, "output_tokens": 4}
    assert messages.overlay(start, {"input_tokens": 22397, "output_tokens": 20, "cache_read_input_tokens": None}) == {
        "input_tokens": 22397,
        "cache_read_input_tokens": 7,
        "output_tokens": 20,
    }
    assert messages.overlay(start, None) == start


def test_the_same_prompt_counts_the_same_in_both_dialects() -> None:
    openai = chat.read_usage(
        {"prompt_tokens": 1000, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 800}}
    )
    anthropic = messages.read_usage({"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 1})
    assert openai is not None
    assert anthropic is not None
    assert openai.usage == anthropic.usage
    assert chat.write_usage(anthropic.usage)["prompt_tokens"] == 1000
    assert messages.write_usage(openai.usage)["input_tokens"] == 200


COUNT = st.integers(0, 100_000)


@given(COUNT, COUNT, COUNT, COUNT, COUNT)
def test_both_dialects_give_back_what_was_written(
    fresh: int, cached: int, written: int, output: int, reasoning: int
) -> None:
    usage = TokenUsage(input=fresh, cache_read=cached, cache_write=written, output=output, reasoning=reasoning)
    for dialect in (chat, messages):
        report = dialect.read_usage(dialect.write_usage(usage, {"cost": "0.1"}))  # type: ignore[attr-defined]
        assert report is not None
        assert (report.usage, report.flags) == (usage, ())


NUMBERS = st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none(), st.booleans(), st.lists(st.integers()))
NAMES = st.sampled_from(
    [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "cached_tokens",
        "reasoning_tokens",
        "input_tokens",
        "output_tokens",
        "audio_tokens",
        "cache_write_tokens",
        "thinking_tokens",
        "ephemeral_1h_input_tokens",
        "cache_creation_input_tokens",
        "image_tokens",
        "num_search_queries",
    ]
)
DETAILS = st.sampled_from(
    ["prompt_tokens_details", "completion_tokens_details", "cache_creation", "output_tokens_details"]
)
OBJECTS = st.one_of(
    st.dictionaries(NAMES, NUMBERS),
    st.builds(
        lambda top, inner: {**top, **inner},
        st.dictionaries(NAMES, NUMBERS),
        st.dictionaries(DETAILS, st.dictionaries(NAMES, NUMBERS)),
    ),
)


@given(OBJECTS)
def test_no_usage_object_raises_or_gives_a_negative_bucket(value: dict[str, Any]) -> None:
    # TokenUsage itself refuses negative counts, so to be built is the proof.
    chat.read_usage(value)
    messages.read_usage(value)
    messages.opening_report(value)
