"""Whole Responses replies, read and written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import (
    Citation,
    CustomFormat,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
)
from gateway.protocol.envelope import unseal
from gateway.protocol.problem import Problem, ProtocolError
from gateway.protocol.reply import Choice, FinishReason, Reply, UsageReport
from tests.gateway.protocol.responses.asking import CODEC, CONTEXT, decode

ANSWER = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}


def reply(*output: Any, **fields: Any) -> Reply:
    body = {"id": "resp_1", "object": "response", "model": "up", "status": "completed", "output": list(output)}
    return CODEC.decode_reply(json.dumps({**body, **fields}).encode())


def said(text: str, **fields: Any) -> dict[str, Any]:
    return {**ANSWER, "content": [{"type": "output_text", "text": text, "annotations": [], **fields}]}


def written(*parts: Any, finish: FinishReason | None = FinishReason.STOP, **context: Any) -> dict[str, Any]:
    answer = Reply((Choice(0, tuple(parts), finish),))
    return json.loads(CODEC.encode_reply(answer, replace(CONTEXT, **context)))  # type: ignore[no-any-return]


def test_every_kind_of_output_is_read_in_order() -> None:
    cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 2}
    answer = reply(
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "why"}],
            "encrypted_content": "E",
        },
        {"type": "web_search_call", "id": "ws_1"},
        said("Hi", annotations=[cited]),
        {**ANSWER, "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "ns"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "x"},
        service_tier="default",
    )
    (choice,) = answer.choices
    assert choice.parts == (
        Reasoning("why", redacted="E", origin="openai_responses", id="rs_1"),
        Opaque("openai_responses", "web_search_call", {"type": "web_search_call", "id": "ws_1"}),
        Text("Hi", citations=(Citation("https://a", "A", start=0, end=2),)),
        Refusal("No."),
        ToolCall("c1", "f", "{}", namespace="ns"),
        ToolCall("c2", "patch", "x", custom=True),
    )
    assert (answer.upstream_id, answer.upstream_model, answer.service_tier) == ("resp_1", "up", "default")


@pytest.mark.parametrize(
    ("output", "fields", "finish", "native"),
    [
        (said("Hi"), {}, FinishReason.STOP, "completed"),
        ({"type": "function_call", "call_id": "c", "name": "f"}, {}, FinishReason.TOOL_CALLS, "completed"),
        ({**ANSWER, "content": [{"type": "refusal", "refusal": "No."}]}, {}, FinishReason.REFUSAL, "completed"),
        (
            said("Hi"),
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            FinishReason.LENGTH,
            "incomplete:max_output_tokens",
        ),
        (
            said("Hi"),
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            FinishReason.CONTENT_FILTER,
            "incomplete:content_filter",
        ),
        (said("Hi"), {"status": "incomplete", "incomplete_details": None}, FinishReason.OTHER, "incomplete"),
        (said("Hi"), {"status": "cancelled"}, FinishReason.OTHER, "cancelled"),
        (said("Hi"), {"status": None}, None, ""),
    ],
)
def test_how_an_answer_ended_is_told_by_status_and_content(
    output: Any, fields: dict[str, Any], finish: FinishReason | None, native: str
) -> None:
    (choice,) = reply(output, **fields).choices
    assert (choice.finish, choice.native_finish) == (finish, native)


def test_tokens_are_counted_in_buckets_and_searches_in_the_output() -> None:
    usage = {
        "input_tokens": 100,
        "input_tokens_details": {
            "cached_tokens": 40,
            "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
        },
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 150,
    }
    search = {"type": "web_search_call", "id": "ws_1"}
    report = reply(search, search, said("Hi"), usage=usage).usage
    assert report == UsageReport(
        TokenUsage(input=30, cache_read=40, cache_write=10, cache_write_long=20, output=30, reasoning=20, web_search=2)
    )


def test_usage_with_the_names_of_chat_is_read_as_well() -> None:
    report = reply(said("Hi"), usage={"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}).usage
    assert report is not None
    assert (report.usage.input, report.usage.output) == (7, 3)


@pytest.mark.parametrize("body", [b"{}", b"[]", b"no", b'{"output": null}', b'{"output": [], "status": "failed"}'])
def test_what_is_no_reply_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        CODEC.decode_reply(body)
    assert caught.value.problem.kind == "upstream"


JSON = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["message", "function_call", "custom_tool_call", "reasoning", "web_search_call"]) | JSON
OUTPUT = st.fixed_dictionaries(
    {},
    optional={"type": KINDS, **dict.fromkeys(["content", "summary", "name", "arguments", "encrypted_content"], JSON)},
)


@given(st.lists(OUTPUT | JSON, max_size=4), JSON, JSON)
def test_any_output_can_be_read_and_written(output: list[Any], usage: Any, details: Any) -> None:
    answer = reply(*output, usage=usage, incomplete_details=details)
    CODEC.encode_reply(answer, CONTEXT)


def test_an_answer_is_written_whole() -> None:
    body = written(
        Reasoning("why", signature="sig", origin="anthropic_messages"),
        Text("Hi", citations=(Citation("https://a", "A"), Citation(cited_text="of no page"))),
        Text(" there"),
        ToolCall("c1", "f", ""),
    )
    sealed = body["output"][0].pop("encrypted_content")
    assert unseal(sealed) == Reasoning("why", signature="sig", origin="anthropic_messages")
    cited = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 2, "end_index": 2}
    assert body["output"] == [
        {"id": "rs_gen-1_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]},
        {
            "id": "msg_gen-1_1",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "Hi", "annotations": [cited], "logprobs": []},
                {"type": "output_text", "text": " there", "annotations": [], "logprobs": []},
            ],
        },
        {
            "id": "fc_gen-1_2",
            "type": "function_call",
            "status": "completed",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
        },
    ]
    assert (body["id"], body["object"], body["status"], body["model"]) == (
        "resp_gen-1",
        "response",
        "completed",
        "some/model",
    )
    assert body["store"] is False


def test_native_reasoning_keeps_its_id_and_content() -> None:
    body = written(Reasoning("why", redacted="E", origin="openai_responses", id="rs_9"), Text("Hi"))
    assert body["output"][0] == {
        "id": "rs_9",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "why"}],
        "encrypted_content": "E",
    }


def test_a_cut_answer_is_incomplete() -> None:
    body = written(Text("one"), finish=FinishReason.LENGTH)
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert body["output"][0]["status"] == "incomplete"


def test_arguments_that_were_cut_before_they_began_are_not_made_up() -> None:
    first, last = written(ToolCall("c1", "f", ""), ToolCall("c2", "g", ""), finish=FinishReason.LENGTH)["output"]
    assert (first["arguments"], first["status"]) == ("{}", "completed")
    assert (last["arguments"], last["status"]) == ("", "incomplete")


@pytest.mark.parametrize("finish", [FinishReason.REFUSAL, FinishReason.CONTENT_FILTER])
def test_a_refusal_is_a_completed_answer_that_says_so(finish: FinishReason) -> None:
    body = written(Text("Well,"), finish=finish)
    assert (body["status"], body["incomplete_details"]) == ("completed", None)
    assert [part["type"] for part in body["output"][0]["content"]] == ["output_text", "refusal"]
    kept = written(Refusal("No."), finish=finish)
    assert kept["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_calls_get_the_callers_own_form_back() -> None:
    conversation = decode(
        tools=[
            {"type": "custom", "name": "patch"},
            {"type": "namespace", "name": "ns", "tools": [{"type": "function", "name": "f"}]},
        ]
    )
    body = written(
        ToolCall("c1", "patch", '{"input": "*** x"}'), ToolCall("c2", "ns__f", '{"a": 1}'), conversation=conversation
    )
    assert body["output"] == [
        {
            "id": "ctc_gen-1_0",
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": "c1",
            "name": "patch",
            "input": "*** x",
        },
        {
            "id": "fc_gen-1_1",
            "type": "function_call",
            "status": "completed",
            "call_id": "c2",
            "name": "f",
            "namespace": "ns",
            "arguments": '{"a": 1}',
        },
    ]
    assert conversation.tools[0] == Tool("patch", custom=CustomFormat())


def test_a_call_without_an_id_gets_one() -> None:
    assert written(ToolCall("", "f", "{}"))["output"][0]["call_id"] == "call_gen-1_0"


def test_usage_is_told_in_openais_convention_with_what_we_add() -> None:
    usage = TokenUsage(input=30, cache_read=40, cache_write=10, cache_write_long=20, output=30, reasoning=20)
    answer = Reply((Choice(0, (Text("Hi"),), FinishReason.STOP),), usage=UsageReport(usage), service_tier="flex")
    body = json.loads(CODEC.encode_reply(answer, replace(CONTEXT, extra_usage={"cost": 1})))
    assert body["usage"] == {
        "input_tokens": 100,
        "input_tokens_details": {
            "cached_tokens": 40,
            "cache_write_tokens": 30,
            "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
        },
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 150,
        "cost": 1,
    }
    assert body["service_tier"] == "flex"


def test_an_answer_without_usage_tells_the_estimate() -> None:
    usage = written(Text("Hi"), input_tokens=12)["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (12, 0)


def test_the_callers_own_wishes_are_repeated() -> None:
    conversation = decode(
        instructions="Be brief.",
        tools=[{"type": "web_search"}],
        tool_choice="required",
        text={"verbosity": "low"},
        reasoning={"effort": "low"},
        metadata={"a": "b"},
        max_output_tokens=9,
        client_metadata={"secret": 1},
    )
    body = written(Text("Hi"), conversation=conversation)
    assert body["instructions"] == "Be brief."
    assert body["tools"] == [{"type": "web_search"}]
    assert body["tool_choice"] == "required"
    assert body["text"] == {"format": {"type": "text"}, "verbosity": "low"}
    assert body["reasoning"] == {"effort": "low", "summary": None}
    assert body["metadata"] == {"a": "b"}
    assert body["max_output_tokens"] == 9
    assert "client_metadata" not in body


def test_errors_have_openais_shape() -> None:
    problem = Problem("payment_required", "Top up.", details={"top_up_url": "https://a"})
    assert json.loads(CODEC.encode_problem(problem, "req"))["error"] == {
        "message": "Top up.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
        "top_up_url": "https://a",
    }


def test_a_providers_refusal_is_typed() -> None:
    body = json.dumps({"error": {"message": "x", "code": "context_length_exceeded"}}).encode()
    assert CODEC.decode_failure(400, {}, body).kind == "context_length"
