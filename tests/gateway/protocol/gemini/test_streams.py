"""Streams in both directions."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import Passed
from gateway.protocol.conversation import Citation, CustomFormat, Reasoning, Tool
from gateway.protocol.envelope import unseal
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.problem import Problem, UpstreamFailure
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
from tests.gateway.protocol import replaying
from tests.gateway.protocol.gemini.asking import CODEC, CONTEXT, chunks_in, decode, stream

STOPPED = Finished(FinishReason.STOP, native="STOP")
CALLED = Finished(FinishReason.TOOL_CALLS, native="STOP")
SIGNED = SignatureDelta("QQ==", origin=DIALECT)


def chunk(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **more}


def sse(*chunks: Any, end: str = "\n\n") -> bytes:
    return "".join(f"data: {json.dumps(item)}{end}" for item in chunks).encode()


def passed(body: bytes) -> tuple[list[Passed], bool]:
    return replaying.decode_stream(CODEC, [body])


def read(*chunks: Any) -> list[StreamEvent]:
    """The events after the first, which only says that the answer has begun."""
    first, *events = replaying.events_of(passed(sse(*chunks))[0])
    assert isinstance(first, Started)
    return events


def call(**value: Any) -> dict[str, Any]:
    return {"functionCall": value}


# read -------------------------------------------------------------------------------------------------------------


def test_a_stream_is_read_whole() -> None:
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 4, "totalTokenCount": 9}
    body = sse(
        chunk({"text": "hm", "thought": True}, responseId="r1", modelVersion="v1"),
        chunk({"text": "Hel"}),
        chunk({"text": "lo"}),
        chunk({"text": "", "thoughtSignature": "QQ=="}, finish="STOP", usageMetadata=usage),
    )
    items, complete = passed(body)
    assert replaying.events_of(items) == [
        Started("r1", "v1"),
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        SIGNED,
        UsageSeen(UsageReport(TokenUsage(input=3, output=2, reasoning=4))),
        STOPPED,
        Done(),
    ]
    assert complete
    assert b"".join(item.raw for item in items if item.forward) == body


def test_parallel_calls_are_counted_with_and_without_ids() -> None:
    events = read(
        chunk({**call(id="c1", name="f", args={"a": 1}), "thoughtSignature": "QQ=="}, call(name="g")),
        chunk(call(name="f", args={}), finish="STOP"),
    )
    assert events == [
        SIGNED,
        ToolCallDelta(0, "c1", "f", '{"a":1}'),
        ToolCallDelta(1, "", "g", "{}"),
        ToolCallDelta(2, "", "f", "{}"),
        CALLED,
        Done(),
    ]


def pieces(*partial: dict[str, Any], goes_on: bool = True) -> dict[str, Any]:
    more = {"willContinue": True} if goes_on else {}
    return chunk(call(partialArgs=list(partial), **more))


def test_arguments_in_pieces_are_put_together() -> None:
    events = read(
        chunk(call(id="c1", name="f", willContinue=True)),
        pieces({"jsonPath": "$.place", "stringValue": "New ", "willContinue": True}),
        pieces({"jsonPath": "$.place", "stringValue": "York"}, {"jsonPath": "$.days[1].n", "numberValue": 2}),
        pieces({"jsonPath": "$['a b']", "boolValue": True}, {"jsonPath": '$["c"]', "nullValue": "NULL_VALUE"}),
        chunk(call()),
        chunk({"text": "."}, finish="STOP"),
    )
    assert events[0] == ToolCallDelta(0, "c1", "f", "")
    assert isinstance(events[1], ToolCallDelta)
    assert events[1].id is None
    assert json.loads(events[1].arguments) == {
        "place": "New York",
        "days": [None, {"n": 2}],
        "a b": True,
        "c": None,
    }
    assert events[2:] == [TextDelta("."), CALLED, Done()]


@pytest.mark.parametrize("path", ["$", "", "nonsense", "$[99999]", "$.a[", None, 3])
def test_a_piece_without_a_place_is_left_out(path: Any) -> None:
    events = read(chunk(call(name="f", willContinue=True)), pieces({"jsonPath": path, "stringValue": "x"}))
    assert events == [ToolCallDelta(0, "", "f", "")]


def test_a_call_in_pieces_ends_with_the_stream_or_with_the_next_call() -> None:
    begun = chunk(call(name="f", willContinue=True, partialArgs=[{"jsonPath": "$.a", "numberValue": 1}]))
    assert read(begun, chunk(finish="STOP")) == [
        ToolCallDelta(0, "", "f", ""),
        ToolCallDelta(0, arguments='{"a":1}'),
        CALLED,
        Done(),
    ]
    assert read(begun, chunk(call(name="g")))[1:] == [
        ToolCallDelta(0, arguments='{"a":1}'),
        ToolCallDelta(1, "", "g", "{}"),
    ]


def test_a_blocked_prompt_ends_the_answer() -> None:
    items, complete = passed(sse({"promptFeedback": {"blockReason": "SAFETY"}}))
    assert replaying.events_of(items)[1:] == [Finished(FinishReason.CONTENT_FILTER, native="BLOCKED:SAFETY"), Done()]
    assert complete


def test_an_answer_that_was_blocked_on_the_way() -> None:
    assert read(chunk({"text": "a"}), {"candidates": [{"finishReason": "SAFETY"}]}) == [
        TextDelta("a"),
        Finished(FinishReason.CONTENT_FILTER, native="SAFETY"),
        Done(),
    ]


def test_a_finish_with_every_piece_is_told_once_and_the_last_one_counts() -> None:
    assert read(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="MAX_TOKENS")) == [
        TextDelta("a"),
        TextDelta("b"),
        Finished(FinishReason.LENGTH, native="MAX_TOKENS"),
        Done(),
    ]


def test_each_source_is_told_once() -> None:
    def sources(count: int) -> dict[str, Any]:
        return {"webSearchQueries": ["a"], "groundingChunks": [{"web": {"uri": f"https://{n}"}} for n in range(count)]}

    first, second = chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")
    first["candidates"][0]["groundingMetadata"] = sources(1)
    second["candidates"][0]["groundingMetadata"] = sources(2)
    second["usageMetadata"] = {"promptTokenCount": 1}
    assert read(first, second) == [
        TextDelta("a"),
        CitationDelta(Citation("https://0")),
        TextDelta("b"),
        CitationDelta(Citation("https://1")),
        UsageSeen(UsageReport(TokenUsage(input=1, web_search=1))),
        STOPPED,
        Done(),
    ]


def test_usage_replaces_earlier_usage_and_names_the_tier() -> None:
    first = {"promptTokenCount": 9, "totalTokenCount": 9}
    last = {
        "promptTokenCount": 9,
        "cachedContentTokenCount": 4,
        "toolUsePromptTokenCount": 2,
        "candidatesTokenCount": 1,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 15,
        "serviceTier": "FLEX",
    }
    events = read(chunk({"text": "a"}, usageMetadata=first), chunk(finish="STOP", usageMetadata=last))
    assert [event for event in events if isinstance(event, UsageSeen)] == [
        UsageSeen(UsageReport(TokenUsage(input=9))),
        UsageSeen(UsageReport(TokenUsage(input=7, cache_read=4, output=1, reasoning=3)), "flex"),
    ]


def test_lines_may_end_as_in_windows_and_the_last_event_may_be_unterminated() -> None:
    plain = sse(chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP"))
    windows = sse(chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP"), end="\r\n\r\n")
    wanted = replaying.events_of(passed(plain)[0])
    for body in (windows, windows.rstrip(), plain.rstrip()):
        items, complete = passed(body)
        assert complete
        assert replaying.events_of(items) == wanted
        assert b"".join(item.raw for item in items).endswith(b"\n")


@pytest.mark.parametrize("cut", sorted(replaying.CUTS))
def test_the_cut_makes_no_difference(cut: str) -> None:
    body = sse(chunk({"text": "Größe"}), chunk(call(name="f"), finish="STOP"), end="\r\n\r\n")
    assert replaying.decode_stream(CODEC, replaying.CUTS[cut](body)) == passed(body)


def test_a_cut_stream_is_not_complete() -> None:
    items, complete = passed(sse(chunk({"text": "a"})))
    assert not complete
    assert Done() not in replaying.events_of(items)
    assert passed(b"") == ([Passed(b"")], False)
    assert not passed(b"<html>busy</html>")[1]


ERROR = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "body",
    [
        sse(ERROR),
        json.dumps(ERROR).encode(),
        json.dumps([ERROR], indent=2).encode(),
        sse(chunk({"text": "a"})) + sse(ERROR),
        sse(chunk({"text": "a"}, finish="STOP")) + sse(ERROR),
    ],
)
def test_an_error_inside_a_stream_is_told_and_held_back(body: bytes) -> None:
    items, complete = passed(body)
    errors = [item for item in items if any(isinstance(event, StreamError) for event in item.events)]
    assert [item.forward for item in errors] == [False]
    (error,) = errors[0].events
    assert isinstance(error, StreamError)
    assert error.failure.kind == "overloaded"
    assert not complete
    assert not any(isinstance(event, Finished | Done) for event in replaying.events_of(items))


@pytest.mark.parametrize("body", [b"data: nope\n\n", b"data: []\n\n", b'{"candidates": ['])
def test_what_is_no_stream_is_an_error(body: bytes) -> None:
    items, complete = passed(body)
    assert any(isinstance(event, StreamError) for event in replaying.events_of(items))
    assert not complete


def test_an_event_that_is_too_large_breaks_the_stream() -> None:
    decoder = CODEC.stream_decoder(max_event_bytes=50)
    (item,) = decoder.feed(sse(chunk({"text": "a" * 100})))
    assert isinstance(item.events[0], StreamError)
    assert decoder.feed(sse(chunk())) == []
    assert decoder.end() == []
    assert not decoder.complete


def test_comments_and_foreign_endings_say_nothing() -> None:
    items, complete = passed(b": hi\n\n" + sse(chunk({"text": "a"}, finish="STOP")) + b"data: [DONE]\n\n")
    assert complete
    assert [event for event in replaying.events_of(items) if event.is_content] == [TextDelta("a")]
    assert [item.forward for item in items if b"DONE" in item.raw] == [False]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "candidates",
                    "content",
                    "parts",
                    "text",
                    "thought",
                    "functionCall",
                    "name",
                    "args",
                    "partialArgs",
                    "jsonPath",
                    "willContinue",
                    "stringValue",
                    "index",
                    "groundingMetadata",
                    "usageMetadata",
                    "promptTokenCount",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3))
def test_reading_never_raises(values: list[Any]) -> None:
    wrapped = [{"candidates": [{"content": {"parts": [value]}}]} for value in values]
    passed(sse(*values, *wrapped))


# written ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_written_exactly_so() -> None:
    written = stream(
        [
            Started("x", "y"),
            ReasoningDelta("hm"),
            TextDelta("Hel"),
            TextDelta("lo"),
            CitationDelta(Citation("https://a", "A", start=0, end=5)),
            SIGNED,
            ToolCallDelta(0, "c1", "f"),
            ToolCallDelta(0, arguments='{"a":'),
            ToolCallDelta(0, arguments="1}"),
            ToolCallDelta(1, "", "g"),
            Finished(FinishReason.TOOL_CALLS),
            UsageSeen(UsageReport(TokenUsage(input=5, output=2, reasoning=3)), "flex"),
            Done(),
        ]
    )
    ids = {"modelVersion": "some/model", "responseId": "gen-1"}

    def part(value: dict[str, Any]) -> dict[str, Any]:
        return {"candidates": [{"content": {"role": "model", "parts": [value]}, "index": 0}], **ids}

    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [
            {"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}
        ],
    }
    assert written == [
        part({"text": "hm", "thought": True}),
        part({"text": "Hel"}),
        part({"text": "lo"}),
        part({"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QQ=="}),
        part({"functionCall": {"id": "call_gen-1_1", "name": "g", "args": {}}}),
        {
            "candidates": [
                {
                    "content": {"role": "model", "parts": []},
                    "index": 0,
                    "finishReason": "STOP",
                    "groundingMetadata": grounding,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 5,
                "candidatesTokenCount": 2,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 10,
                "serviceTier": "flex",
            },
            **ids,
        },
    ]


def parts_written(*events: StreamEvent) -> list[dict[str, Any]]:
    return [part for item in stream(events) for part in item["candidates"][0]["content"]["parts"]]


def test_a_stream_of_gemini_s_own_comes_back_as_it_was() -> None:
    body = sse(
        chunk({"text": "hm", "thought": True}),
        chunk({**call(id="c1", name="f", args={"a": 1}), "thoughtSignature": "QQ=="}),
        chunk(call(id="c2", name="g", args={})),
        chunk({"text": "", "thoughtSignature": "Qg=="}, finish="STOP", usageMetadata={"promptTokenCount": 2}),
    )
    events = replaying.events_of(passed(body)[0])
    encoder = CODEC.stream_encoder(CONTEXT)
    again = b"".join(encoder.encode(event) for event in events) + encoder.end()
    assert replaying.events_of(passed(again)[0])[1:] == events[1:]


def test_signatures_one_after_the_other_are_all_kept() -> None:
    second = SignatureDelta("Qg==", origin=DIALECT)
    assert parts_written(SIGNED, second, TextDelta("a"), SIGNED, second) == [
        {"text": "", "thoughtSignature": "QQ=="},
        {"text": "a", "thoughtSignature": "Qg=="},
        {"text": "", "thoughtSignature": "QQ=="},
        {"text": "", "thoughtSignature": "Qg=="},
    ]


def test_reasoning_of_another_maker_is_closed_by_a_seal_of_the_whole_piece() -> None:
    foreign = SignatureDelta("s", origin="anthropic_messages")
    *thoughts, sealed, text = parts_written(ReasoningDelta("h"), ReasoningDelta("m"), foreign, TextDelta("a"))
    assert thoughts == [{"text": "h", "thought": True}, {"text": "m", "thought": True}]
    assert text == {"text": "a"}
    assert (sealed["text"], sealed["thought"]) == ("", True)
    token = base64.b64decode(sealed["thoughtSignature"]).decode()
    assert unseal(token) == Reasoning("hm", signature="s", origin="anthropic_messages")


def test_every_streamed_call_gets_an_id_that_the_caller_can_return() -> None:
    parts = parts_written(ToolCallDelta(0, None, "f"), ToolCallDelta(1, "", "f"), ToolCallDelta(2, "c", "f"))
    ids = [part["functionCall"]["id"] for part in parts]
    assert ids == ["call_gen-1_0", "call_gen-1_1", "c"]


def test_a_custom_call_is_a_function_with_one_text() -> None:
    conversation = replace(decode(), tools=(Tool("patch", custom=CustomFormat()),))
    (item, _) = stream(
        [ToolCallDelta(0, "c", "patch", "free", custom=True), TextDelta("")],
        replace(CONTEXT, conversation=conversation),
    )
    assert item["candidates"][0]["content"]["parts"] == [
        {"functionCall": {"id": "c", "name": "patch", "args": {"input": "free"}}}
    ]


def test_a_refusal_is_text_and_several_choices_stand_apart() -> None:
    written = stream(
        [RefusalDelta("No."), TextDelta("b", 1), Finished(FinishReason.REFUSAL), Finished(FinishReason.STOP, 1)]
    )
    assert [item["candidates"][0]["index"] for item in written] == [0, 1, 0]
    assert written[0]["candidates"][0]["content"]["parts"] == [{"text": "No."}]
    assert [(one["index"], one["finishReason"]) for one in written[-1]["candidates"]] == [(0, "SAFETY"), (1, "STOP")]


def test_a_stream_without_usage_or_finish_still_ends_well() -> None:
    (last,) = stream([], replace(CONTEXT, input_tokens=4))
    assert last["candidates"][0]["finishReason"] == "STOP"
    assert last["usageMetadata"] == {"promptTokenCount": 4, "totalTokenCount": 4}


def test_a_problem_ends_the_stream() -> None:
    encoder = CODEC.stream_encoder(CONTEXT)
    begun = encoder.encode(TextDelta("a"))
    failed = encoder.encode(StreamError(UpstreamFailure(status=503, kind="overloaded")))
    assert encoder.end() == encoder.encode(TextDelta("b")) == encoder.problem(Problem("server", "x")) == b""
    _, error = chunks_in(begun + failed)
    assert (error["error"]["code"], error["error"]["status"]) == (503, "UNAVAILABLE")
    items, complete = passed(begun + failed)
    assert not complete
    assert isinstance(items[1].events[0], StreamError)


def test_a_keep_alive_says_nothing() -> None:
    encoder = CODEC.stream_encoder(CONTEXT)
    body = encoder.keep_alive() + encoder.encode(TextDelta("a")) + encoder.keep_alive() + encoder.end()
    items, complete = passed(body)
    assert complete
    assert [event for event in replaying.events_of(items) if event.is_content] == [TextDelta("a")]
