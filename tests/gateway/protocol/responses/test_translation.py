"""Between this dialect and others: there and back again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.protocol.codec import ReplyContext, Target
from gateway.protocol.conversation import Conversation, Reasoning, Text, ToolCall, ToolResult, Turn
from gateway.protocol.dialects import CODECS
from gateway.protocol.openai_responses.tools import decode_tools
from gateway.protocol.problem import ProtocolError
from gateway.protocol.reply import (
    Choice,
    Finished,
    FinishReason,
    ReasoningDelta,
    Reply,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
)
from tests.gateway.protocol.responses.asking import CODEC, CONTEXT, decode, encode, events_in

OTHERS = sorted(set(CODECS) - {"openai_responses"})
TOOLS = [
    {"type": "function", "name": "look", "description": "L", "parameters": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "patch", "description": "P"},
    {"type": "namespace", "name": "ns", "description": "N", "tools": [{"type": "function", "name": "deep"}]},
]
CODEX = decode(
    tools=TOOLS,
    tool_choice="auto",
    parallel_tool_calls=True,
    include=["reasoning.encrypted_content"],
    store=False,
    stream=True,
    prompt_cache_key="k",
    client_metadata={"a": "b"},
    input=[
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** x"},
        {"type": "function_call", "call_id": "c3", "name": "deep", "namespace": "ns", "arguments": '{"a":1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"type": "function_call_output", "call_id": "c3", "output": "three"},
    ],
)


def sent_to(dialect: str, conversation: Conversation) -> Conversation:
    """The conversation as a provider of another dialect reads it."""
    codec = CODECS[dialect]
    encoded = codec.encode_request(conversation, upstream_model="some-model", max_output_tokens=100)
    return codec.decode_request(encoded.body, Target(model="some-model", stream=True))


@pytest.mark.parametrize("dialect", OTHERS)
def test_parallel_calls_and_results_of_codex_arrive(dialect: str) -> None:
    turns = sent_to(dialect, CODEX).turns
    calls = [part for turn in turns for part in turn.parts if isinstance(part, ToolCall)]
    assert len({call.id for call in calls}) == 3
    results = [part for turn in turns for part in turn.parts if isinstance(part, ToolResult)]
    assert [result.call_id for result in results] == [call.id for call in calls]
    assert [part.text for result in results for part in result.parts if isinstance(part, Text)] == [
        "one",
        "two",
        "three",
    ]
    assert len({id(turn) for turn in turns for part in turn.parts if isinstance(part, ToolCall)}) == 1


def answered(dialect: str, parts: tuple[Any, ...]) -> dict[str, Any]:
    """What a caller of this dialect gets of an answer that came in another one."""
    codec = CODECS[dialect]
    context = ReplyContext(response_id="up-1", created=1, model="m")
    given = codec.encode_reply(Reply((Choice(0, parts, FinishReason.TOOL_CALLS),)), context)
    answer = codec.decode_reply(given)
    return json.loads(CODEC.encode_reply(answer, replace(CONTEXT, conversation=CODEX)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("dialect", OTHERS)
def test_calls_come_back_in_the_form_that_the_caller_gave(dialect: str) -> None:
    calls = (
        ToolCall("c1", "look", "{}"),
        ToolCall("c2", "patch", '{"input":"*** y"}'),
        ToolCall("c3", "ns__deep", '{"a":1}'),
    )
    output = answered(dialect, calls)["output"]
    assert [(item["type"], item["call_id"], item["name"], item.get("namespace")) for item in output] == [
        ("function_call", "c1", "look", None),
        ("custom_tool_call", "c2", "patch", None),
        ("function_call", "c3", "deep", "ns"),
    ]
    assert output[1]["input"] == "*** y"


def test_claudes_signed_thinking_goes_through_the_caller_and_back_to_claude() -> None:
    thinking = Reasoning("why", signature="sig", origin="anthropic_messages")
    output = answered("anthropic_messages", (thinking, ToolCall("c1", "look", "{}")))["output"]
    result = {"type": "function_call_output", "call_id": "c1", "output": "one"}
    again = decode(tools=TOOLS, input=[{"role": "user", "content": "Go"}, *output, result])
    assert again.turns[1].parts[0] == thinking
    body = CODECS["anthropic_messages"].encode_request(again, upstream_model="claude-x", max_output_tokens=100).body
    assert {"type": "thinking", "thinking": "why", "signature": "sig"} in json.loads(body)["messages"][1]["content"]
    # No other maker sees it.
    for dialect in OTHERS:
        if dialect != "anthropic_messages":
            encoded = CODECS[dialect].encode_request(again, upstream_model="m", max_output_tokens=None)
            assert b"sig" not in encoded.body
    spliced = CODEC.splice_request(
        json.dumps({"model": "m", "input": output}).encode(), upstream_model="u", max_output_tokens=None
    )
    assert [item["type"] for item in json.loads(spliced.body)["input"]] == ["function_call"]


def test_signed_thinking_survives_a_stream() -> None:
    events: list[StreamEvent] = [
        ReasoningDelta("why"),
        SignatureDelta("sig", origin="anthropic_messages"),
        TextDelta("Hi"),
        ToolCallDelta(0, "c1", "look", "{}"),
        Finished(FinishReason.TOOL_CALLS),
    ]
    upstream = CODECS["anthropic_messages"]
    encoder = upstream.stream_encoder(CONTEXT)
    raw = b"".join([encoder.encode(event) for event in events]) + encoder.end()
    decoder = upstream.stream_decoder()
    ours = CODEC.stream_encoder(CONTEXT)
    passed = [*decoder.feed(raw), *decoder.end()]
    written = b"".join([ours.encode(event) for item in passed for event in item.events]) + ours.end()
    output = events_in(written)[-1]["response"]["output"]
    assert decode(input=output).turns == (
        Turn(
            role="assistant",
            parts=(
                Reasoning("why", signature="sig", origin="anthropic_messages"),
                Text("Hi"),
                ToolCall("c1", "look", "{}"),
            ),
        ),
    )


def test_a_chat_request_is_a_request_of_this_dialect() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]},
            {
                "role": "assistant",
                "content": "ok",
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "max_tokens": 100,
        "stop": "x",
    }
    conversation = CODECS["openai_chat"].decode_request(json.dumps(body).encode())
    sent, dropped = encode(conversation)
    assert sent["instructions"] == "S"
    assert [item["type"] for item in sent["input"]] == [
        "message",
        "message",
        "function_call",
        "function_call_output",
    ]
    assert sent["max_output_tokens"] == 100
    assert dropped == ("stop",)
    again = decode(**{name: value for name, value in sent.items() if name != "model"})
    assert [turn.role for turn in again.turns] == ["system", "user", "assistant", "tool"]


def test_a_messages_request_is_a_request_of_this_dialect() -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    body = {
        "model": "m",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "why", "signature": "sig"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "see"}, picture]},
                    {"type": "text", "text": "So?"},
                ],
            },
            {"role": "system", "content": "Late."},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    conversation = CODECS["anthropic_messages"].decode_request(json.dumps(body).encode())
    sent, dropped = encode(conversation)
    assert sent["instructions"] == "S"
    assert [(item["type"], item.get("role")) for item in sent["input"]] == [
        ("message", "user"),
        ("function_call", None),
        ("function_call_output", None),
        ("message", "user"),
        ("message", "developer"),
    ]
    assert [part["type"] for part in sent["input"][2]["output"]] == ["input_text", "input_image"]
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert dropped == ()


def test_encrypted_reasoning_goes_through_a_messages_caller_and_back() -> None:
    piece = Reasoning("why", redacted="E", origin="openai_responses", id="rs_1")
    messages = CODECS["anthropic_messages"]
    answer = Reply((Choice(0, (piece, ToolCall("c1", "f", "{}")), FinishReason.TOOL_CALLS),))
    content = json.loads(messages.encode_reply(answer, CONTEXT))["content"]
    body = {
        "model": "m",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "one"}]},
        ],
    }
    sent, _ = encode(messages.decode_request(json.dumps(body).encode()))
    assert sent["input"][1] == {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "why"}],
        "encrypted_content": "E",
    }


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("item", [{"type": "compaction_trigger"}, {"type": "item_reference", "id": "msg_1"}])
def test_what_only_this_dialect_can_do_is_refused_by_others(dialect: str, item: dict[str, Any]) -> None:
    conversation = decode(input=[{"role": "user", "content": "Go"}, item])
    with pytest.raises(ProtocolError) as caught:
        CODECS[dialect].encode_request(conversation, upstream_model="m", max_output_tokens=100)
    assert caught.value.problem.status == 400
    assert caught.value.problem.param == "input"


def test_the_same_tools_give_the_same_names() -> None:
    assert [tool.name for tool in decode_tools({"tools": TOOLS}) if not hasattr(tool, "kind")] == [
        "look",
        "patch",
        "deep",
    ]
