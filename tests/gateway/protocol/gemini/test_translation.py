"""Conversations of other dialects for Gemini, and of Gemini's callers for others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gateway.protocol.conversation import (
    Audio,
    Conversation,
    CustomFormat,
    File,
    ForeignTool,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.dialects import CODECS
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.problem import ProtocolError
from gateway.protocol.reply import Choice, FinishReason, Reply
from tests.gateway.protocol.gemini.asking import CODEC, CONTEXT, HI, decode, encode

UNCHECKED = "skip_thought_signature_validator"
ASK = Turn("user", (Text("Go"),))
PICTURE = Image(data="AA==", media_type="image/png")
INLINE = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


def asked(*turns: Turn, dialect: str = "openai_chat", **more: Any) -> Conversation:
    return Conversation("m", turns or (ASK,), dialect=dialect, **more)


def contents(*turns: Turn, model: str = "gemini-2.5-flash", **more: Any) -> list[dict[str, Any]]:
    return encode(asked(*turns, **more), model=model)[0]["contents"]  # type: ignore[no-any-return]


def call(name: str = "f", **args: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": args}}


def result(response: dict[str, Any], name: str = "f") -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": response}}


def test_a_request_is_written_whole() -> None:
    conversation = asked(
        Turn("system", (Text("Be brief."),)),
        Turn("developer", (Text("Be kind."),)),
        ASK,
        Turn("assistant", (Text("Well"),)),
        Turn("assistant", (Text("done."), Refusal("No."))),
        Turn("system", (Text("later"),)),
        sampling=Sampling(0.5, 1, 40, ("a", ""), 50, 2, 7, 0.1, 0.2),
        service_tier="priority",
    )
    body, encoded = encode(conversation, limit=30)
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    assert body["contents"][1]["parts"] == [{"text": "Well"}, {"text": "done."}, {"text": "No."}]
    assert "later" in body["contents"][2]["parts"][0]["text"]
    assert body["generationConfig"] == {
        "temperature": 0.5,
        "topP": 1,
        "topK": 40,
        "maxOutputTokens": 30,
        "stopSequences": ["a"],
        "candidateCount": 2,
        "seed": 7,
        "frequencyPenalty": 0.1,
        "presencePenalty": 0.2,
    }
    assert body["serviceTier"] == "priority"
    assert encoded.path == "/models/gemini-3-flash:generateContent"
    assert encoded.dropped == ("stop",)


def test_a_stream_is_asked_for_in_the_path() -> None:
    _, encoded = encode(asked(stream=True), model="models x")
    assert encoded.path == "/models/models%20x:streamGenerateContent?alt=sse"


def test_system_text_alone_is_said_by_the_user() -> None:
    body, _ = encode(asked(Turn("system", (Text("s"),))))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "s"}]}]}


@pytest.mark.parametrize(
    ("tier", "word", "dropped"),
    [
        ("flex", "flex", ()),
        ("default", "standard", ()),
        ("auto", None, ()),
        ("scale", None, ("service_tier",)),
    ],
)
def test_a_service_tier_is_written_or_named(tier: str, word: str | None, dropped: tuple[str, ...]) -> None:
    body, encoded = encode(asked(service_tier=tier))
    assert (body.get("serviceTier"), encoded.dropped) == (word, dropped)


@pytest.mark.parametrize("word", ["flex", "priority", "standard", "something_new"])
def test_a_tier_of_gemini_s_own_is_kept(word: str) -> None:
    body, encoded = encode(decode(serviceTier=word))
    assert (body["serviceTier"], encoded.dropped) == (word, ())
    told, _ = encode(decode())
    assert "serviceTier" not in told


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (PICTURE, INLINE),
        (
            Image(url="https://a/b.jpg?x"),
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://a/b.jpg?x"}},
        ),
        (File(data="AA=="), {"inlineData": {"mimeType": "application/pdf", "data": "AA=="}}),
        (File(text="doc", name="T"), {"text": "T\n\ndoc"}),
        (Audio("AA==", "wav"), {"inlineData": {"mimeType": "audio/wav", "data": "AA=="}}),
    ],
)
def test_media_are_written(part: Part, expected: dict[str, Any]) -> None:
    assert contents(Turn("user", (part,))) == [{"role": "user", "parts": [expected]}]


def test_what_cannot_be_carried_is_named() -> None:
    conversation = asked(
        Turn("user", (Text("a"), File(file_id="f"), Opaque("openai_chat", "hologram", {}))),
        tools=(ForeignTool("openai_responses", "web_search", {}), Tool("later", deferred=True), Tool("f")),
        parallel_tools=False,
        verbosity="low",
        extras={"logit_bias": {}, "store": True},
    )
    body, encoded = encode(conversation)
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == ["f"]
    assert set(encoded.dropped) == {
        "file_id",
        "hologram",
        "tools[web_search]",
        "tools.defer_loading",
        "parallel_tool_calls",
        "verbosity",
        "logit_bias",
    }


def test_what_must_not_be_left_out_is_refused() -> None:
    with pytest.raises(ProtocolError) as refused:
        encode(asked(Turn("user", (Opaque("openai_responses", "item_reference", {}),)), dialect="openai_responses"))
    assert refused.value.problem.status == 400


def test_fields_of_gemini_s_own_come_back_in_their_places() -> None:
    body = {
        "generationConfig": {"maxOutputTokens": 5, "mediaResolution": "LOW", "speechConfig": {"a": 1}},
        "safetySettings": [{"category": "c"}],
        "toolConfig": {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]},
            "retrievalConfig": {"languageCode": "de"},
        },
        "tools": [{"functionDeclarations": [{"name": "f", "behavior": "NON_BLOCKING"}]}, {"googleSearch": {}}],
    }
    sent, encoded = encode(decode(**body))
    assert sent == {"contents": HI, **body}
    assert encoded.dropped == ()


@pytest.mark.parametrize(
    ("choice", "expected", "names"),
    [
        (None, None, ["f", "ns__g"]),
        (ToolChoice("auto"), {"mode": "AUTO"}, ["f", "ns__g"]),
        (ToolChoice("none"), {"mode": "NONE"}, ["f", "ns__g"]),
        (ToolChoice("required"), {"mode": "ANY"}, ["f", "ns__g"]),
        (ToolChoice("named", "f"), {"mode": "ANY", "allowedFunctionNames": ["f"]}, ["f", "ns__g"]),
        (ToolChoice("named", "g"), {"mode": "ANY", "allowedFunctionNames": ["ns__g"]}, ["f", "ns__g"]),
        (ToolChoice("required", allowed=("f",)), {"mode": "ANY"}, ["f"]),
        (ToolChoice("auto", allowed=("g",)), {"mode": "AUTO"}, ["ns__g"]),
    ],
)
def test_a_choice_of_tools_is_written(choice: ToolChoice | None, expected: Any, names: list[str]) -> None:
    body, _ = encode(asked(tools=(Tool("f"), Tool("g", namespace="ns")), tool_choice=choice))
    assert body.get("toolConfig", {}).get("functionCallingConfig") == expected
    assert [tool["name"] for tool in body["tools"][0]["functionDeclarations"]] == names


def test_custom_tools_are_functions_with_one_text() -> None:
    tool = Tool("patch", "Patches.", custom=CustomFormat("lark", "start: /.+/"))
    done = Turn("assistant", (ToolCall("c", "patch", "*** x", custom=True),))
    body, _ = encode(asked(ASK, done, Turn("tool", (ToolResult("c", (Text("ok"),)),)), tools=(tool,)))
    (declared,) = body["tools"][0]["functionDeclarations"]
    assert declared["name"] == "patch"
    assert "start: /.+/" in declared["description"]
    assert declared["parametersJsonSchema"]["required"] == ["input"]
    assert body["contents"][1]["parts"][0]["functionCall"] == {"name": "patch", "args": {"input": "*** x"}}


@pytest.mark.parametrize(
    ("model", "tools", "expected", "dropped"),
    [
        ("gemini-3-flash", (Tool("f"),), True, ()),
        ("gemini-2.5-flash", (), True, ()),
        ("gemini-2.5-flash", (Tool("f"),), False, ("response_format",)),
    ],
)
def test_structured_output(model: str, tools: tuple[Tool, ...], expected: bool, dropped: tuple[str, ...]) -> None:
    wish = ResponseFormat("json_schema", name="n", schema={**SCHEMA, "$schema": "s"}, strict=True)
    body, encoded = encode(asked(tools=tools, response_format=wish), model=model)
    config = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    assert body.get("generationConfig") == (config if expected else None)
    assert ("systemInstruction" in body) is not expected
    assert encoded.dropped == dropped
    plain, _ = encode(asked(response_format=ResponseFormat("json_object")))
    assert plain["generationConfig"] == {"responseMimeType": "application/json"}


def test_results_follow_their_calls_in_the_order_of_the_calls() -> None:
    calls = (ToolCall("c1", "f", '{"n":1}'), ToolCall("c2", "f", '{"n":2}'))
    found = contents(
        ASK,
        Turn("assistant", calls),
        Turn("tool", (ToolResult("c2", (Text("two"),)),)),
        Turn("tool", (ToolResult("c1", (Text("bad"),), is_error=True),)),
        Turn("user", (Text("and?"),)),
    )
    assert found[1:] == [
        {"role": "model", "parts": [call(n=1), call(n=2)]},
        {"role": "user", "parts": [result({"error": "bad"}), result({"result": "two"}), {"text": "and?"}]},
    ]


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("plain", {"result": "plain"}),
        ('{"a":1}', {"a": 1}),
        ('{"a": 1}', {"result": '{"a": 1}'}),
        ('{"result":"x"}', {"result": '{"result":"x"}'}),
        ("[1]", {"result": "[1]"}),
        ("", {"result": ""}),
    ],
)
def test_what_a_tool_said_comes_back_as_it_was(text: str, response: dict[str, Any]) -> None:
    turns = (ASK, Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("tool", (ToolResult("c", (Text(text),)),)))
    found = contents(*turns)
    assert found[2]["parts"] == [result(response)]
    (again,) = decode(contents=found).turns[2].parts
    assert isinstance(again, ToolResult)
    assert again.parts == (Text(text),)


@pytest.mark.parametrize(("model", "inside"), [("gemini-3-flash", True), ("gemini-2.5-flash", False)])
def test_pictures_of_tools_stand_in_or_behind_their_results(model: str, inside: bool) -> None:
    answer = Turn("tool", (ToolResult("c", (Text("see"), PICTURE)),))
    found = contents(ASK, Turn("assistant", (ToolCall("c", "f", "{}"),)), answer, model=model)
    parts = found[2]["parts"]
    if inside:
        assert parts[0]["functionResponse"]["parts"] == [INLINE]
    assert parts[1:] == ([] if inside else [INLINE])


@pytest.mark.parametrize(("model", "signed"), [("gemini-3-pro", True), ("gemini-2.5-pro", False)])
def test_unsigned_calls_of_the_current_turn_get_the_documented_signature(model: str, signed: bool) -> None:
    done = Turn("assistant", (ToolCall("c", "f", "{}"), ToolCall("d", "f", "{}")))
    answers = Turn("tool", (ToolResult("c", ()), ToolResult("d", ())))
    found = contents(ASK, done, answers, Turn("assistant", (Text("ok"),)), ASK, done, answers, model=model)
    written = [[part.get("thoughtSignature") for part in item["parts"]] for item in found if item["role"] == "model"]
    assert written == [[None, None], [None], [UNCHECKED if signed else None, None]]


def test_foreign_signatures_and_thoughts_are_never_sent() -> None:
    pieces = [
        Reasoning("hm", signature="SECRET", origin="anthropic_messages"),
        Reasoning(redacted="SECRET", origin="openai_responses"),
        Reasoning("SECRET"),
    ]
    encoded = encode(asked(ASK, Turn("assistant", (*pieces, Text("a")))))[1]
    assert b"SECRET" not in encoded.body
    assert encoded.dropped == ()


def test_signatures_one_after_the_other_are_all_kept() -> None:
    first, second = (Reasoning(signature=text, origin=DIALECT) for text in ("QQ==", "Qg=="))
    found = contents(ASK, Turn("assistant", (first, second, ToolCall("c", "f", "{}"))))
    assert found[1]["parts"] == [
        {"text": "", "thoughtSignature": "QQ=="},
        {**call(), "thoughtSignature": "Qg=="},
    ]


def test_a_gemini_conversation_keeps_its_ids_and_others_send_none() -> None:
    history = [
        *HI,
        {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "f", "args": {}}}, call("g")]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"result": "1"}}},
                result({"result": "2"}, "g"),
            ],
        },
    ]
    assert encode(decode(contents=history), model="gemini-2.5-flash")[0]["contents"] == history
    found = contents(ASK, Turn("assistant", (ToolCall("c", "f", "{}"),)), Turn("tool", (ToolResult("c", ()),)))
    assert "id" not in found[1]["parts"][0]["functionCall"]
    assert "id" not in found[2]["parts"][0]["functionResponse"]


# Gemini's answer, through a caller who speaks another dialect, and back to Gemini ----------------------------------


SIGNED = (
    {"text": "hm", "thought": True},
    {"functionCall": {"id": "g1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "QQ=="},
    {"functionCall": {"id": "g2", "name": "f", "args": {}}},
)


def history_of(dialect: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The next request of a caller who sends back all of the answer, with the results of both calls."""
    if dialect == "openai_chat":
        message = answer["choices"][0]["message"]
        results = [{"role": "tool", "tool_call_id": made["id"], "content": "r"} for made in message["tool_calls"]]
        return {"model": "m", "messages": [{"role": "user", "content": "Go"}, message, *results]}
    if dialect == "anthropic_messages":
        ids = [block["id"] for block in answer["content"] if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": made, "content": "r"} for made in ids]
        turns = [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": answer["content"]},
            {"role": "user", "content": results},
        ]
        return {"model": "m", "max_tokens": 9, "messages": turns}
    ids = [item["call_id"] for item in answer["output"] if item["type"] == "function_call"]
    results = [{"type": "function_call_output", "call_id": made, "output": "r"} for made in ids]
    return {"model": "m", "input": [{"role": "user", "content": "Go"}, *answer["output"], *results]}


@pytest.mark.parametrize("dialect", sorted(CODECS.keys() - {DIALECT}))
def test_signatures_go_through_a_caller_and_back_to_gemini(dialect: str) -> None:
    raw = {"candidates": [{"content": {"role": "model", "parts": list(SIGNED)}, "finishReason": "STOP"}]}
    reply = CODEC.decode_reply(json.dumps(raw).encode())
    answer = json.loads(CODECS[dialect].encode_reply(reply, CONTEXT))
    again = CODECS[dialect].decode_request(json.dumps(history_of(dialect, answer)).encode())
    body, encoded = encode(again)
    parts = body["contents"][1]["parts"]
    calls = [part for part in parts if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in calls] == ["QQ==", None]
    assert [part["functionCall"]["args"] for part in calls] == [{"a": 1}, {}]
    assert body["contents"][2]["parts"] == [result({"result": "r"})] * 2
    assert encoded.dropped == ()
    # No other maker sees it.
    for other in CODECS.keys() - {DIALECT}:
        sent = CODECS[other].encode_request(again, upstream_model="x", max_output_tokens=None)
        assert b"QQ==" not in sent.body, other


def test_other_makers_thoughts_go_through_a_gemini_caller_and_back() -> None:
    thought = Reasoning("hm", signature="s", origin="anthropic_messages")
    reply = Reply((Choice(0, (thought, Text("a"), ToolCall("c", "f", "{}")), FinishReason.TOOL_CALLS),))
    answer = json.loads(CODEC.encode_reply(reply, CONTEXT))["candidates"][0]["content"]
    made = answer["parts"][2]["functionCall"]["id"]
    response = {"functionResponse": {"id": made, "name": "f", "response": {"result": "r"}}}
    again = decode(contents=[*HI, answer, {"role": "user", "parts": [response]}])
    assert again.turns[1].parts[0] == thought
    sent = CODECS["anthropic_messages"].encode_request(again, upstream_model="claude-x", max_output_tokens=9)
    blocks = json.loads(sent.body)["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert blocks[2]["id"] == "c"
    # Gemini itself gets neither the seal nor the thought.
    body, _ = encode(again, model="gemini-2.5-flash")
    assert body["contents"][1]["parts"][0] == {"text": "a"}
