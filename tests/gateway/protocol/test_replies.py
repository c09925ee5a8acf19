"""Replies, whole and as streams."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import ReplyContext, StreamDecoder
from gateway.protocol.conversation import Opaque, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.dialects import CODECS, codec_of
from gateway.protocol.envelope import seal
from gateway.protocol.problem import Problem, ProtocolError
from gateway.protocol.reply import (
    Choice,
    Done,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)

CHAT = codec_of("openai_chat")
MESSAGES = codec_of("anthropic_messages")
CONTEXT = ReplyContext(
    response_id="gen-1", created=1_700_000_000, model="some/model", extra_usage={"cost": "0.01"}, input_tokens=11
)
QUIET = ReplyContext(response_id="gen-1", created=1, model="some/model", include_usage=False)
USAGE = UsageReport(TokenUsage(input=200, cache_read=800, output=10, reasoning=5))
OWN = "anthropic_messages"


def data_of(stream: bytes) -> list[Any]:
    events = [block.split("data: ", 1)[1] for block in stream.decode().strip().split("\n\n")]
    return [json.loads(event) if event != "[DONE]" else event for event in events]


# Whole replies ----------------------------------------------------------------------------------------------------


def reply_of(*parts: Any, finish: FinishReason | None = FinishReason.STOP, usage: UsageReport | None = USAGE) -> Reply:
    return Reply((Choice(0, parts, finish),), usage, service_tier="default")


def test_a_chat_reply_is_written_in_openai_s_own_counting() -> None:
    reply = reply_of(
        Reasoning("hm", signature="sig", origin=OWN),
        Text("a"),
        Text("b"),
        ToolCall("", "f", ""),
        ToolCall("c", "g", "{}"),
    )
    body = json.loads(CHAT.encode_reply(reply, CONTEXT))
    (choice,) = body["choices"]
    assert (body["id"], body["model"], body["created"]) == ("gen-1", "some/model", 1_700_000_000)
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "ab"
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["reasoning_details"][0]["signature"] == "sig"
    assert choice["message"]["tool_calls"] == [
        {"id": "call_gen-1_0", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "c", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (1000, 15, 1015)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 800
    assert usage["cost"] == "0.01"
    assert body["service_tier"] == "default"


def test_a_messages_reply_is_written_in_anthropic_s_own_counting() -> None:
    reply = reply_of(
        Reasoning("hm", origin="openai_chat"),
        Reasoning(redacted="xx", origin=OWN),
        Text("a", extras={"citations": [1]}, origin=OWN),
        Refusal("no"),
        ToolCall("c.1", "f", '{"a":1}'),
        ToolCall("", "g", "cut"),
        Opaque("openai_chat", "audio", {}),
        Opaque(OWN, "server_tool_use", {"type": "server_tool_use"}),
    )
    body = json.loads(MESSAGES.encode_reply(reply, CONTEXT))
    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": seal(Reasoning(origin="openai_chat"))},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "text", "text": "a", "citations": [1]},
        {"type": "text", "text": "no"},
        {"type": "tool_use", "id": "c_1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "toolu_gen-1_5", "name": "g", "input": {"_raw": "cut"}},
        {"type": "server_tool_use"},
    ]
    assert body["stop_reason"] == "tool_use"
    assert body["usage"]["input_tokens"] == 200
    assert body["usage"]["cache_read_input_tokens"] == 800
    assert body["usage"]["output_tokens"] == 15


def test_a_messages_reply_has_usage_even_when_none_was_reported() -> None:
    body = json.loads(MESSAGES.encode_reply(Reply(()), CONTEXT))
    assert body["usage"] == {"input_tokens": 11, "output_tokens": 0, "cost": "0.01"}
    assert (body["content"], body["stop_reason"]) == ([], "end_turn")
    assert "usage" not in json.loads(CHAT.encode_reply(reply_of(Text("a"), usage=None), CONTEXT))


@pytest.mark.parametrize(
    ("finish", "chat", "messages"),
    [
        (FinishReason.STOP, "stop", "end_turn"),
        (FinishReason.LENGTH, "length", "max_tokens"),
        (FinishReason.CONTENT_FILTER, "content_filter", "refusal"),
        (FinishReason.REFUSAL, "content_filter", "refusal"),
        (FinishReason.OTHER, "stop", "end_turn"),
        (None, "stop", "end_turn"),
    ],
)
def test_finish_words_are_the_dialect_s_own(finish: FinishReason | None, chat: str, messages: str) -> None:
    reply = reply_of(Text("a"), finish=finish)
    assert json.loads(CHAT.encode_reply(reply, CONTEXT))["choices"][0]["finish_reason"] == chat
    assert json.loads(MESSAGES.encode_reply(reply, CONTEXT))["stop_reason"] == messages


def test_a_refusal_with_its_text_stops_as_openai_s_does() -> None:
    reply = reply_of(Refusal("no"), finish=FinishReason.REFUSAL)
    (choice,) = json.loads(CHAT.encode_reply(reply, CONTEXT))["choices"]
    assert (choice["finish_reason"], choice["message"]["refusal"], choice["message"]["content"]) == ("stop", "no", None)


def test_a_stop_sequence_is_told() -> None:
    reply = Reply((Choice(0, (), FinishReason.STOP, stop_sequence="END"),))
    body = json.loads(MESSAGES.encode_reply(reply, CONTEXT))
    assert (body["stop_reason"], body["stop_sequence"]) == ("stop_sequence", "END")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices": 1, "content": 1}'])
def test_what_is_no_reply_is_the_upstream_s_fault(body: bytes) -> None:
    for codec in CODECS.values():
        with pytest.raises(ProtocolError) as caught:
            codec.decode_reply(body)
        assert caught.value.problem.kind == "upstream"


def test_odd_chat_replies_are_read() -> None:
    message = {
        "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "a"}, {"type": "odd"}, 5],
        "tool_calls": [None, {"function": None}, {"id": None, "function": {"name": "f", "arguments": None}}],
    }
    body = {"choices": [None, {"message": message, "finish_reason": "stop"}, {"message": None}], "service_tier": "flex"}
    reply = CHAT.decode_reply(json.dumps(body).encode())
    assert reply.service_tier == "flex"
    first, second = reply.choices
    assert first.parts == (
        Reasoning("t", origin="openai_chat"),
        Text("a"),
        Opaque("openai_chat", "odd", {"type": "odd"}),
        ToolCall("", "f", ""),
    )
    assert (first.index, first.finish, first.native_finish) == (1, FinishReason.TOOL_CALLS, "stop")
    assert (second.parts, second.finish) == ((), None)


def test_odd_messages_replies_are_read() -> None:
    blocks = [
        None,
        {"type": "text", "text": "a", "citations": [1]},
        {"type": "tool_use", "id": "c", "name": "f", "input": None},
        {"type": "odd"},
    ]
    body = {"content": blocks, "stop_reason": "pause_turn", "usage": {"input_tokens": 1, "service_tier": "priority"}}
    reply = MESSAGES.decode_reply(json.dumps(body).encode())
    (choice,) = reply.choices
    assert choice.parts == (
        Text("a", extras={"citations": [1]}, origin=OWN),
        ToolCall("c", "f", "{}"),
        Opaque(OWN, "odd", {"type": "odd"}),
    )
    assert (choice.finish, reply.service_tier) == (FinishReason.OTHER, "priority")


# Streams out ------------------------------------------------------------------------------------------------------

STORY: list[StreamEvent] = [
    Started("up-1", "upstream"),
    ReasoningDelta("hm"),
    SignatureDelta(signature="sig", origin=OWN),
    SignatureDelta(redacted="xx", origin=OWN),
    TextDelta("a"),
    TextDelta("b"),
    ToolCallDelta(0, "c.1", "f"),
    ToolCallDelta(0, arguments='{"a"'),
    ToolCallDelta(0, arguments=":1}"),
    ToolCallDelta(1, "", "g", "null"),
    Finished(FinishReason.STOP),
    UsageSeen(USAGE),
    Done(),
]


def written(codec: Any, events: list[StreamEvent], context: ReplyContext = CONTEXT) -> bytes:
    encoder = codec.stream_encoder(context)
    return b"".join(encoder.encode(event) for event in events) + bytes(encoder.end())


def test_a_chat_stream_is_well_formed() -> None:
    chunks = data_of(written(CHAT, STORY))
    assert chunks[-1] == "[DONE]"
    assert {(chunk["id"], chunk["model"], chunk["object"]) for chunk in chunks[:-1]} == {
        ("gen-1", "some/model", "chat.completion.chunk")
    }
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-2]]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[1] == {"reasoning_content": "hm"}
    assert deltas[2]["reasoning_details"][0] == {
        "type": "reasoning.text",
        "text": "hm",
        "signature": "sig",
        "format": "anthropic-claude-v1",
        "index": 0,
    }
    assert deltas[3]["reasoning_details"][0]["data"] == "xx"
    assert [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta] == [
        {"index": 0, "id": "c.1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a"'}},
        {"index": 0, "function": {"arguments": ":1}"}},
        {"index": 1, "id": "call_gen-1_1", "type": "function", "function": {"name": "g", "arguments": "null"}},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-2]][-2:] == [None, "tool_calls"]
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"]["total_tokens"] == 1015
    assert chunks[-2]["usage"]["cost"] == "0.01"


def test_a_chat_client_that_did_not_ask_sees_no_usage() -> None:
    assert not any("usage" in chunk for chunk in data_of(written(CHAT, STORY, QUIET)))


def test_a_chat_stream_always_has_a_finish() -> None:
    for events in ([], [TextDelta("a")], [Finished(FinishReason.STOP), Finished(FinishReason.LENGTH)]):
        chunks = data_of(written(CHAT, events))
        finishes = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1] if chunk["choices"]]
        assert [word for word in finishes if word] == ["stop"]


def test_two_choices_each_have_their_own_start_and_finish() -> None:
    events = [
        TextDelta("a", 1),
        RefusalDelta("no", 0),
        Finished(FinishReason.LENGTH, 1),
        Finished(FinishReason.REFUSAL, 0),
    ]
    chunks = [chunk["choices"][0] for chunk in data_of(written(CHAT, events))[:-1]]
    assert [(c["index"], c["finish_reason"]) for c in chunks if c["finish_reason"]] == [(1, "length"), (0, "stop")]
    assert [c["index"] for c in chunks if "role" in c["delta"]] == [1, 0]


def test_a_messages_stream_is_well_formed() -> None:
    stream = written(MESSAGES, STORY)
    for block in stream.decode().strip().split("\n\n"):
        head, data = block.split("\n")
        assert head == "event: " + json.loads(data.removeprefix("data: "))["type"]
    events = data_of(stream)
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert events[0]["message"]["usage"] == {"input_tokens": 11, "output_tokens": 0, "cost": "0.01"}
    starts = [event for event in events if event["type"] == "content_block_start"]
    stops = [event["index"] for event in events if event["type"] == "content_block_stop"]
    assert [event["index"] for event in starts] == stops == [0, 1, 2, 3, 4]
    assert [event["content_block"]["type"] for event in starts] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert starts[3]["content_block"] == {"type": "tool_use", "id": "c_1", "name": "f", "input": {}}
    assert starts[4]["content_block"]["id"] == "toolu_gen-1_1"
    deltas = [(event["index"], event["delta"]) for event in events if event["type"] == "content_block_delta"]
    assert deltas == [
        (0, {"type": "thinking_delta", "thinking": "hm"}),
        (0, {"type": "signature_delta", "signature": "sig"}),
        (2, {"type": "text_delta", "text": "a"}),
        (2, {"type": "text_delta", "text": "b"}),
        (3, {"type": "input_json_delta", "partial_json": '{"a"'}),
        (3, {"type": "input_json_delta", "partial_json": ":1}"}),
    ]
    assert events[-2]["delta"] == {"stop_reason": "tool_use", "stop_sequence": None}
    assert events[-2]["usage"]["input_tokens"] == 200
    assert events[-2]["usage"]["output_tokens"] == 15


def test_messages_usage_that_is_known_early_is_told_early() -> None:
    events = data_of(written(MESSAGES, [UsageSeen(USAGE), SignatureDelta(), RefusalDelta("no"), TextDelta("other", 1)]))
    assert events[0]["message"]["usage"]["cache_read_input_tokens"] == 800
    assert events[0]["message"]["usage"]["output_tokens"] == 0
    assert [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"] == ["no"]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["nu", "ll"], ""),
        (["n", 'ope"'], 'nope"'),
        (["", ""], ""),
        (['{"a"', ":null}"], '{"a":null}'),
        (["nul"], "nul"),
    ],
)
def test_null_is_no_input_for_a_tool(pieces: list[str], text: str) -> None:
    events: list[StreamEvent] = [ToolCallDelta(0, "c", "f"), *(ToolCallDelta(0, arguments=piece) for piece in pieces)]
    deltas = [event["delta"] for event in data_of(written(MESSAGES, events)) if event["type"] == "content_block_delta"]
    assert "".join(delta["partial_json"] for delta in deltas) == text


def test_a_late_piece_of_an_earlier_call_goes_to_its_own_block() -> None:
    events = [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(1, "b", "g", "{}"), ToolCallDelta(0, arguments="}")]
    texts: dict[int, str] = {}
    for event in data_of(written(MESSAGES, list(events))):
        if event["type"] == "content_block_delta":
            texts[event["index"]] = texts.get(event["index"], "") + event["delta"]["partial_json"]
    assert texts == {0: "{}", 1: "{}"}


def test_a_call_without_arguments_has_an_empty_object() -> None:
    events: list[StreamEvent] = [
        ToolCallDelta(0, "a", "f"),
        ToolCallDelta(1, "b", "g"),
        ToolCallDelta(1, arguments="{}"),
        Finished(FinishReason.TOOL_CALLS),
    ]
    texts = {0: "", 1: ""}
    for event in data_of(written(CHAT, events)):
        for choice in event["choices"] if isinstance(event, dict) else ():
            for call in choice["delta"].get("tool_calls", ()):
                texts[call["index"]] += call["function"]["arguments"]
    assert texts == {0: "{}", 1: "{}"}


def test_an_error_ends_a_stream_in_the_dialect_s_own_way() -> None:
    problem = Problem(kind="overloaded", message="Busy.")
    for codec, head in ((CHAT, b'data: {"error":'), (MESSAGES, b"event: error\ndata: ")):
        encoder = codec.stream_encoder(CONTEXT)
        encoder.encode(TextDelta("a"))
        assert encoder.problem(problem).startswith(head)
        assert encoder.problem(problem) == encoder.encode(TextDelta("b")) == encoder.end() == b""


def test_nothing_follows_the_end_and_life_is_shown_without_events() -> None:
    for codec, beat in ((CHAT, b": keep-alive\n\n"), (MESSAGES, b'event: ping\ndata: {"type":"ping"}\n\n')):
        encoder = codec.stream_encoder(CONTEXT)
        assert encoder.keep_alive() == beat
        assert encoder.end()
        assert encoder.end() == b""


# Streams in -------------------------------------------------------------------------------------------------------


def chunk(**body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def choice(finish: str | None = None, index: Any = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def event(kind: str, **body: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + json.dumps({"type": kind, **body}).encode() + b"\n\n"


def fed(decoder: StreamDecoder, *chunks: bytes) -> list[Any]:
    return [item for piece in chunks for item in decoder.feed(piece)] + decoder.end()


def meant(passed: list[Any]) -> list[Any]:
    return [event for item in passed for event in item.events]


def test_a_chat_client_sees_usage_only_if_it_asked() -> None:
    usage = chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 1})
    nulls = chunk(choices=[choice(content="a")], usage=None)
    preamble = chunk(choices=[], prompt_filter_results=[])
    for include_usage in (True, False):
        passed = CHAT.stream_decoder(include_usage=include_usage).feed(preamble + nulls + usage)
        assert [item.forward for item in passed] == [False, True, include_usage]
        assert isinstance(passed[2].events[0], UsageSeen)


def test_comments_and_vendor_events_are_signs_of_life_only() -> None:
    passed = CHAT.stream_decoder().feed(b": PROCESSING\n\n" + chunk(ping=1) + chunk(type="ping"))
    assert [(item.events, item.forward) for item in passed] == [((), False)] * 3
    passed = MESSAGES.stream_decoder().feed(b":\n\n" + event("vendor.thing") + event("ping") + b"data: [DONE]\n\n")
    assert [(item.events, item.forward) for item in passed] == [((), False), ((), False), ((), True), ((), False)]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        # (id, name, arguments) of each call
        (
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
                [{"index": 0, "id": "", "function": {"name": "", "arguments": "{}"}}],
            ],
            [("a", "f", "{}")],
        ),
        (
            [[{"id": "a", "function": {"name": "f", "arguments": "{"}}], [{"function": {"arguments": "}"}}]],
            [("a", "f", "{}")],
        ),
        (
            [[{"index": 0, "id": "a", "function": {"name": "f"}}, {"index": 0, "id": "b", "function": {"name": "g"}}]],
            [("a", "f", ""), ("b", "g", "")],
        ),
        (
            [
                [{"index": 1, "id": "a", "function": {"name": "f"}}],
                [{"index": 2, "id": "b", "function": {"name": "g"}}],
                [{"index": 1, "function": {"arguments": "1"}}, {"id": "b", "function": {"arguments": "2"}}],
            ],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
        ([[{"index": 0, "id": "", "function": {"name": "f", "arguments": "{}"}}]], [("", "f", "{}")]),
        ([[None, {"index": 0}]], []),
    ],
)
def test_pieces_of_calls_find_their_call(deltas: list[Any], calls: list[Any]) -> None:
    events = meant(fed(CHAT.stream_decoder(), *(chunk(choices=[choice(tool_calls=delta)]) for delta in deltas)))
    found: dict[int, list[str]] = {}
    for item in events:
        if item.name is not None:
            found[item.index] = [item.id, item.name, ""]
        found[item.index][2] += item.arguments
    assert [tuple(call) for call in found.values()] == calls


def test_a_stop_with_calls_is_a_finish_for_calls() -> None:
    events = meant(
        fed(
            CHAT.stream_decoder(),
            chunk(choices=[choice(function_call={"name": "f", "arguments": "{"})]),
            chunk(choices=[choice(function_call={"arguments": "}"})]),
            chunk(choices=[choice("stop")]),
            chunk(choices=[choice("stop")]),
        )
    )
    assert [item for item in events if isinstance(item, Finished)] == [Finished(FinishReason.TOOL_CALLS, 0, "stop")]
    assert events[-1] == Done()


def test_odd_chat_deltas_are_read() -> None:
    signed = [{"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}]
    hidden = [{"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"}]
    other = [{"type": "reasoning.summary"}, None]
    parts = [{"type": "thinking", "thinking": "m"}, {"type": "text", "text": "a"}, {"type": "odd"}, 3]
    events = meant(
        CHAT.stream_decoder().feed(
            chunk(choices=[choice(index=None, content=parts, refusal="no"), None, {"index": 1, "delta": None}])
            + chunk(choices=[choice(reasoning="r", reasoning_details=other)])
            + chunk(choices=[choice(reasoning_details=signed)])
            + chunk(choices=[choice(reasoning_details=hidden)])
        )
    )
    assert events == [
        ReasoningDelta("m"),
        TextDelta("a"),
        RefusalDelta("no"),
        ReasoningDelta("r"),
        ReasoningDelta("t"),
        SignatureDelta("s", None, OWN),
        SignatureDelta(None, "x", OWN),
    ]


def test_a_chat_stream_without_its_last_words_gets_them() -> None:
    decoder = CHAT.stream_decoder()
    passed = fed(decoder, chunk(id="up", choices=[choice(content="a")]), chunk(choices=[choice("stop")]).rstrip())
    assert decoder.complete
    assert passed[-2].raw.endswith(b"}\n\n")
    assert passed[-1].raw == b"data: [DONE]\n\n"
    decoder = CHAT.stream_decoder()
    passed = fed(
        decoder, chunk(id="up", model="x", choices=[choice(content="a")]), b"data: [DONE]\n\n", b"data: [DONE]\n\n"
    )
    assert meant(passed)[-2:] == [Finished(FinishReason.STOP), Done()]
    assert b'"finish_reason":"stop"' in passed[1].raw
    assert passed[2].forward is False


def test_a_stream_that_breaks_off_is_not_complete() -> None:
    for codec, start in (
        (CHAT, chunk(choices=[choice(content="a")])),
        (MESSAGES, event("message_start", message={"usage": {"input_tokens": 1}})),
    ):
        decoder = codec.stream_decoder()
        assert all(not isinstance(item, Done) for item in meant(fed(decoder, start)))
        assert not decoder.complete
        assert not codec.stream_decoder().complete


@pytest.mark.parametrize(
    "raw",
    [
        b'event: error\ndata: {"error":{"message":"x","status_code":400}}\n\n',
        b'data: {"choices":[],"error":{"message":"x","code":502}}\n\n',
        b'data: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
        b'{\n "error": {\n  "code": 503\n }\n}\n\n',
        b"{ not json\n\n",
        b"data: not json\n\n",
        b"data: [1]\n\n",
    ],
)
def test_an_error_in_a_stream_is_seen_and_not_passed_on(raw: bytes) -> None:
    for codec in CODECS.values():
        if codec is MESSAGES and b'"choices"' in raw:
            continue
        decoder = codec.stream_decoder()
        passed = fed(decoder, raw)
        assert not decoder.complete
        assert [item.forward for item in passed] == [False]
        (error,) = passed[0].events
        assert isinstance(error, StreamError)
        assert error.problem.status >= 400
        out = codec.stream_encoder(CONTEXT)
        assert b"error" in out.encode(error)


def test_an_event_without_end_is_given_up() -> None:
    for codec in CODECS.values():
        decoder = codec.stream_decoder(max_event_bytes=100)
        (passed,) = decoder.feed(b"data: " + b"x" * 200)
        assert passed.events[0].failure.code == "oversized_event"  # type: ignore[union-attr]
        assert decoder.feed(b"data: 1\n\n") == decoder.end() == []
        assert not decoder.complete


def test_a_messages_stream_is_read() -> None:
    stream = (
        event("message_start", message={"id": "m1", "model": "c", "usage": {"input_tokens": 5, "output_tokens": 3}})
        + event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "h", "signature": "q"})
        + event("content_block_start", index=1, content_block={"type": "text", "text": "a"})
        + event("content_block_delta", index=1, delta={"type": "text_delta", "text": "b"})
        + event("content_block_delta", index=1, delta={"type": "citations_delta"})
        + event("content_block_start", index=2, content_block={"type": "server_tool_use", "id": "s"})
        + event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": "{}"})
        + event(
            "content_block_start",
            index=3,
            content_block={"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        )
        + event("content_block_stop", index=3)
        + event(
            "message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9, "service_tier": "priority"}
        )
        + event("message_delta", delta=None, usage={"output_tokens": 20})
        + event("message_stop")
        + event("message_stop")
    )
    decoder = MESSAGES.stream_decoder()
    assert meant(fed(decoder, stream)) == [
        Started("m1", "c"),
        UsageSeen(UsageReport(TokenUsage(input=5), ("opening",))),
        ReasoningDelta("h"),
        SignatureDelta("q", None, OWN),
        TextDelta("a"),
        TextDelta("b"),
        ToolCallDelta(0, "t", "f"),
        ToolCallDelta(0, arguments='{"a":1}'),
        Finished(FinishReason.TOOL_CALLS, 0, "end_turn"),
        UsageSeen(UsageReport(TokenUsage(input=5, output=9)), "priority"),
        UsageSeen(UsageReport(TokenUsage(input=5, output=20)), "priority"),
        Done(),
    ]
    assert decoder.complete


def test_a_messages_stream_without_its_stop_gets_it() -> None:
    decoder = MESSAGES.stream_decoder()
    passed = fed(decoder, event("message_delta", delta={"stop_reason": "end_turn"}, usage={}))
    assert decoder.complete
    assert passed[-1].raw == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert passed[-1].events == (Done(),)


def test_content_is_told_from_preamble() -> None:
    assert all(event.is_content for event in STORY[1:10])
    assert not any(event.is_content for event in (STORY[0], *STORY[10:]))
