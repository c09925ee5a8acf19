"""Responses streams for callers: the exact events, in their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import Citation, Reasoning
from gateway.protocol.envelope import unseal
from gateway.protocol.problem import Problem, ProblemKind, UpstreamFailure
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
from tests.gateway.protocol.responses.asking import CODEC, CONTEXT, decode, events_in, stream

STOP = Finished(FinishReason.STOP)


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


def output(*events: StreamEvent, **context: Any) -> list[dict[str, Any]]:
    """The output of the last event, which must be the items that were closed on the way, in their places."""
    written = stream(events, replace(CONTEXT, **context))
    closed = {event["output_index"]: event["item"] for event in written if event["type"].endswith("output_item.done")}
    response = written[-1]["response"]
    assert response["output"] == [closed[index] for index in range(len(closed))]
    return response["output"]  # type: ignore[no-any-return]


def test_an_answer_is_written_exactly_so() -> None:
    written = stream(
        [
            Started("x", "y"),
            ReasoningDelta("hm"),
            ReasoningDelta("."),
            SignatureDelta("sig", origin="anthropic_messages"),
            TextDelta("Hel"),
            TextDelta("lo"),
            CitationDelta(Citation("https://a", "A", start=0, end=5)),
            ToolCallDelta(0, "c1", "f"),
            ToolCallDelta(0, arguments='{"a":1}'),
            Finished(FinishReason.TOOL_CALLS),
            UsageSeen(UsageReport(TokenUsage(input=5, output=2)), "flex"),
            Done(),
        ]
    )
    assert kinds(written) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    assert [event["sequence_number"] for event in written] == list(range(len(written)))
    assert written[0]["response"]["status"] == written[1]["response"]["status"] == "in_progress"
    assert written[0]["response"]["output"] == []
    assert written[0]["response"]["usage"] is None
    sealed = written[8]["item"].pop("encrypted_content")
    assert unseal(sealed) == Reasoning("hm.", signature="sig", origin="anthropic_messages")
    assert written[8]["item"] == {
        "id": "rs_gen-1_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm."}],
    }
    assert written[11] == {
        "type": "response.output_text.delta",
        "sequence_number": 11,
        "item_id": "msg_gen-1_1",
        "output_index": 1,
        "content_index": 0,
        "delta": "Hel",
        "logprobs": [],
    }
    cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 5}
    assert written[16]["item"] == {
        "id": "msg_gen-1_1",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hello", "annotations": [cited], "logprobs": []}],
    }
    assert written[17]["item"]["status"] == "in_progress"
    assert written[17]["item"]["arguments"] == ""
    assert written[20]["item"] == {
        "id": "fc_gen-1_2",
        "type": "function_call",
        "status": "completed",
        "call_id": "c1",
        "name": "f",
        "arguments": '{"a":1}',
    }
    response = written[21]["response"]
    assert (response["id"], response["status"], response["service_tier"]) == ("resp_gen-1", "completed", "flex")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message", "function_call"]
    assert response["usage"]["total_tokens"] == 7


def test_the_same_answer_is_written_in_the_same_bytes() -> None:
    def written() -> bytes:
        encoder = CODEC.stream_encoder(CONTEXT)
        return encoder.encode(ReasoningDelta("a")) + encoder.encode(TextDelta("b")) + encoder.end()

    assert written() == written()


def test_an_empty_answer_has_a_beginning_and_an_end() -> None:
    written = stream([], replace(CONTEXT, input_tokens=12))
    assert kinds(written) == ["created", "in_progress", "completed"]
    # Without usage some clients ask again for ever.
    assert written[-1]["response"]["usage"]["input_tokens"] == 12


def test_pieces_of_parallel_calls_may_come_in_turns() -> None:
    first, second = output(
        ToolCallDelta(0, "c1", "f", "{"),
        ToolCallDelta(1, "c2", "g"),
        ToolCallDelta(0, arguments="}"),
        Finished(FinishReason.TOOL_CALLS),
    )
    assert (first["name"], first["arguments"]) == ("f", "{}")
    # Clients parse the text: a call without arguments has an empty object.
    assert (second["name"], second["arguments"]) == ("g", "{}")


def test_more_of_a_call_that_was_given_as_whole_is_an_error() -> None:
    written = stream([ToolCallDelta(0, "c1", "f", "{"), TextDelta("x"), ToolCallDelta(0, arguments="}")])
    assert written[-1]["type"] == "response.failed"


def test_calls_get_the_callers_own_form_back() -> None:
    conversation = decode(
        tools=[
            {"type": "custom", "name": "patch"},
            {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "f"}]},
        ]
    )
    context = replace(CONTEXT, conversation=conversation)
    written = stream(
        [
            ToolCallDelta(0, "c1", "patch", '{"inp'),
            ToolCallDelta(0, arguments='ut": "*** x"}'),
            ToolCallDelta(1, "c2", "ns__f", "{}"),
            Finished(FinishReason.TOOL_CALLS),
        ],
        context,
    )
    assert [kind for kind in kinds(written) if "call" in kind] == [
        "custom_tool_call_input.delta",
        "function_call_arguments.delta",
        "custom_tool_call_input.done",
        "function_call_arguments.done",
    ]
    # Callers run them in this order: the patch before what checks it.
    custom, function = written[-1]["response"]["output"]
    assert (custom["type"], custom["name"], custom["input"], custom["id"]) == (
        "custom_tool_call",
        "patch",
        "*** x",
        "ctc_gen-1_0",
    )
    assert (function["type"], function["name"], function["namespace"]) == ("function_call", "f", "ns")


def test_a_custom_call_that_is_waited_for_is_written_at_the_end() -> None:
    conversation = decode(tools=[{"type": "custom", "name": "patch"}])
    (item,) = output(ToolCallDelta(0, "c1", "patch", '{"input": "x"}'), conversation=conversation)
    assert item["input"] == "x"


def test_a_signature_without_thoughts_is_an_item_of_its_own_before_what_follows() -> None:
    signed, call = output(SignatureDelta("s", origin="gemini_generate"), ToolCallDelta(0, "c", "f", "{}"))
    assert signed["summary"] == []
    assert unseal(signed["encrypted_content"]) == Reasoning(signature="s", origin="gemini_generate")
    assert call["type"] == "function_call"


def test_thoughts_without_a_signature_have_no_encrypted_content() -> None:
    thoughts, _ = output(ReasoningDelta("hm"), TextDelta("Hi"))
    assert thoughts == {
        "id": "rs_gen-1_0",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
    }


def test_native_reasoning_keeps_its_id_in_the_seal() -> None:
    """The item was opened under an id of ours; its maker knows the content by its own."""
    item, _ = output(
        ReasoningDelta("hm"), SignatureDelta(redacted="E", origin="openai_responses", id="rs_9"), TextDelta("Hi")
    )
    assert item["id"] == "rs_gen-1_0"
    assert unseal(item["encrypted_content"]) == Reasoning("hm", redacted="E", origin="openai_responses", id="rs_9")


def test_a_cut_answer_is_incomplete() -> None:
    written = stream([TextDelta("Hi"), Finished(FinishReason.LENGTH)])
    assert written[-1]["type"] == "response.incomplete"
    response = written[-1]["response"]
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"


def test_arguments_that_were_cut_before_they_began_are_not_made_up() -> None:
    written = stream([ToolCallDelta(0, "c", "f"), Finished(FinishReason.LENGTH)])
    (call,) = written[-1]["response"]["output"]
    assert (call["arguments"], call["status"]) == ("", "incomplete")


@pytest.mark.parametrize("finish", [FinishReason.REFUSAL, FinishReason.CONTENT_FILTER])
@pytest.mark.parametrize("before", [(), (TextDelta("Well,"),), (RefusalDelta("No."),)])
def test_a_refusal_is_a_completed_answer_that_says_so(before: tuple[StreamEvent, ...], finish: FinishReason) -> None:
    written = stream([*before, Finished(finish)])
    assert written[-1]["type"] == "response.completed"
    (message,) = written[-1]["response"]["output"]
    assert [part["type"] for part in message["content"]].count("refusal") == 1
    assert "refusal.done" in kinds(written)


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [
        ("payment_required", None, "insufficient_quota"),
        ("rate_limited", None, "rate_limit_exceeded"),
        ("invalid_request", "context_length_exceeded", "context_length_exceeded"),
        ("invalid_request", "content_policy_violation", "invalid_prompt"),
        ("overloaded", None, "server_error"),
        ("upstream", "upstream_error", "server_error"),
        ("timeout", None, "server_error"),
    ],
)
def test_a_problem_ends_the_stream_with_a_code_that_clients_know(
    kind: ProblemKind, code: str | None, expected: str
) -> None:
    encoder = CODEC.stream_encoder(CONTEXT)
    written = events_in(encoder.problem(Problem(kind, "Sorry.", code=code)))
    assert kinds(written) == ["created", "in_progress", "failed"]
    response = written[-1]["response"]
    assert response["status"] == "failed"
    assert response["error"] == {"code": expected, "message": "Sorry."}
    assert encoder.encode(TextDelta("x")) == encoder.end() == encoder.problem(Problem("server", "x")) == b""


def test_a_broken_answer_keeps_what_was_whole() -> None:
    failure = UpstreamFailure(200, "overloaded")
    written = stream([TextDelta("Hi"), ToolCallDelta(0, "c", "f"), StreamError(failure), TextDelta("x")])
    assert written[-1]["type"] == "response.failed"
    assert [item["type"] for item in written[-1]["response"]["output"]] == ["message"]


def test_other_choices_than_the_first_are_left_out() -> None:
    (message,) = output(TextDelta("a"), TextDelta("b", choice=1), STOP)
    assert message["content"][0]["text"] == "a"


def test_nothing_is_a_comment() -> None:
    assert CODEC.stream_encoder(CONTEXT).keep_alive() == b": keep-alive\n\n"
