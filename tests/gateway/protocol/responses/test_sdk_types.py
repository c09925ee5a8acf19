"""What we write, read by the types of the official openai package."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import Citation, Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.problem import Problem
from gateway.protocol.reply import (
    Choice,
    CitationDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    SignatureDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from tests.gateway.protocol.responses.asking import CODEC, CONTEXT, decode, events_in, stream

responses = pytest.importorskip("openai.types.responses")
TypeAdapter = pytest.importorskip("pydantic").TypeAdapter

SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
CONVERSATION = decode(
    instructions="Be brief.",
    tools=[
        {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True},
        {"type": "custom", "name": "patch", "format": {"type": "text"}},
        {
            "type": "namespace",
            "name": "ns",
            "description": "N",
            "tools": [{"type": "function", "name": "deep", "parameters": SCHEMA, "strict": True}],
        },
    ],
    tool_choice="auto",
    metadata={"a": "b"},
)
FULL = replace(CONTEXT, conversation=CONVERSATION)
PARTS: tuple[Part, ...] = (
    Reasoning("why", signature="s", origin="anthropic_messages"),
    Text("Hi", citations=(Citation("https://a", "A", start=0, end=2),)),
    Refusal("No."),
    ToolCall("c1", "f", "{}"),
    ToolCall("c2", "patch", '{"input": "x"}'),
    ToolCall("c3", "ns__deep", "{}"),
)
EVENTS: tuple[StreamEvent, ...] = (
    ReasoningDelta("why"),
    SignatureDelta("s", origin="anthropic_messages"),
    TextDelta("Hi"),
    CitationDelta(Citation("https://a", "A", start=0, end=2)),
    RefusalDelta("No."),
    ToolCallDelta(0, "c1", "f", "{}"),
    ToolCallDelta(1, "c2", "patch", '{"input": "x"}'),
    ToolCallDelta(2, "c3", "ns__deep", "{}"),
    UsageSeen(UsageReport(TokenUsage(input=5, cache_write_long=2, output=2)), "flex"),
)


def check_response(value: dict[str, Any]) -> Any:
    """Nothing but what the types name, but for the fields that we repeat of the caller."""
    return responses.Response.model_validate(value, strict=True)


@pytest.mark.parametrize("context", [CONTEXT, FULL])
@pytest.mark.parametrize("finish", list(FinishReason))
def test_a_whole_answer_is_valid(finish: FinishReason, context: Any) -> None:
    answer = Reply((Choice(0, PARTS, finish),), usage=UsageReport(TokenUsage(input=5, output=2)))
    found = check_response(json.loads(CODEC.encode_reply(answer, context)))
    assert found.output_text == "Hi"
    types = ["reasoning", "message", "function_call"]
    assert [item.type for item in found.output][:3] == types
    assert isinstance(found.output[0], responses.ResponseReasoningItem)
    assert isinstance(found.output[1], responses.ResponseOutputMessage)
    assert isinstance(found.output[2], responses.ResponseFunctionToolCall)
    if context is FULL:
        assert isinstance(found.output[3], responses.ResponseCustomToolCall)
        assert found.output[4].namespace == "ns"


@pytest.mark.parametrize("context", [CONTEXT, FULL])
@pytest.mark.parametrize("finish", list(FinishReason))
def test_every_event_is_valid(finish: FinishReason, context: Any) -> None:
    adapter = TypeAdapter(responses.ResponseStreamEvent)
    for event in stream([*EVENTS, Finished(finish)], context):
        found = adapter.validate_python(event, strict=True)
        assert found.type == event["type"]
        if hasattr(found, "response"):
            check_response(event["response"])


def test_a_failed_stream_is_valid() -> None:
    """The SDK names only some codes in its types; clients act upon others as well."""
    encoder = CODEC.stream_encoder(CONTEXT)
    written = events_in(encoder.encode(TextDelta("Hi")) + encoder.problem(Problem("upstream", "Sorry.")))
    adapter = TypeAdapter(responses.ResponseStreamEvent)
    found = [adapter.validate_python(event, strict=True) for event in written]
    assert found[-1].response.error.code == "server_error"


def test_the_stream_helper_of_the_package_collects_the_whole_answer() -> None:
    state = pytest.importorskip("openai.lib.streaming.responses._responses")
    from openai import NOT_GIVEN

    collected = state.ResponseStreamState(input_tools=NOT_GIVEN, text_format=NOT_GIVEN)
    adapter = TypeAdapter(responses.ResponseStreamEvent)
    for event in stream([*EVENTS, Finished(FinishReason.TOOL_CALLS)], FULL):
        collected.handle_event(adapter.validate_python(event))
    whole = collected._completed_response
    assert whole is not None
    assert whole.output_text == "Hi"
    assert [item.type for item in whole.output if "call" in item.type] == [
        "function_call",
        "custom_tool_call",
        "function_call",
    ]
