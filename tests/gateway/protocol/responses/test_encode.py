"""Conversations of any dialect as Responses requests."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.protocol.conversation import (
    Audio,
    Conversation,
    CustomFormat,
    File,
    ForeignTool,
    Image,
    Opaque,
    Part,
    Reasoning,
    ReasoningControls,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from tests.gateway.protocol.responses.asking import encode

ASKED = Turn(role="user", parts=(Text("Hi"),))
QUESTION = Conversation(model="m", turns=(ASKED,), dialect="openai_chat")
CLOSED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def items(*turns: Turn, dialect: str = "openai_chat") -> list[dict[str, Any]]:
    body, _ = encode(replace(QUESTION, turns=turns, dialect=dialect))
    return body["input"]  # type: ignore[no-any-return]


def said(*parts: Part) -> Turn:
    return Turn(role="assistant", parts=parts)


def test_a_plain_question_stores_nothing_and_asks_for_encrypted_reasoning() -> None:
    body, dropped = encode(QUESTION)
    assert body == {
        "model": "gpt-5.5",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    assert dropped == ()


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "openai/gpt-4o", "gpt-3.5-turbo", "chatgpt-4o-latest", "gpt-5-chat"])
def test_models_without_reasoning_are_not_asked_for_it(model: str) -> None:
    wish = replace(QUESTION, reasoning=ReasoningControls(effort="low"))
    body, dropped = encode(wish, model=model)
    assert "include" not in body
    assert "reasoning" not in body
    assert dropped == ("reasoning_effort",)


def test_leading_system_texts_are_instructions_and_later_ones_stay_in_place() -> None:
    system = Turn(role="system", parts=(Text("A"), Text("B")))
    late = Turn(role="system", parts=(Text("C"),))
    developer = Turn(role="developer", parts=(Text("D"),))
    body, _ = encode(replace(QUESTION, turns=(system, developer, ASKED, late)))
    assert body["instructions"] == "A\n\nB\n\nD"
    assert [item["role"] for item in body["input"]] == ["user", "developer"]


def test_a_request_of_system_text_alone_has_something_to_answer() -> None:
    body, _ = encode(replace(QUESTION, turns=(Turn(role="system", parts=(Text("A"),)),)))
    assert "instructions" not in body
    assert body["input"] == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "A"}]}]


def test_claude_codes_version_block_is_left_out() -> None:
    system = Turn(role="system", parts=(Text("x-anthropic-billing-header: cc_version=1;"), Text("A")))
    body, dropped = encode(replace(QUESTION, turns=(system, ASKED), dialect="anthropic_messages"))
    assert body["instructions"] == "A"
    assert dropped == ()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (Text("a", cache="5m"), {"type": "input_text", "text": "a"}),
        (Image("https://a/b.png"), {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"}),
        (
            Image(data="AA==", media_type="image/gif", detail="low"),
            {"type": "input_image", "image_url": "data:image/gif;base64,AA==", "detail": "low"},
        ),
        (File(url="https://a/b.pdf", name="b"), {"type": "input_file", "file_url": "https://a/b.pdf"}),
        (
            File(data="AA==", media_type="application/pdf"),
            {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ),
        (File(file_id="file-1"), {"type": "input_file", "file_id": "file-1"}),
        (File(text="body", name="a.txt"), {"type": "input_text", "text": "a.txt\n\nbody"}),
        (Audio("AA==", "wav"), {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}),
    ],
)
def test_every_kind_of_content_is_written(part: Part, expected: dict[str, Any]) -> None:
    (item,) = items(Turn(role="user", parts=(part,)))
    assert item["content"] == [expected]


def test_what_only_another_dialect_understands_is_named() -> None:
    part = Opaque("anthropic_messages", "search_result", {"type": "search_result"})
    body, dropped = encode(replace(QUESTION, turns=(Turn(role="user", parts=(Text("Hi"), part)),)))
    assert len(body["input"][0]["content"]) == 1
    assert dropped == ("search_result",)


def test_an_answer_with_calls_and_their_results_keeps_its_order() -> None:
    written = items(
        ASKED,
        said(
            Reasoning("why", redacted="E", origin="openai_responses", id="rs_1"),
            Text("I will."),
            Refusal("Not that."),
            ToolCall("c1", "f", ""),
            ToolCall("c2", "patch", "*** x", custom=True),
        ),
        Turn(
            role="tool",
            parts=(
                ToolResult("c1", (Text("one"),)),
                ToolResult("c2", (Text("two"), Image("https://a/b.png"))),
            ),
        ),
        Turn(role="user", parts=(ToolResult("c3", (Text("bad"),), is_error=True), Text("So?"))),
    )
    assert written[1:] == [
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "E",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "I will."}, {"type": "refusal", "refusal": "Not that."}],
        },
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** x"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [
                {"type": "input_text", "text": "two"},
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "auto"},
            ],
        },
        {"type": "function_call_output", "call_id": "c3", "output": "Error: bad"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "So?"}]},
    ]


def test_reasoning_of_other_makers_and_without_content_stays_behind_unnamed() -> None:
    turn = said(
        Reasoning("a", signature="s", origin="anthropic_messages"),
        Reasoning("b", origin="openai_chat"),
        Reasoning("c"),
        Text("Hi"),
    )
    body, dropped = encode(replace(QUESTION, turns=(ASKED, turn)))
    assert [item["type"] for item in body["input"]] == ["message", "message"]
    assert dropped == ()


def test_reasoning_that_nothing_follows_is_left_out() -> None:
    assert len(items(ASKED, said(Reasoning(redacted="E", origin="openai_responses")))) == 1


def test_long_ids_are_cut_alike_for_a_call_and_its_result() -> None:
    long_id = "call_" + "x" * 80
    _, call, result = items(
        ASKED, said(ToolCall(long_id, "f", "{}")), Turn(role="tool", parts=(ToolResult(long_id, (Text("1"),)),))
    )
    assert len(call["call_id"]) == 64
    assert call["call_id"] == result["call_id"]


def test_tools_keep_their_own_forms() -> None:
    conversation = replace(
        QUESTION,
        tools=(
            Tool("f", "F", {"$schema": "x", "type": "object"}, cache="5m"),
            Tool("g", strict=True),
            Tool("patch", custom=CustomFormat("lark", "start: X")),
            Tool("free", custom=CustomFormat()),
            Tool("a", namespace="ns"),
            Tool("b", namespace="ns", custom=CustomFormat()),
            Tool("later", deferred=True),
            ForeignTool("anthropic_messages", "web_search_20250305", {}),
        ),
        tool_choice=ToolChoice("named", "patch"),
        parallel_tools=False,
    )
    body, dropped = encode(conversation)
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "F", "parameters": {"type": "object"}, "strict": False},
        {"type": "function", "name": "g", "parameters": empty, "strict": True},
        {
            "type": "custom",
            "name": "patch",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: X"},
        },
        {"type": "custom", "name": "free", "format": {"type": "text"}},
        {
            "type": "namespace",
            "name": "ns",
            "description": "",
            "tools": [
                {"type": "function", "name": "a", "parameters": empty, "strict": False},
                {"type": "custom", "name": "b", "format": {"type": "text"}},
            ],
        },
    ]
    assert body["tool_choice"] == {"type": "custom", "name": "patch"}
    assert body["parallel_tool_calls"] is False
    assert dropped == ("tools.defer_loading", "tools[web_search_20250305]")


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("required"), "required"),
        (ToolChoice("named", "f"), {"type": "function", "name": "f"}),
        (
            ToolChoice("auto", allowed=("f",)),
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_every_tool_choice_is_written(choice: ToolChoice, expected: Any) -> None:
    body, _ = encode(replace(QUESTION, tools=(Tool("f"),), tool_choice=choice))
    assert body["tool_choice"] == expected


def test_a_choice_without_tools_is_not_written() -> None:
    body, _ = encode(replace(QUESTION, tool_choice=ToolChoice("auto"), parallel_tools=True))
    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("openai_chat", ("top_k", "stop", "seed", "frequency_penalty", "presence_penalty", "n")),
        ("anthropic_messages", ("top_k", "stop_sequences", "seed", "frequency_penalty", "presence_penalty", "n")),
        (
            "gemini_generate",
            tuple(
                f"generationConfig.{name}"
                for name in ("topK", "stopSequences", "seed", "frequencyPenalty", "presencePenalty", "candidateCount")
            ),
        ),
    ],
)
def test_what_the_dialect_lacks_is_named_in_the_callers_words(dialect: str, words: tuple[str, ...]) -> None:
    sampling = Sampling(
        temperature=0.5, top_p=0.9, top_k=5, stop=("x",), seed=1, frequency_penalty=1, presence_penalty=1, n=2
    )
    body, dropped = encode(replace(QUESTION, sampling=sampling, dialect=dialect))
    assert dropped == words
    assert body["temperature"] == 0.5
    assert body["top_p"] == 0.9
    assert not set(body) & {"top_k", "stop", "seed", "n"}


@pytest.mark.parametrize(("own", "limit", "expected"), [(100, None, 100), (100, 50, 50), (1, None, 16), (None, 9, 16)])
def test_the_output_limit_is_never_below_what_openai_takes(own: int, limit: int, expected: int) -> None:
    body, _ = encode(replace(QUESTION, sampling=Sampling(max_output_tokens=own)), limit=limit)
    assert body["max_output_tokens"] == expected


@pytest.mark.parametrize(
    ("controls", "expected"),
    [
        (ReasoningControls(), None),
        (ReasoningControls(enabled=False), {"effort": "none"}),
        (ReasoningControls(effort="minimal"), {"effort": "minimal"}),
        (ReasoningControls(effort="max"), {"effort": "high"}),
        (ReasoningControls(budget_tokens=1000), {"effort": "low"}),
        (ReasoningControls(budget_tokens=5000), {"effort": "medium"}),
        (ReasoningControls(enabled=True, budget_tokens=20000), {"effort": "high", "summary": "auto"}),
        (ReasoningControls(enabled=True), {"summary": "auto"}),
    ],
)
def test_reasoning_wishes_are_written(controls: ReasoningControls, expected: Any) -> None:
    body, _ = encode(replace(QUESTION, reasoning=controls))
    assert body.get("reasoning") == expected


@pytest.mark.parametrize(
    ("dialect", "wish", "strict"),
    [
        ("openai_chat", ResponseFormat("json_schema", schema=CLOSED), False),
        ("openai_chat", ResponseFormat("json_schema", schema={}, strict=True), True),
        ("anthropic_messages", ResponseFormat("json_schema", schema=CLOSED), True),
        ("anthropic_messages", ResponseFormat("json_schema", schema={**CLOSED, "required": []}), False),
        ("anthropic_messages", ResponseFormat("json_schema", schema={"type": "array", "items": CLOSED}), True),
        ("anthropic_messages", ResponseFormat("json_schema", schema={"items": {"type": "object"}}), False),
    ],
)
def test_a_schema_is_strict_where_the_caller_can_rely_on_it(dialect: str, wish: ResponseFormat, strict: bool) -> None:
    body, _ = encode(replace(QUESTION, response_format=wish, dialect=dialect))
    form = body["text"]["format"]
    assert (form["type"], form["name"], form["strict"]) == ("json_schema", "answer", strict)
    assert form["schema"] == wish.schema


def test_further_wishes_are_written() -> None:
    conversation = replace(
        QUESTION,
        user="u" * 65,
        cache_key="k",
        service_tier="priority",
        verbosity="low",
        response_format=ResponseFormat("json_object"),
        metadata={"a": "b"},
        stream=True,
        extras={"logit_bias": {}, "stream_options": {}, "store": True},
    )
    body, dropped = encode(conversation)
    assert body["prompt_cache_key"] == "k"
    assert body["service_tier"] == "priority"
    assert body["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert body["stream"] is True
    assert body["store"] is False
    assert len(body["user"]) == 64
    assert "metadata" not in body
    assert dropped == ("logit_bias",)


def test_a_tier_of_another_maker_is_named() -> None:
    body, dropped = encode(replace(QUESTION, service_tier="standard_only"))
    assert "service_tier" not in body
    assert dropped == ("service_tier",)


def test_wishes_for_thinking_are_named_in_the_callers_words() -> None:
    controls = ReasoningControls(enabled=True, extras={"display": "omitted"})
    _, dropped = encode(replace(QUESTION, reasoning=controls, dialect="anthropic_messages"))
    assert dropped == ("thinking.display",)
