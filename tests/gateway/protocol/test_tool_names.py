"""Tools whose names a provider would not take: sent under another one, called back under their own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.protocol.codec import ReplyContext, Target
from gateway.protocol.conversation import Conversation, ToolCall
from gateway.protocol.dialects import CODECS
from gateway.protocol.reply import Choice, Finished, FinishReason, Reply, StreamEvent, ToolCallDelta
from gateway.protocol.tool_names import CallRestorer, ToolNames, flat_name
from tests.gateway.protocol import collecting, replaying

LONG = "mcp__plugin_" + "x" * 70
DOTTED = "calendar.find"
CONTEXT = ReplyContext(response_id="gen-1", created=1, model="some/model")


def caller(dialect: str) -> tuple[str, Conversation]:
    """The name of the only tool, and the request that offers it."""
    body: dict[str, Any]
    if dialect == "gemini_generate":
        tools = [{"functionDeclarations": [{"name": DOTTED, "parameters": {"type": "OBJECT"}}]}]
        body = {"contents": [{"role": "user", "parts": [{"text": "q"}]}], "tools": tools}
        return DOTTED, CODECS[dialect].decode_request(json.dumps(body).encode(), Target("m"))
    tools = [{"name": LONG, "input_schema": {"type": "object"}}]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}], "tools": tools}
    return LONG, CODECS[dialect].decode_request(json.dumps(body).encode())


@pytest.mark.parametrize("dialect", ["anthropic_messages", "gemini_generate"])
def test_a_tool_is_called_back_under_its_own_name(dialect: str) -> None:
    name, conversation = caller(dialect)
    chat = CODECS["openai_chat"].encode_request(conversation, upstream_model="m", max_output_tokens=9)
    flat = json.loads(chat.body)["tools"][0]["function"]["name"]
    assert flat == flat_name(name) != name
    context = replace(CONTEXT, conversation=conversation)
    codec = CODECS[dialect]
    reply = Reply((Choice(0, (ToolCall("c", flat, "{}"),), FinishReason.TOOL_CALLS),))
    (call,) = codec.decode_reply(codec.encode_reply(reply, context)).choices[0].parts
    assert isinstance(call, ToolCall)
    assert call.name == name
    encoder = codec.stream_encoder(context)
    events: list[StreamEvent] = [ToolCallDelta(0, "c", flat, "{}"), Finished(FinishReason.TOOL_CALLS)]
    written = b"".join(encoder.encode(event) for event in events) + encoder.end()
    passed, _ = replaying.decode_stream(codec, [written])
    (choice,) = collecting.of_events(replaying.events_of(passed))["choices"]
    assert [call["name"] for call in choice["tool_calls"]] == [name]


def test_calls_keep_their_order_while_one_of_free_text_is_collected() -> None:
    tools = [{"type": "custom", "name": "patch"}, {"type": "function", "name": "run"}]
    body = {"model": "m", "input": "q", "tools": tools}
    names = ToolNames.of(CODECS["openai_responses"].decode_request(json.dumps(body).encode()))
    restorer = CallRestorer(names)
    events: list[StreamEvent] = [
        ToolCallDelta(0, "a", "run", "{}"),
        ToolCallDelta(1, "b", "patch", '{"input":'),
        ToolCallDelta(2, "c", "run", '{"input":'),
        ToolCallDelta(1, arguments='"x"}'),
        ToolCallDelta(2, arguments='"y"}'),
        Finished(FinishReason.TOOL_CALLS),
    ]
    assert [item for event in events for item in restorer.feed(event)] == [
        events[0],
        ToolCallDelta(1, "b", "patch", "x", custom=True),
        ToolCallDelta(2, "c", "run", '{"input":"y"}'),
        events[-1],
    ]
