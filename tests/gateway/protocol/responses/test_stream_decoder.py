"""Responses streams from providers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import Passed
from gateway.protocol.conversation import Citation, Reasoning
from gateway.protocol.envelope import seal
from gateway.protocol.reply import (
    CitationDelta,
    Done,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    SignatureDelta,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from tests.gateway.protocol.responses.asking import CODEC

USAGE = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
REPORT = UsageReport(TokenUsage(input=5, output=2))
MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant"}
HELLO = {**MESSAGE, "content": [{"type": "output_text", "text": "Hello"}]}
CALL = {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"}
CREATED = ("created", {"response": {"id": "resp_1", "model": "up", "output": []}})


def event(kind: str, value: dict[str, Any]) -> bytes:
    body = {"type": f"response.{kind}", **value}
    return f"event: response.{kind}\ndata: {json.dumps(body)}\n\n".encode()


def completed(*output: Any, status: str = "completed", **fields: Any) -> tuple[str, dict[str, Any]]:
    return status, {"response": {"status": status, "output": list(output), "usage": USAGE, **fields}}


def read(*given: tuple[str, dict[str, Any]] | bytes) -> tuple[list[Passed], bool]:
    raw = [item if isinstance(item, bytes) else event(*item) for item in given]
    decoder = CODEC.stream_decoder()
    passed = [found for chunk in raw for found in decoder.feed(chunk)] + decoder.end()
    assert b"".join(item.raw for item in passed) == b"".join(raw)
    return passed, decoder.complete


def events(*given: tuple[str, dict[str, Any]] | bytes) -> list[StreamEvent]:
    passed, _ = read(*given)
    return [found for item in passed for found in item.events]


def text(kind: str, value: str, *, field: str = "delta", **place: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"item_id": "msg_1", "output_index": 0, "content_index": 0, field: value, **place}


def test_a_plain_answer_is_read() -> None:
    found = events(
        CREATED,
        ("in_progress", {"response": {"id": "resp_1"}}),
        ("output_item.added", {"output_index": 0, "item": {**MESSAGE, "content": []}}),
        ("content_part.added", {"item_id": "msg_1", "output_index": 0}),
        text("output_text.delta", "Hel"),
        text("output_text.delta", "lo"),
        text("output_text.done", "Hello", field="text"),
        (
            "output_item.done",
            {"output_index": 0, "item": {**MESSAGE, "content": [{"type": "output_text", "text": "Hello"}]}},
        ),
        completed({**MESSAGE, "content": [{"type": "output_text", "text": "Hello"}]}, service_tier="flex"),
    )
    assert found == [
        Started("resp_1", "up"),
        TextDelta("Hel"),
        TextDelta("lo"),
        Finished(FinishReason.STOP, native="completed"),
        UsageSeen(REPORT, "flex"),
        Done(),
    ]


def test_parallel_calls_are_told_apart_although_their_pieces_come_in_turns() -> None:
    def added(index: int, **item: Any) -> tuple[str, dict[str, Any]]:
        return "output_item.added", {"output_index": index, "item": {"id": f"i{index}", "call_id": f"c{index}", **item}}

    def piece(index: int, delta: str, kind: str = "function_call_arguments") -> tuple[str, dict[str, Any]]:
        return f"{kind}.delta", {"item_id": f"i{index}", "output_index": index, "delta": delta}

    found = events(
        added(0, type="function_call", name="f", namespace="ns", arguments=""),
        added(1, type="custom_tool_call", name="patch", input=""),
        piece(0, '{"a":'),
        piece(1, "*** ", "custom_tool_call_input"),
        piece(0, "1}"),
        piece(1, "x", "custom_tool_call_input"),
        ("function_call_arguments.done", {"item_id": "i0", "output_index": 0, "arguments": '{"a":1}'}),
        ("custom_tool_call_input.done", {"item_id": "i1", "output_index": 1, "input": "*** x"}),
        completed(),
    )
    assert found[:6] == [
        ToolCallDelta(0, "c0", "f", namespace="ns"),
        ToolCallDelta(1, "c1", "patch", custom=True),
        ToolCallDelta(0, arguments='{"a":'),
        ToolCallDelta(1, arguments="*** "),
        ToolCallDelta(0, arguments="1}"),
        ToolCallDelta(1, arguments="x"),
    ]
    assert found[6] == Finished(FinishReason.TOOL_CALLS, native="completed")


def test_reasoning_is_told_with_its_paragraphs_and_ends_with_its_encrypted_content() -> None:
    place = {"item_id": "rs_1", "output_index": 0}
    parts = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    found = events(
        ("output_item.added", {"output_index": 0, "item": {"id": "rs_1", "type": "reasoning", "summary": []}}),
        ("reasoning_summary_text.delta", {**place, "summary_index": 0, "delta": "one"}),
        ("reasoning_summary_text.delta", {**place, "summary_index": 1, "delta": "tw"}),
        ("reasoning_summary_text.delta", {**place, "summary_index": 1, "delta": "o"}),
        (
            "output_item.done",
            {
                "output_index": 0,
                "item": {"id": "rs_1", "type": "reasoning", "summary": parts, "encrypted_content": "E"},
            },
        ),
    )
    assert found == [
        ReasoningDelta("one"),
        ReasoningDelta("\n\ntw"),
        ReasoningDelta("o"),
        SignatureDelta(redacted="E", origin="openai_responses", id="rs_1"),
    ]


def test_thoughts_in_plain_text_are_read_and_said_only_once() -> None:
    place = {"item_id": "rs_1", "output_index": 0}
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "content": [{"type": "reasoning_text", "text": "hm"}],
    }
    found = events(
        ("reasoning_text.delta", {**place, "content_index": 0, "delta": "hm"}),
        ("reasoning_summary_text.delta", {**place, "summary_index": 0, "delta": "hm"}),
        ("output_item.done", {"output_index": 0, "item": item}),
    )
    assert found == [ReasoningDelta("hm")]


def test_sealed_reasoning_gets_its_own_form_back() -> None:
    sealed = seal(Reasoning("a", signature="s", origin="anthropic_messages"), with_text=True)
    item = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": sealed}
    assert events(("output_item.done", {"output_index": 0, "item": item})) == [
        SignatureDelta("s", origin="anthropic_messages")
    ]


def test_sources_and_refusals_are_read() -> None:
    note = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    other = {**note, "url": "https://b"}
    whole = [{"type": "output_text", "text": "Hi", "annotations": [note, other]}, {"type": "refusal", "refusal": "No."}]
    found = events(
        text("output_text.delta", "Hi"),
        ("output_text.annotation.added", {"item_id": "msg_1", "output_index": 0, "annotation": note}),
        text("refusal.delta", "No", content_index=1),
        ("output_item.done", {"output_index": 0, "item": {**MESSAGE, "content": whole}}),
        completed(),
    )
    assert found[:5] == [
        TextDelta("Hi"),
        CitationDelta(Citation("https://a", "A", start=0, end=2)),
        RefusalDelta("No"),
        CitationDelta(Citation("https://b", "A", start=0, end=2)),
        RefusalDelta("."),
    ]
    assert found[5] == Finished(FinishReason.REFUSAL, native="completed")


def test_items_that_come_only_whole_are_read() -> None:
    found = events(
        CREATED,
        ("output_item.done", {"item": {**MESSAGE, "content": [{"type": "output_text", "text": "Hi"}]}}),
        (
            "output_item.done",
            {"item": {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}"}},
        ),
        completed(),
    )
    assert found[1:4] == [TextDelta("Hi"), ToolCallDelta(0, "c", "f"), ToolCallDelta(0, arguments="{}")]


def test_an_answer_that_comes_only_with_the_end_is_read() -> None:
    message = {**MESSAGE, "content": [{"type": "output_text", "text": "Hi"}]}
    assert events(CREATED, completed(message))[1] == TextDelta("Hi")


def test_ids_that_change_on_the_way_do_not_repeat_anything() -> None:
    whole = {**MESSAGE, "id": "msg_other", "content": [{"type": "output_text", "text": "Hi"}]}
    found = events(
        ("output_item.added", {"output_index": 0, "item": MESSAGE}),
        text("output_text.delta", "Hi", item_id="msg_third"),
        ("output_item.done", {"output_index": 0, "item": whole}),
        ("output_item.done", {"output_index": 0, "item": {**whole, "id": "msg_2"}}),
        completed(whole),
    )
    assert [item for item in found if isinstance(item, TextDelta)] == [TextDelta("Hi"), TextDelta("Hi")]


def test_searches_are_counted() -> None:
    search = {"type": "web_search_call", "id": "ws_1"}
    found = events(("output_item.done", {"output_index": 0, "item": search}), completed())
    (seen,) = [item for item in found if isinstance(item, UsageSeen)]
    assert seen.report.usage.web_search == 1


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", FinishReason.LENGTH), ("content_filter", FinishReason.CONTENT_FILTER)],
)
def test_an_incomplete_answer_is_a_whole_stream(reason: str, finish: FinishReason) -> None:
    passed, complete = read(completed(status="incomplete", incomplete_details={"reason": reason}))
    assert complete
    assert passed[0].events[0] == Finished(finish, native=f"incomplete:{reason}")


def test_a_failed_answer_tells_what_it_used_and_is_no_whole_stream() -> None:
    error = {"code": "rate_limit_exceeded", "message": "slow"}
    passed, complete = read(CREATED, ("failed", {"response": {"status": "failed", "error": error, "usage": USAGE}}))
    assert not complete
    assert not passed[1].forward
    seen, failed = passed[1].events
    assert seen == UsageSeen(REPORT)
    assert isinstance(failed, StreamError)
    assert failed.failure.kind == "rate_limited"


def test_an_error_and_the_failed_response_after_it_are_one_failure() -> None:
    error = {"type": "error", "error": {"code": "insufficient_quota", "message": "x"}}
    raw = f"event: error\ndata: {json.dumps(error)}\n\n".encode()
    passed, complete = read(raw, ("failed", {"response": {"error": error["error"], "usage": USAGE}}))
    assert not complete
    assert [type(found) for item in passed for found in item.events] == [StreamError, UsageSeen]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b'data: {"type":"error","code":"server_error","message":"x","sequence_number":3}\n\n', "server_error"),
        (b'data: {"error":{"code":"context_length_exceeded","message":"x"}}\n\n', "context_length"),
        (b'{"error":{"code":"insufficient_quota"}}\n\n', "credit"),
        (b"data: {oops\n\n", "malformed"),
        (b"data: 5\n\n", "malformed"),
    ],
)
def test_every_form_of_error_in_a_stream_is_typed_and_kept_back(raw: bytes, kind: str) -> None:
    passed, complete = read(raw)
    (found,) = passed[0].events
    assert isinstance(found, StreamError)
    assert found.failure.kind == kind
    assert not passed[0].forward
    assert not complete


def test_comments_and_the_ending_of_chat_are_kept_back_and_unknown_events_go_on() -> None:
    passed, complete = read(
        b": keepalive\n\n", ("something_new", {"x": 1}), completed(), b"data: [DONE]\n\n", event("late", {})
    )
    assert complete
    assert [item.forward for item in passed] == [False, True, True, False, True]
    assert passed[4].events == ()


def test_a_cut_stream_is_not_whole() -> None:
    _, complete = read(CREATED, text("output_text.delta", "Hi"))
    assert not complete


def test_a_last_event_without_its_blank_line_is_read() -> None:
    decoder = CODEC.stream_decoder()
    assert decoder.feed(event(*completed()).rstrip()) == []
    (last,) = decoder.end()
    assert decoder.complete
    assert last.raw.endswith(b"}\n\n")


def test_an_oversized_event_breaks_the_stream() -> None:
    decoder = CODEC.stream_decoder(max_event_bytes=100)
    (broken,) = decoder.feed(b"data: " + b"x" * 200)
    assert isinstance(broken.events[0], StreamError)
    assert decoder.feed(event(*completed())) == []
    assert decoder.end() == []
    assert not decoder.complete


JSON = st.recursive(
    st.none() | st.integers(-2, 3) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [
    "output_item.added",
    "output_item.done",
    "output_text.delta",
    "output_text.annotation.added",
    "reasoning_summary_text.done",
    "function_call_arguments.delta",
    "custom_tool_call_input.done",
    "completed",
    "failed",
]
KINDS = st.sampled_from(["message", "function_call", "reasoning", "web_search_call"]) | JSON
ITEM = st.fixed_dictionaries({}, optional={"type": KINDS, "name": JSON, "content": JSON, "summary": JSON, "id": JSON})
ANY = st.fixed_dictionaries(
    {},
    optional={"item": ITEM | JSON, **dict.fromkeys(["delta", "response", "output_index", "item_id", "text"], JSON)},
)


@given(st.lists(st.tuples(st.sampled_from(NAMES), ANY), max_size=5))
def test_no_stream_raises(given: list[tuple[str, dict[str, Any]]]) -> None:
    decoder = CODEC.stream_decoder()
    for name, value in given:
        decoder.feed(event(name, value))
    decoder.end()
