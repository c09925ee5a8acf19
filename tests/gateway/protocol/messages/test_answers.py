"""Answers in this dialect: citations, refusals, usage; and what its decoder reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import Citation, Refusal, Text, ToolCall
from gateway.protocol.reply import (
    Choice,
    CitationDelta,
    Finished,
    FinishReason,
    RefusalDelta,
    Reply,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from tests.gateway.protocol.messages.asking import CONTEXT, MESSAGES, decoded, sent, spliced
from tests.gateway.protocol.messages.streaming import collected, events_out

PAGE = Citation("https://x.example/a", "A", "words", 0, 4)
WEB = {
    "type": "web_search_result_location",
    "url": "https://x.example/a",
    "title": "A",
    "cited_text": "words",
    "encrypted_index": "",
}


def test_citations_of_others_are_pages_found_by_a_search() -> None:
    reply = Reply((Choice(0, (Text("text", citations=(PAGE, Citation(title="no address"))),), FinishReason.STOP),))
    body = json.loads(MESSAGES.encode_reply(reply, CONTEXT))
    assert body["content"] == [{"type": "text", "text": "text", "citations": [WEB]}]
    Message.model_validate(body)
    message = collected([TextDelta("text"), CitationDelta(PAGE), CitationDelta(Citation())])
    assert message["content"] == [{"type": "text", "text": "text", "citations": [WEB]}]


def test_citations_of_ours_do_not_go_to_anthropic() -> None:
    native = {**WEB, "encrypted_index": "Eo8B"}
    block = {"type": "text", "text": "a", "citations": [WEB, native]}
    bare = {"type": "text", "text": "b", "citations": [WEB]}
    body = sent(spliced(messages=[{"role": "assistant", "content": [block, bare]}]))
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "a", "citations": [native]},
        {"type": "text", "text": "b"},
    ]


@pytest.mark.parametrize(
    ("native", "citation"),
    [
        (WEB, PAGE),
        (
            {"type": "char_location", "cited_text": "w", "document_index": 0, "document_title": "f.txt"},
            Citation(title="f.txt", cited_text="w", start=0, end=4),
        ),
        (
            {"type": "search_result_location", "cited_text": "w", "source": "https://s.example", "title": None},
            Citation("https://s.example", "", "w", 0, 4),
        ),
    ],
)
def test_citations_are_read(native: dict[str, Any], citation: Citation) -> None:
    body = {"content": [{"type": "text", "text": "text", "citations": [native]}], "stop_reason": "end_turn"}
    (choice,) = MESSAGES.decode_reply(json.dumps(body).encode()).choices
    (part,) = choice.parts
    assert isinstance(part, Text)
    assert part.citations == (citation,)
    (turn,) = decoded(messages=[{"role": "assistant", "content": body["content"]}]).turns
    assert turn.parts == (part,)
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "citations_delta", "citation": native}}
    raw = b"event: content_block_delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
    ((event,),) = (passed.events for passed in MESSAGES.stream_decoder().feed(raw))
    assert isinstance(event, CitationDelta)
    assert (event.citation.url, event.citation.start) == (citation.url, None)


def test_a_refusal_says_why() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    body = {"content": [], "stop_reason": "refusal", "stop_details": details}
    (choice,) = MESSAGES.decode_reply(json.dumps(body).encode()).choices
    assert (choice.parts, choice.finish) == ((Refusal("No."),), FinishReason.REFUSAL)
    reply = json.loads(MESSAGES.encode_reply(Reply((choice,)), CONTEXT))
    assert reply["stop_details"] == {"type": "refusal", "category": None, "explanation": "No."}
    Message.model_validate(reply)
    message = collected([RefusalDelta("No."), Finished(FinishReason.REFUSAL)])
    assert (message["stop_reason"], message["stop_details"]["explanation"]) == ("refusal", "No.")
    delta = {"type": "message_delta", "delta": {"stop_reason": "refusal", "stop_details": details}}
    raw = b"event: message_delta\ndata: " + json.dumps(delta).encode() + b"\n\n"
    (passed,) = MESSAGES.stream_decoder().feed(raw)
    assert passed.events == (RefusalDelta("No."), Finished(FinishReason.REFUSAL, 0, "refusal"))


@pytest.mark.parametrize(
    ("native", "reason"),
    [
        ("pause_turn", FinishReason.OTHER),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("something_new", FinishReason.OTHER),
    ],
)
def test_stop_reasons_are_read(native: str, reason: FinishReason) -> None:
    body = {"content": [{"type": "text", "text": "a"}], "stop_reason": native}
    (choice,) = MESSAGES.decode_reply(json.dumps(body).encode()).choices
    assert choice.finish is reason


def test_a_stream_starts_with_the_estimate_and_ends_with_the_truth() -> None:
    usage = TokenUsage(input=100, cache_read=800, cache_write=50, output=20, reasoning=5)
    events = events_out([TextDelta("a"), Finished(FinishReason.STOP), UsageSeen(UsageReport(usage))])
    assert events[0]["message"]["usage"]["input_tokens"] == 42
    assert events[-2]["usage"] == {
        "input_tokens": 100,
        "cache_creation_input_tokens": 50,
        "cache_read_input_tokens": 800,
        "cache_creation": {"ephemeral_5m_input_tokens": 50, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 25,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert events[-1] == {"type": "message_stop"}


def test_every_block_is_opened_and_closed_in_any_order_of_parts() -> None:
    message = collected(
        [
            TextDelta("a"),
            TextDelta(""),
            ToolCallDelta(0, "c1", "f"),
            ToolCallDelta(0, arguments='{"a":1}'),
            ToolCallDelta(1, "c2", "g", "{}"),
            TextDelta("b"),
            Finished(FinishReason.STOP),
        ]
    )
    assert [block["type"] for block in message["content"]] == ["text", "tool_use", "tool_use", "text"]
    assert message["content"][1]["input"] == {"a": 1}
    assert message["stop_reason"] == "tool_use"
    Message.model_validate(message)


def test_whole_answers_are_what_the_official_package_knows() -> None:
    parts = (Text("a"), Text(""), ToolCall("c", "f", '{"a":1}'))
    usage = UsageReport(TokenUsage(input=1, output=2, web_search=3))
    body = json.loads(MESSAGES.encode_reply(Reply((Choice(0, parts, FinishReason.STOP),), usage), CONTEXT))
    message = Message.model_validate(body)
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 3


def test_events_that_clients_do_not_know_are_not_passed_on() -> None:
    decoder = MESSAGES.stream_decoder()
    for raw, forward in ((b'event: vendor_note\ndata: {"type":"vendor_note"}\n\n', False), (b": hm\n\n", False)):
        (passed,) = decoder.feed(raw)
        assert passed.forward is forward
    (passed,) = decoder.feed(b'event: ping\ndata: {"type": "ping"}\n\n')
    assert passed.forward
