"""The request that goes on with a broken answer, and what of its stream may follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.continuation import (
    INSTRUCTION,
    MOST_KEPT_BYTES,
    Joint,
    PlainAnswer,
    is_plain,
    resumed,
    takes_prefill,
)
from gateway.protocol.conversation import (
    Conversation,
    ForeignTool,
    ReasoningControls,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    Turn,
)
from gateway.protocol.dialects import CODECS
from gateway.protocol.quirks.hosts import quirks_of
from gateway.protocol.reply import (
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)

ASKED = Conversation(model="a/b", turns=(Turn("user", (Text("Tell me"),)),), stream=True, dialect="openai_chat")
SAID = "Once upon a time there was a router that "
END = Finished(FinishReason.STOP)


def joined(said: str, *pieces: str) -> str:
    joint = Joint(said)
    events: list[StreamEvent] = []
    for piece in pieces:
        events += joint.feed([TextDelta(piece)])
    events += joint.feed([END])
    assert events[-1] == END
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_one_plain_text_with_or_without_own_tools_is_plain() -> None:
    assert is_plain(ASKED)
    assert is_plain(Conversation("a/b", ASKED.turns, tools=(Tool("f"),)))


@pytest.mark.parametrize(
    "more",
    [
        {"sampling": Sampling(n=2)},
        {"response_format": ResponseFormat("json_object")},
        {"tools": (ForeignTool("anthropic_messages", "web_search", {}),)},
        {"extras": {"logprobs": True}},
        {"extras": {"generationConfig.responseModalities": ["IMAGE"]}},
        {"turns": (*ASKED.turns, Turn("assistant", (Text("Once"),)))},
        {"turns": ()},
    ],
)
def test_whatever_asks_for_more_than_a_text_is_not(more: dict[str, object]) -> None:
    assert not is_plain(Conversation(**{"model": "a/b", "turns": ASKED.turns, **more}))  # type: ignore[arg-type]


def test_the_text_is_kept_with_reasoning_before_it() -> None:
    said = PlainAnswer()
    said.take([Started(), ReasoningDelta("hm"), SignatureDelta("s"), TextDelta("Once "), TextDelta("upon")])
    assert said.is_plain and said.text == "Once upon"


def test_without_a_word_there_is_nothing_to_go_on_from() -> None:
    said = PlainAnswer()
    said.take([Started(), ReasoningDelta("hm")])
    assert said.is_plain and not said.has_text


@pytest.mark.parametrize("event", [ToolCallDelta(0), RefusalDelta("no"), ReasoningDelta("hm"), END])
def test_anything_else_behind_the_text_makes_it_more_than_plain(event: StreamEvent) -> None:
    said = PlainAnswer()
    said.take([TextDelta("Once")])
    said.take([event])
    assert not said.is_plain and not said.text


def test_no_more_is_kept_than_the_bound() -> None:
    said = PlainAnswer()
    said.take([TextDelta("é" * (MOST_KEPT_BYTES // 2))])
    assert said.is_plain
    said.take([TextDelta("e")])
    assert not said.is_plain and not said.text


def test_who_takes_a_prefill_gets_the_text_as_last_turn_and_others_are_told() -> None:
    told = resumed(ASKED, SAID, prefill=False)
    assert [turn.role for turn in told.turns] == ["user", "assistant", "user"]
    assert told.turns[1].parts == (Text(SAID.rstrip()),) and told.turns[2].parts == (Text(INSTRUCTION),)
    assert [turn.role for turn in resumed(ASKED, SAID, prefill=True).turns] == ["user", "assistant"]
    assert resumed(ASKED, " \n", prefill=True) is ASKED


@pytest.mark.parametrize(
    ("dialect", "model", "host", "takes"),
    [
        ("anthropic_messages", "claude-sonnet-4-5", "anthropic", True),
        ("anthropic_messages", "claude-opus-4-6", "anthropic", False),
        ("anthropic_messages", "deepseek-chat", "deepseek", False),
        ("openai_chat", "mistral-large", "mistral", True),
        ("openai_chat", "gpt-5", "openai", False),
        ("gemini_generate", "gemini-3-pro", "google", False),
    ],
)
def test_prefill_goes_only_to_models_that_are_known_to_take_it(
    dialect: str, model: str, host: str, takes: bool
) -> None:
    assert takes_prefill(ASKED, dialect, model, quirks_of(host)) is takes
    thinking = Conversation("a/b", ASKED.turns, reasoning=ReasoningControls(effort="high"))
    assert not takes_prefill(thinking, dialect, model, quirks_of(host))


@pytest.mark.parametrize("prefill", [True, False])
@pytest.mark.parametrize("dialect", list(CODECS))
def test_every_dialect_can_say_it(dialect: str, prefill: bool) -> None:
    body = (
        CODECS[dialect]
        .encode_request(resumed(ASKED, SAID, prefill=prefill), upstream_model="m", max_output_tokens=9)
        .body
    )
    assert SAID.rstrip().encode() in body and (INSTRUCTION.encode() in body) is not prefill


def test_a_plain_continuation_passes() -> None:
    assert joined(SAID, "went", " home.") == "went home."


def test_white_space_that_was_not_sent_along_is_not_said_twice() -> None:
    assert joined(SAID, " went home.") == "went home."
    assert joined("def f():\n", "\n    return 1") == "    return 1"
    assert joined("def f():\n", "    return 1") == "    return 1"
    assert joined("a\n\n", "\n", "\n", "b") == "b"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_text_that_is_repeated_from_its_beginning_is_left_out(size: int) -> None:
    whole = SAID + "went home."
    assert joined(SAID, *(whole[at : at + size] for at in range(0, len(whole), size))) == "went home."


def test_what_only_begins_alike_is_kept() -> None:
    assert joined(SAID, "Once ", "more it went home.") == "Once more it went home."
    assert joined(SAID, "Once") == "Once"
    assert joined("ha ha", "ha ha") == "ha ha"


def test_it_says_whether_something_was_repeated_or_thought() -> None:
    joint = Joint(SAID)
    joint.feed([Started(), ReasoningDelta("hm"), SignatureDelta("s"), TextDelta(SAID + "went")])
    assert joint.repeated and joint.reasoned
    joint = Joint(SAID)
    assert joint.feed([Started(), TextDelta("went")]) == (TextDelta("went"),)
    assert not joint.repeated and not joint.reasoned


@given(st.text(), st.lists(st.text(min_size=1)))
def test_nothing_is_lost_but_what_was_said_already(said: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    got = joined(said, *pieces)
    assert text.endswith(got)
    assert said.startswith(text[: len(text) - len(got)]) or said.endswith(text[: len(text) - len(got)])
