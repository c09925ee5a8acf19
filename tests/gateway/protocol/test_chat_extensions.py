"""Custom tools, citations, signed reasoning and routing fields of the chat dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Citation, CustomFormat, Reasoning, Text, Tool, ToolCall, ToolChoice
from gateway.protocol.dialects import codec_of
from gateway.protocol.envelope import seal
from gateway.protocol.reply import (
    Choice,
    CitationDelta,
    Finished,
    FinishReason,
    ReasoningDelta,
    Reply,
    SignatureDelta,
    TextDelta,
    ToolCallDelta,
)
from tests.gateway.protocol import replaying

CHAT = codec_of("openai_chat")
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
TOOLS = [
    {"type": "custom", "custom": {"name": "exec", "description": "Runs.", "format": GRAMMAR}},
    {"type": "function", "function": {"name": "f"}},
]


def request(**body: Any) -> Any:
    return CHAT.decode_request(json.dumps({"model": "m", "messages": [], **body}).encode())


def context(**body: Any) -> ReplyContext:
    return ReplyContext(response_id="gen-1", created=1, model="m", conversation=request(**body))


def written(events: list[Any], **body: Any) -> list[dict[str, Any]]:
    encoder = CHAT.stream_encoder(context(**body))
    raw = b"".join(encoder.encode(event) for event in events) + encoder.end()
    chunks = [json.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
    return [chunk["choices"][0]["delta"] for chunk in chunks]


def message_of(*parts: Any, **body: Any) -> dict[str, Any]:
    encoded = CHAT.encode_reply(Reply((Choice(0, parts, FinishReason.STOP),)), context(**body))
    message: dict[str, Any] = json.loads(encoded)["choices"][0]["message"]
    return message


def test_custom_tools_and_choices_are_read() -> None:
    conversation = request(tools=TOOLS, tool_choice={"type": "custom", "custom": {"name": "exec"}})
    assert conversation.tools == (
        Tool("exec", "Runs.", custom=CustomFormat("lark", "start: /x/")),
        Tool("f"),
    )
    assert conversation.tool_choice == ToolChoice("named", "exec")
    listed = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "exec"}}]
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": listed}}
    assert request(tools=TOOLS, tool_choice=allowed).tool_choice == ToolChoice("required", allowed=("f", "exec"))


def test_a_custom_call_comes_back_in_its_own_form() -> None:
    call = ToolCall("c1", "exec", '{"input":"ls -l"}')
    assert message_of(call, tools=TOOLS)["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "exec", "input": "ls -l"}}
    ]
    assert message_of(call)["tool_calls"][0]["type"] == "function"


def test_a_custom_call_comes_back_in_its_own_form_in_a_stream() -> None:
    events = [
        ToolCallDelta(0, "c1", "exec", '{"inp'),
        ToolCallDelta(0, arguments='ut":"ls"}'),
        Finished(FinishReason.TOOL_CALLS),
    ]
    deltas = [delta for delta in written(events, tools=TOOLS) if "tool_calls" in delta]
    assert deltas == [
        {"tool_calls": [{"index": 0, "id": "c1", "type": "custom", "custom": {"name": "exec", "input": "ls"}}]}
    ]


def test_custom_calls_of_a_provider_are_read() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "exec", "input": "ls"}}
    body = {"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    reply = CHAT.decode_reply(json.dumps(body).encode())
    assert reply.choices[0].parts == (ToolCall("c", "exec", "ls", custom=True),)
    chunk = {"id": "i", "choices": [{"delta": {"tool_calls": [{"index": 0, **call}]}}]}
    passed, _ = replaying.decode_stream(CHAT, [f"data: {json.dumps(chunk)}\n\n".encode()])
    assert ToolCallDelta(0, "c", "exec", "ls", custom=True) in replaying.events_of(passed)


CITED = Citation("https://a", "A", "said", 0, 4)
ANNOTATION = {
    "type": "url_citation",
    "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 4, "content": "said"},
}


def test_citations_go_both_ways() -> None:
    assert message_of(Text("text", citations=(CITED,)))["annotations"] == [ANNOTATION]
    body = {"choices": [{"message": {"content": "text", "annotations": [ANNOTATION, {"type": "x"}]}}]}
    assert CHAT.decode_reply(json.dumps(body).encode()).choices[0].parts == (Text("text", citations=(CITED,)),)
    assert {"annotations": [ANNOTATION]} in written([TextDelta("text"), CitationDelta(CITED)])
    chunk = {"id": "i", "choices": [{"delta": {"annotations": [ANNOTATION]}}]}
    passed, _ = replaying.decode_stream(CHAT, [f"data: {json.dumps(chunk)}\n\n".encode()])
    assert CitationDelta(CITED) in replaying.events_of(passed)


def test_places_of_a_later_text_count_from_the_beginning() -> None:
    message = message_of(Text("12345"), Text("text", citations=(CITED,)))
    assert message["annotations"][0]["url_citation"]["start_index"] == 5


SIGNED = [
    Reasoning("t", "sig", origin="anthropic_messages"),
    Reasoning(redacted="xx", origin="anthropic_messages"),
    Reasoning("sum", redacted="enc", origin="openai_responses", id="rs_1"),
    Reasoning(redacted="enc", origin="openai_responses"),
    Reasoning("t", "sig", origin="gemini_generate"),
]


@pytest.mark.parametrize("piece", SIGNED)
def test_signed_reasoning_survives_the_callers_round_trip(piece: Reasoning) -> None:
    message = message_of(piece, Text("a"))
    assert request(messages=[message]).turns[0].parts == (piece, Text("a"))


@pytest.mark.parametrize("piece", SIGNED)
def test_signed_reasoning_of_a_stream_is_written_whole(piece: Reasoning) -> None:
    events = [ReasoningDelta(piece.text)] if piece.text else []
    end = SignatureDelta(piece.signature, piece.redacted, piece.origin, id=piece.id)
    deltas = written([*events, end, Finished(FinishReason.STOP)])
    details = [entry for delta in deltas for entry in delta.get("reasoning_details", [])]
    assert details
    message = {"role": "assistant", "content": "a", "reasoning_details": details}
    assert request(messages=[message]).turns[0].parts[0] == piece


def test_a_signature_of_a_call_stays_with_the_call() -> None:
    signature = Reasoning(signature="sig", origin="gemini_generate")
    parts = (Text("a"), ToolCall("c1", "f", "{}"), signature, ToolCall("c2", "f", "{}"))
    message = message_of(*parts)
    assert message["reasoning_details"][0]["id"] == "c2"
    read = request(messages=[message]).turns[0].parts
    assert [type(part) for part in read] == [Text, ToolCall, Reasoning, ToolCall]
    assert read[2].signature == "sig"


def test_a_seal_is_opened_and_never_sent_on() -> None:
    token = seal(Reasoning(signature="s", origin="gemini_generate"))
    entry = {"type": "reasoning.text", "text": "t", "signature": token, "format": "anthropic-claude-v1"}
    message = {"role": "assistant", "content": "a", "reasoning_details": [entry]}
    piece = request(messages=[message]).turns[0].parts[0]
    assert (piece.origin, piece.signature, piece.text) == ("gemini_generate", "s", "t")
    body = json.dumps({"model": "m", "messages": [message]}).encode()
    spliced = CHAT.splice_request(body, upstream_model="m", max_output_tokens=None)
    assert json.loads(spliced.body)["messages"] == [{"role": "assistant", "content": "a"}]


def test_routing_fields_are_ours() -> None:
    body = {"model": "m", "messages": [], "models": ["a"], "provider": {"only": ["x"]}, "prompt_cache_key": "k"}
    conversation = CHAT.decode_request(json.dumps(body).encode())
    assert conversation.routing == {"models": ["a"], "provider": {"only": ["x"]}}
    assert (conversation.cache_key, conversation.extras) == ("k", {})
    spliced = CHAT.splice_request(json.dumps(body).encode(), upstream_model="m", max_output_tokens=None)
    assert json.loads(spliced.body) == {"model": "m", "messages": [], "prompt_cache_key": "k"}
