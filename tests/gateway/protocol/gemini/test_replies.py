"""Whole replies in both directions."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import (
    Citation,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
)
from gateway.protocol.envelope import unseal
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.problem import Problem, ProtocolError
from gateway.protocol.reply import Choice, FinishReason, Reply, UsageReport
from tests.gateway.protocol.gemini.asking import CODEC, CONTEXT, decode

SIGNED = Reasoning(signature="QQ==", origin=DIALECT)


def read(body: Any) -> Reply:
    return CODEC.decode_reply(json.dumps(body).encode())


def read_parts(*parts: dict[str, Any], **candidate: Any) -> tuple[Part, ...]:
    return read({"candidates": [{"content": {"parts": list(parts)}, **candidate}]}).choices[0].parts


def write(*parts: Part, finish: FinishReason | None = FinishReason.STOP, context: Any = CONTEXT) -> dict[str, Any]:
    reply = Reply((Choice(0, parts, finish),))
    return json.loads(CODEC.encode_reply(reply, context))["candidates"][0]  # type: ignore[no-any-return]


def write_parts(*parts: Part) -> list[dict[str, Any]]:
    return write(*parts)["content"]["parts"]  # type: ignore[no-any-return]


# read -------------------------------------------------------------------------------------------------------------


def test_an_answer_is_read_whole() -> None:
    reply = read(
        {
            "candidates": [
                {
                    "content": {
                        "role": "model",
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": "Hel"},
                            {"text": "lo"},
                            {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QQ=="},
                            {"functionCall": {"name": "g"}},
                        ],
                    },
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": 10,
                "candidatesTokenCount": 5,
                "totalTokenCount": 15,
                "serviceTier": "STANDARD",
            },
            "modelVersion": "gemini-3-flash",
            "responseId": "r1",
        }
    )
    assert reply == Reply(
        choices=(
            Choice(
                0,
                (
                    Reasoning("hm", origin=DIALECT),
                    Text("Hel"),
                    Text("lo"),
                    SIGNED,
                    ToolCall("c1", "f", '{"a":1}'),
                    ToolCall("", "g", "{}"),
                ),
                FinishReason.TOOL_CALLS,
                "STOP",
            ),
        ),
        usage=UsageReport(TokenUsage(input=10, output=5)),
        upstream_id="r1",
        upstream_model="gemini-3-flash",
        service_tier="standard",
    )


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "a", "thoughtSignature": "QQ=="}, (SIGNED, Text("a"))),
        ({"text": "", "thoughtSignature": "QQ=="}, (SIGNED,)),
        ({"text": ""}, ()),
        ({"text": "", "thought": True}, ()),
        (
            {"text": "hm", "thought": True, "thoughtSignature": "QQ=="},
            (Reasoning("hm", signature="QQ==", origin=DIALECT),),
        ),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, (Image(data="AA==", media_type="image/png"),)),
        (
            {"executableCode": {"code": "1"}},
            (Opaque(DIALECT, "executableCode", {"executableCode": {"code": "1"}}),),
        ),
        ({"functionCall": {"name": 1, "args": "x"}}, (ToolCall("", "", "{}"),)),
        ({}, ()),
    ],
)
def test_every_kind_of_part_is_read(part: dict[str, Any], expected: tuple[Part, ...]) -> None:
    assert read_parts(part) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("STOP", FinishReason.STOP),
        ("MAX_TOKENS", FinishReason.LENGTH),
        ("SAFETY", FinishReason.CONTENT_FILTER),
        ("RECITATION", FinishReason.CONTENT_FILTER),
        ("MALFORMED_FUNCTION_CALL", FinishReason.OTHER),
        ("SOMETHING_NEW", FinishReason.OTHER),
    ],
)
def test_every_finish_is_read(word: str, expected: FinishReason) -> None:
    choice = read({"candidates": [{"finishReason": word}]}).choices[0]
    assert (choice.finish, choice.native_finish, choice.parts) == (expected, word, ())


def test_a_blocked_prompt_is_an_answer_that_was_filtered() -> None:
    reply = read({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}})
    assert reply.choices == (Choice(0, (), FinishReason.CONTENT_FILTER, "BLOCKED:SAFETY"),)
    assert reply.usage is not None
    assert reply.usage.usage == TokenUsage(input=4)


def test_several_candidates_are_several_choices() -> None:
    reply = read({"candidates": [{"content": {"parts": [{"text": text}]}, "index": n} for n, text in enumerate("ab")]})
    assert [(choice.index, choice.parts) for choice in reply.choices] == [(0, (Text("a"),)), (1, (Text("b"),))]


def test_sources_of_a_search_count_characters() -> None:
    parts = read_parts(
        {"text": "Größe"},
        {"text": " ja."},
        groundingMetadata={
            "webSearchQueries": ["a"],
            "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
            "groundingSupports": [
                {"segment": {"endIndex": 7, "text": "Größe"}, "groundingChunkIndices": [0, 9]},
            ],
        },
    )
    assert parts == (Text("Größe ja.", citations=(Citation("https://a", "A", "Größe", 0, 5), Citation("https://b"))),)


def test_passages_that_were_recited_are_citations() -> None:
    (part,) = read_parts(
        {"text": "abcdef"},
        citationMetadata={"citationSources": [{"uri": "https://a", "startIndex": 2, "endIndex": 4}]},
    )
    assert part == Text("abcdef", citations=(Citation("https://a", start=2, end=4),))


def test_usage_is_cut_into_its_parts() -> None:
    reply = read(
        {
            "candidates": [{"groundingMetadata": {"webSearchQueries": ["a", "b"]}}],
            "usageMetadata": {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 40,
                "toolUsePromptTokenCount": 7,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30,
                "totalTokenCount": 157,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 90},
                    {"modality": "AUDIO", "tokenCount": 10},
                ],
            },
        }
    )
    assert reply.usage == UsageReport(
        TokenUsage(input=57, input_audio=10, cache_read=40, output=20, reasoning=30, web_search=2)
    )


def test_a_total_that_does_not_add_up_is_flagged() -> None:
    usage = read({"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 9}}).usage
    assert usage is not None
    assert usage.flags == ("total_mismatch",)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{}", b"<html>", b'{"a":1}'])
def test_what_is_no_reply_is_an_error_of_the_provider(body: bytes) -> None:
    with pytest.raises(ProtocolError) as failed:
        CODEC.decode_reply(body)
    assert failed.value.problem.kind == "upstream"


# written ----------------------------------------------------------------------------------------------------------


def test_an_answer_is_written_exactly_so() -> None:
    reply = Reply(
        (
            Choice(
                0,
                (
                    Reasoning("hm", origin=DIALECT),
                    Text("Größe", citations=(Citation("https://a", "A", start=0, end=5),)),
                    SIGNED,
                    ToolCall("c1", "f", '{"a":1}'),
                    ToolCall("", "g", "oops"),
                ),
                FinishReason.TOOL_CALLS,
            ),
        ),
        usage=UsageReport(TokenUsage(input=57, cache_read=40, output=20, reasoning=30)),
        upstream_id="x",
        upstream_model="y",
        service_tier="flex",
    )
    assert json.loads(CODEC.encode_reply(reply, replace(CONTEXT, extra_usage={"cost": 1}))) == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Größe"},
                        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QQ=="},
                        {"functionCall": {"id": "call_gen-1_4", "name": "g", "args": {"_raw": "oops"}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                    "groundingSupports": [
                        {
                            "segment": {"startIndex": 0, "endIndex": 7, "text": "Größe"},
                            "groundingChunkIndices": [0],
                        }
                    ],
                },
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 97,
            "candidatesTokenCount": 20,
            "thoughtsTokenCount": 30,
            "cachedContentTokenCount": 40,
            "totalTokenCount": 147,
            "cost": 1,
            "serviceTier": "flex",
        },
        "modelVersion": "some/model",
        "responseId": "gen-1",
    }


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (FinishReason.STOP, "STOP"),
        (FinishReason.TOOL_CALLS, "STOP"),
        (FinishReason.LENGTH, "MAX_TOKENS"),
        (FinishReason.CONTENT_FILTER, "SAFETY"),
        (FinishReason.REFUSAL, "SAFETY"),
        (FinishReason.OTHER, "OTHER"),
        (None, "STOP"),
    ],
)
def test_every_finish_is_written(finish: FinishReason | None, word: str) -> None:
    assert write(Text("a"), finish=finish)["finishReason"] == word


def test_every_call_gets_an_id_of_its_own_that_the_caller_can_return() -> None:
    parts = write_parts(ToolCall("", "f", "{}"), ToolCall("", "f", "{}"), ToolCall("c", "f", "{}"))
    ids = [part["functionCall"]["id"] for part in parts]
    assert ids[2] == "c"
    assert all(ids)
    assert len(set(ids)) == 3


def test_signatures_one_after_the_other_are_all_kept() -> None:
    second = Reasoning(signature="Qg==", origin=DIALECT)
    assert write_parts(SIGNED, second, Text("a"), SIGNED) == [
        {"text": "", "thoughtSignature": "QQ=="},
        {"text": "a", "thoughtSignature": "Qg=="},
        {"text": "", "thoughtSignature": "QQ=="},
    ]


def test_a_reply_with_two_signatures_comes_back_as_it_was() -> None:
    parts = (SIGNED, Reasoning(signature="Qg==", origin=DIALECT), ToolCall("c", "f", "{}"))
    assert read_parts(*write_parts(*parts)) == parts


def test_reasoning_of_other_makers_is_sealed() -> None:
    piece = Reasoning("hm", signature="s", origin="anthropic_messages")
    (part,) = write_parts(piece)
    assert (part["text"], part["thought"]) == ("hm", True)
    assert unseal(base64.b64decode(part["thoughtSignature"]).decode()) == piece
    redacted = Reasoning(redacted="r", origin="anthropic_messages")
    (part,) = write_parts(redacted)
    assert (part["text"], part["thought"]) == ("", True)
    assert unseal(base64.b64decode(part["thoughtSignature"]).decode()) == redacted
    assert write_parts(Reasoning("hm")) == [{"text": "hm", "thought": True}]
    assert write_parts(Reasoning()) == []


def test_a_refusal_is_text_and_foreign_parts_are_left_out() -> None:
    mine = Opaque(DIALECT, "executableCode", {"executableCode": {"code": "1"}})
    theirs = Opaque("openai_responses", "web_search_call", {"type": "web_search_call"})
    assert write_parts(Refusal("No."), mine, theirs, Text("")) == [{"text": "No."}, {"executableCode": {"code": "1"}}]


def test_an_answer_without_usage_tells_the_estimate() -> None:
    written = json.loads(CODEC.encode_reply(Reply((Choice(0, (), None),)), replace(CONTEXT, input_tokens=9)))
    assert written["usageMetadata"] == {"promptTokenCount": 9, "totalTokenCount": 9}


def test_a_name_that_was_made_plain_comes_back_as_the_caller_wrote_it() -> None:
    conversation = decode(tools=[{"functionDeclarations": [{"name": "files.read"}]}])
    assert conversation.tools == (Tool("files.read"),)
    body = json.loads(CODEC.encode_request(conversation, upstream_model="m", max_output_tokens=None).body)
    flat = body["tools"][0]["functionDeclarations"][0]["name"]
    assert flat != "files.read"
    call = write(ToolCall("c", flat, "{}"), context=replace(CONTEXT, conversation=conversation))
    assert call["content"]["parts"][0]["functionCall"]["name"] == "files.read"


def test_problems_have_the_shape_of_google() -> None:
    problem = Problem("rate_limited", "Slow down.", code="too_fast", param="x", retry_after_s=3)
    error = json.loads(CODEC.encode_problem(problem, "req-1"))["error"]
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "Slow down.")
    assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == [
        "ErrorInfo",
        "RequestInfo",
        "RetryInfo",
    ]
    assert error["details"][0]["reason"] == "too_fast"
    assert error["details"][0]["metadata"] == {"param": "x"}
    assert error["details"][1]["requestId"] == "req-1"
    assert error["details"][2]["retryDelay"] == "3s"
