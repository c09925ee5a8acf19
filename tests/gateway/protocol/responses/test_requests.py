"""Responses requests: every field, every kind of item."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.conversation import (
    Audio,
    Citation,
    CustomFormat,
    File,
    ForeignTool,
    Image,
    Opaque,
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
from gateway.protocol.envelope import seal
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.responses.asking import CODEC, decode, parts_of

GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}


def message(*content: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"type": "message", "role": role, "content": list(content)}


def test_a_request_is_read_whole() -> None:
    conversation = decode(
        instructions="Be brief.",
        temperature=0.5,
        top_p=1,
        max_output_tokens=50,
        parallel_tool_calls=False,
        stream=True,
        user="u1",
        safety_identifier="s1",
        metadata={"a": "b"},
        prompt_cache_key="k",
        service_tier="flex",
        text={"verbosity": "low", "format": {"type": "json_object"}},
        reasoning={"effort": "high", "summary": "auto", "context": "all_turns", "mode": "pro"},
        models=["x"],
        provider={"only": ["y"]},
    )
    assert conversation.dialect == "openai_responses"
    assert conversation.turns == (
        Turn(role="system", parts=(Text("Be brief."),)),
        Turn(role="user", parts=(Text("Hi"),)),
    )
    assert conversation.sampling == Sampling(temperature=0.5, top_p=1, max_output_tokens=50)
    assert conversation.parallel_tools is False
    assert conversation.stream
    assert conversation.include_usage
    assert conversation.user == "s1"
    assert conversation.metadata == {"a": "b"}
    assert conversation.cache_key == "k"
    assert conversation.service_tier == "flex"
    assert conversation.verbosity == "low"
    assert conversation.response_format == ResponseFormat("json_object")
    assert conversation.reasoning == ReasoningControls(effort="high", extras={"mode": "pro"})
    assert conversation.routing == {"models": ["x"], "provider": {"only": ["y"]}}
    assert conversation.extras == {}


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "input_text", "text": "a"}, Text("a")),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text("a", cache="5m"),
        ),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            Text("a", cache="1h"),
        ),
        (
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
            Image("https://a/b.png", detail="low"),
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
            Image(data="AA==", media_type="image/png"),
        ),
        (
            {"type": "input_image", "file_id": "file-1"},
            Opaque("openai_responses", "input_image", {"type": "input_image", "file_id": "file-1"}),
        ),
        ({"type": "input_file", "file_url": "https://a/b.pdf"}, File(url="https://a/b.pdf")),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "b.pdf"},
            File(data="AA==", media_type="application/pdf", name="b.pdf"),
        ),
        ({"type": "input_file", "file_id": "file-1"}, File(file_id="file-1")),
        ({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}, Audio("AA==", "wav")),
        ({"type": "refusal", "refusal": "No."}, Refusal("No.")),
        (
            {"type": "hologram", "x": 1},
            Opaque("openai_responses", "hologram", {"type": "hologram", "x": 1}),
        ),
    ],
)
def test_every_kind_of_content_is_read(part: dict[str, Any], expected: Any) -> None:
    assert parts_of(message(part)) == (expected,)


def test_annotations_of_an_earlier_answer_are_citations() -> None:
    annotations = [
        {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2},
        {"type": "file_citation", "file_id": "f", "filename": "x", "index": 1},
    ]
    text = {"type": "output_text", "text": "Hi", "annotations": annotations, "logprobs": []}
    assert parts_of(message(text, role="assistant")) == (
        Text("Hi", citations=(Citation("https://a", "A", start=0, end=2),)),
    )


@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_a_message_needs_no_type_and_may_hold_plain_text(role: str) -> None:
    assert decode(input=[{"role": role, "content": "Hi"}]).turns == (Turn(role=role, parts=(Text("Hi"),)),)  # type: ignore[arg-type]


def test_what_the_model_said_and_did_is_one_turn_and_its_results_are_another() -> None:
    conversation = decode(
        input=[
            {"role": "user", "content": "Go"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E", "content": None},
            message({"type": "output_text", "text": "I will."}, role="assistant"),
            {
                "type": "function_call",
                "id": "fc_1",
                "call_id": "c1",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
            {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** x", "namespace": "ns"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {
                "type": "custom_tool_call_output",
                "call_id": "c2",
                "output": [
                    {"type": "input_text", "text": "two"},
                    {"type": "input_image", "image_url": "https://a/b.png"},
                ],
            },
            {"role": "user", "content": "Thanks"},
        ]
    )
    assert conversation.turns == (
        Turn(role="user", parts=(Text("Go"),)),
        Turn(
            role="assistant",
            parts=(
                Reasoning(redacted="E", origin="openai_responses", id="rs_1"),
                Text("I will."),
                ToolCall("c1", "f", "{}"),
                ToolCall("c2", "patch", "*** x", custom=True, namespace="ns"),
            ),
        ),
        Turn(
            role="tool",
            parts=(ToolResult("c1", (Text("one"),)), ToolResult("c2", (Text("two"), Image("https://a/b.png")))),
        ),
        Turn(role="user", parts=(Text("Thanks"),)),
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]},
            Reasoning("a\n\nb"),
        ),
        ({"summary": [], "content": [{"type": "reasoning_text", "text": "a"}]}, Reasoning("a")),
        (
            {"id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": "E"},
            Reasoning("a", redacted="E", origin="openai_responses", id="rs_1"),
        ),
    ],
)
def test_every_form_of_reasoning_is_read(item: dict[str, Any], expected: Reasoning) -> None:
    assert parts_of({"type": "reasoning", **item}) == (expected,)


def test_sealed_reasoning_gets_its_own_form_back() -> None:
    piece = Reasoning("thought", signature="sig", origin="anthropic_messages")
    item = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": seal(piece, with_text=True)}
    assert parts_of(item) == (piece,)


def test_a_broken_seal_is_left_out() -> None:
    items = [{"type": "reasoning", "summary": [], "encrypted_content": "r1.%%"}, {"role": "user", "content": "Hi"}]
    assert decode(input=items).turns == (Turn(role="user", parts=(Text("Hi"),)),)


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("web_search_call", "assistant"),
        ("tool_search_output", "assistant"),
        ("compaction", "assistant"),
        ("compaction_trigger", "user"),
        ("item_reference", "user"),
        ("something_new", "user"),
    ],
)
def test_other_items_are_kept_whole(kind: str, role: str) -> None:
    item = {"type": kind, "id": "x"}
    (turn,) = decode(input=[item]).turns
    assert turn == Turn(role=role, parts=(Opaque("openai_responses", kind, item),))  # type: ignore[arg-type]


def test_every_kind_of_tool_is_read() -> None:
    function = {"type": "function", "name": "f", "description": "F", "parameters": {"type": "object"}, "strict": True}
    conversation = decode(
        tools=[
            function,
            {"type": "function", "name": "later", "parameters": None, "defer_loading": True},
            {"type": "custom", "name": "patch", "description": "P", "format": GRAMMAR},
            {"type": "custom", "name": "free"},
            {
                "type": "namespace",
                "name": "ns",
                "description": "N",
                "tools": [function, {"type": "custom", "name": "c"}],
            },
            {"type": "web_search"},
        ]
    )
    about = {"namespace_description": "N"}
    assert conversation.tools == (
        Tool("f", "F", {"type": "object"}, strict=True),
        Tool("later", deferred=True),
        Tool("patch", "P", custom=CustomFormat("lark", "start: /.+/")),
        Tool("free", custom=CustomFormat()),
        Tool("f", "F", {"type": "object"}, strict=True, namespace="ns", extras=about, origin="openai_responses"),
        Tool("c", custom=CustomFormat(), namespace="ns", extras=about, origin="openai_responses"),
        ForeignTool("openai_responses", "web_search", {"type": "web_search"}),
    )


def test_tools_that_come_as_an_item_are_tools() -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [{"type": "function", "name": "f"}]}
    conversation = decode(input=[item, {"role": "user", "content": "Hi"}])
    assert conversation.tools == (Tool("f"),)
    assert conversation.turns == (Turn(role="user", parts=(Text("Hi"),)),)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", "f")),
        ({"type": "custom", "name": "patch"}, ToolChoice("named", "patch")),
        ({"type": "function", "name": "deep"}, ToolChoice("named", "ns__deep")),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "mcp"}],
            },
            ToolChoice("required", allowed=("f",)),
        ),
    ],
)
def test_every_tool_choice_is_read(choice: Any, expected: ToolChoice) -> None:
    tools = [
        {"type": "function", "name": "f"},
        {"type": "custom", "name": "patch"},
        {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "deep"}]},
    ]
    assert decode(tools=tools, tool_choice=choice).tool_choice == expected


@pytest.mark.parametrize("kind", ["web_search_preview", "mcp", "programmatic_tool_calling"])
def test_the_choice_of_a_providers_own_tool_stays_as_it_is(kind: str) -> None:
    conversation = decode(tool_choice={"type": kind})
    assert conversation.tool_choice is None
    assert conversation.extras == {"tool_choice": {"type": kind}}


def test_a_schema_is_a_response_format() -> None:
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    assert decode(text={"format": form}).response_format == ResponseFormat(
        "json_schema", name="n", schema={"type": "object"}, strict=True, description="d"
    )


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        (None, ReasoningControls()),
        ({"effort": "none"}, ReasoningControls(enabled=False)),
        ({"effort": "xhigh"}, ReasoningControls(effort="xhigh")),
        ({"max_tokens": 500, "enabled": True}, ReasoningControls(enabled=True, budget_tokens=500)),
    ],
)
def test_reasoning_wishes_are_read(reasoning: Any, expected: ReasoningControls) -> None:
    assert decode(reasoning=reasoning).reasoning == expected


def test_only_what_changes_the_answer_counts_as_further_field() -> None:
    conversation = decode(
        store=False,
        include=["reasoning.encrypted_content", "message.output_text.logprobs"],
        truncation="disabled",
        top_logprobs=0,
        client_metadata={"a": "b"},
        stream_options={"include_obfuscation": False},
        prompt_cache_retention="24h",
        background=False,
        previous_response_id=None,
        max_tool_calls=3,
        text={"format": {"type": "text"}, "tone": "kind"},
    )
    assert conversation.extras == {
        "include": ["message.output_text.logprobs"],
        "max_tool_calls": 3,
        "text": {"tone": "kind"},
    }
    assert decode(truncation="auto", top_logprobs=2).extras == {"truncation": "auto", "top_logprobs": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("conversation", {"id": "conv_1"}),
        ("prompt", {"id": "pmpt_1"}),
        ("background", True),
    ],
)
def test_what_rests_on_a_store_is_refused_and_told_why(name: str, value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(**{name: value})
    problem = caught.value.problem
    assert (problem.status, problem.param, problem.code) == (400, name, "unsupported_parameter")
    assert "not stored here" in problem.message
    assert f"'{name}'" in problem.message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "judge", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": 5}]}, "input[0].output"),
        ({"instructions": 5}, "instructions"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}, "tools[0].tools[0].name"),
        ({"tools": [{"type": "custom", "name": "c", "format": {"type": "grammar"}}]}, "tools[0].format.syntax"),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "function"}]}]}, "input[0].tools[0].name"),
        ({"tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "x"}}, "tool_choice.mode"),
        ({"text": {"format": {"type": "poem"}}}, "text.format.type"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"temperature": "warm"}, "temperature"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(**body)
    assert caught.value.problem.kind == "invalid_request"
    assert caught.value.problem.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
ITEM_KINDS = [
    "message",
    "function_call",
    "custom_tool_call",
    "function_call_output",
    "custom_tool_call_output",
    "reasoning",
    "additional_tools",
    "item_reference",
    "else",
]
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(ITEM_KINDS) | JSON,
        "role": st.sampled_from(["user", "assistant", "developer"]) | JSON,
        "content": JSON | st.lists(st.fixed_dictionaries({"type": st.sampled_from(["input_text", "input_image"])})),
        **dict.fromkeys(["id", "call_id", "name", "arguments", "input", "output", "summary", "tools"], JSON),
        "encrypted_content": st.sampled_from(["r1.", "r1.e30", "E"]) | JSON,
    },
)
FIELDS = ["tools", "tool_choice", "text", "reasoning", "instructions", "include", "metadata", "provider", "stream"]


@given(st.fixed_dictionaries({"input": st.lists(ITEM, max_size=3) | JSON}, optional=dict.fromkeys(FIELDS, JSON)))
def test_any_request_is_understood_or_refused(body: dict[str, Any]) -> None:
    raw = json.dumps({"model": "m", **body}).encode()
    try:
        conversation = CODEC.decode_request(raw)
        CODEC.encode_request(conversation, upstream_model="m", max_output_tokens=None)
        CODEC.splice_request(raw, upstream_model="m", max_output_tokens=5)
    except ProtocolError as error:
        assert error.problem.kind == "invalid_request"
