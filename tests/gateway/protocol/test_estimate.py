from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.conversation import (
    Audio,
    Conversation,
    File,
    ForeignTool,
    Image,
    Opaque,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocol.estimate import likely_tokens, prompt_tokens_upper, text_tokens

# Real counts of the o200k vocabulary.
ENGLISH = "The quick brown fox jumps over the lazy dog. " * 20  # 200 tokens
CHINESE = "今天天气很好，我们去公园散步吧。" * 20  # about 220 tokens


def asked(*parts: Part, tools: tuple[Tool | ForeignTool, ...] = (), **more: object) -> Conversation:
    return Conversation(model="m", turns=(Turn("user", parts),), tools=tools, **more)  # type: ignore[arg-type]


def test_the_middle_estimate_is_near_the_truth() -> None:
    assert 170 <= text_tokens(ENGLISH) <= 260
    assert 180 <= text_tokens(CHINESE) <= 300


def test_the_upper_estimate_is_above_it() -> None:
    for text in (ENGLISH, CHINESE, "naïve café " * 50, "😀" * 50):
        assert prompt_tokens_upper(asked(Text(text))) > text_tokens(text) * 1.2


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("\ud800", 1)])
def test_small_texts_count(text: str, tokens: int) -> None:
    assert text_tokens(text) == tokens


NOTHING = prompt_tokens_upper(asked())


@pytest.mark.parametrize(
    ("part", "least"),
    [
        (Image(url="https://x"), 1600),
        (File(data="A" * 100_000), 6000),
        (File(text=ENGLISH), 200),
        (File(file_id="f"), 1600),
        (Audio("A" * 100_000, "wav"), 400),
        (ToolCall("c", "f", '{"a": "bcd"}' * 20), 100),
        (ToolResult("c", (Text(ENGLISH), Image(url="https://x"))), 1800),
        (Reasoning(ENGLISH), 200),
        (Reasoning(redacted="A" * 700), 200),
        (Opaque("d", "k", {"a": ENGLISH}), 300),
    ],
)
def test_every_kind_of_part_counts(part: Part, least: int) -> None:
    assert prompt_tokens_upper(asked(part)) - NOTHING >= least


def test_tools_and_schemas_count() -> None:
    schema = {"type": "object", "properties": {"a": {"description": ENGLISH}}}
    tool = Tool("f", "d", schema)
    assert prompt_tokens_upper(asked(tools=(tool,))) - NOTHING >= 700
    assert prompt_tokens_upper(asked(tools=(ForeignTool("d", "k", schema),))) - NOTHING >= 700
    assert prompt_tokens_upper(asked(response_format=ResponseFormat("json_schema", schema=schema))) - NOTHING >= 200


def test_nesting_too_deep_to_measure_still_counts() -> None:
    deep: dict[str, object] = {}
    for _ in range(400):
        deep = {"a": deep}
    assert prompt_tokens_upper(asked(Opaque("d", "k", deep))) > NOTHING


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(first: str, second: str) -> None:
    assert text_tokens(first + second) >= text_tokens(first) >= (1 if first else 0)


@given(st.lists(st.text(max_size=12)))
def test_the_pieces_of_a_text_come_to_as_much_as_the_whole(pieces: list[str]) -> None:
    assert sum(map(likely_tokens, pieces)) == pytest.approx(likely_tokens("".join(pieces)))
    assert text_tokens("".join(pieces)) - 1 <= likely_tokens("".join(pieces)) + 1e-9
