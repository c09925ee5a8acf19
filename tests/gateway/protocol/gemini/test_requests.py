"""Gemini requests as conversations: every field, every kind of part."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.codec import Target
from gateway.protocol.conversation import (
    Audio,
    File,
    ForeignTool,
    Image,
    Opaque,
    Part,
    Reasoning,
    ReasoningControls,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.gemini.asking import CODEC, HI, TARGET, decode

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def parts_of(*parts: dict[str, Any], role: str = "user") -> tuple[Part, ...]:
    (turn,) = decode(contents=[{"role": role, "parts": list(parts)}]).turns
    return turn.parts


def test_a_request_is_read_whole() -> None:
    conversation = decode(
        systemInstruction={"parts": [{"text": "Be brief."}]},
        generationConfig={
            "temperature": 0.5,
            "topP": 1,
            "topK": 40,
            "maxOutputTokens": 50,
            "stopSequences": ["a", "b"],
            "candidateCount": 2,
            "seed": 7,
            "frequencyPenalty": 0.1,
            "presencePenalty": 0.2,
            "responseMimeType": "application/json",
            "thinkingConfig": {"thinkingBudget": 100, "includeThoughts": True},
            "mediaResolution": "MEDIA_RESOLUTION_LOW",
        },
        safetySettings=[{"category": "c", "threshold": "t"}],
        toolConfig={"retrievalConfig": {"languageCode": "de"}},
        serviceTier="flex",
        models=["x"],
        provider={"only": ["y"]},
        target=Target("models/gemini-3-flash", True),
    )
    assert conversation.dialect == DIALECT
    assert conversation.model == "gemini-3-flash"
    assert conversation.stream
    assert conversation.include_usage
    assert conversation.turns == (Turn("system", (Text("Be brief."),)), Turn("user", (Text("Hi"),)))
    assert conversation.sampling == Sampling(
        temperature=0.5,
        top_p=1,
        top_k=40,
        stop=("a", "b"),
        max_output_tokens=50,
        n=2,
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
    )
    assert conversation.response_format == ResponseFormat("json_object")
    assert conversation.reasoning == ReasoningControls(
        enabled=True, budget_tokens=100, extras={"includeThoughts": True}
    )
    assert conversation.service_tier == "flex"
    assert conversation.routing == {"models": ["x"], "provider": {"only": ["y"]}}
    assert conversation.extras == {
        "safetySettings": [{"category": "c", "threshold": "t"}],
        "generationConfig.mediaResolution": "MEDIA_RESOLUTION_LOW",
        "toolConfig.retrievalConfig": {"languageCode": "de"},
    }


def test_names_may_be_written_with_underscores() -> None:
    camel = decode(
        systemInstruction={"parts": [{"text": "s"}]},
        generationConfig={"maxOutputTokens": 5, "topK": 1, "thinkingConfig": {"thinkingLevel": "LOW"}},
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
        tools=[{"functionDeclarations": [{"name": "f", "parametersJsonSchema": SCHEMA}]}, {"googleSearch": {}}],
        contents=[
            {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f"}, "thoughtSignature": "QQ=="}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "r"}}}]},
        ],
    )
    snake = decode(
        system_instruction={"parts": [{"text": "s"}]},
        generation_config={"max_output_tokens": 5, "top_k": 1, "thinking_config": {"thinking_level": "LOW"}},
        tool_config={"function_calling_config": {"mode": "ANY", "allowed_function_names": ["f"]}},
        tools=[{"function_declarations": [{"name": "f", "parameters_json_schema": SCHEMA}]}, {"google_search": {}}],
        contents=[
            {"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
            {"role": "model", "parts": [{"function_call": {"name": "f"}, "thought_signature": "QQ=="}]},
            {"role": "user", "parts": [{"function_response": {"name": "f", "response": {"result": "r"}}}]},
        ],
    )
    assert snake == camel


@pytest.mark.parametrize(
    ("role", "expected"), [("user", "user"), ("model", "assistant"), ("function", "user"), ("system", "system")]
)
def test_roles(role: str, expected: str) -> None:
    (turn,) = decode(contents=[{"role": role, "parts": [{"text": "a"}]}]).turns
    assert turn == Turn(expected, (Text("a"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "contents", [{"parts": [{"text": "Hi"}]}, [{"parts": {"text": "Hi"}}], [{"role": None, "parts": [{"text": "Hi"}]}]]
)
def test_a_single_content_or_part_and_a_missing_role_are_taken(contents: Any) -> None:
    assert decode(contents=contents).turns == (Turn("user", (Text("Hi"),)),)


@pytest.mark.parametrize("system", ["s", {"parts": {"text": "s"}}, {"role": "user", "parts": [{"text": "s"}]}])
def test_a_system_instruction_comes_in_several_forms(system: Any) -> None:
    assert decode(systemInstruction=system).turns[0] == Turn("system", (Text("s"),))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"text": "a"}, (Text("a"),)),
        ({"text": ""}, (Text(""),)),
        (
            {"text": "a", "thoughtSignature": "QQ=="},
            (Reasoning(signature="QQ==", origin=DIALECT), Text("a")),
        ),
        ({"text": "", "thoughtSignature": "QQ=="}, (Reasoning(signature="QQ==", origin=DIALECT),)),
        ({"text": "hm", "thought": True}, (Reasoning("hm", origin=DIALECT),)),
        (
            {"text": "hm", "thought": True, "thoughtSignature": "QQ=="},
            (Reasoning("hm", signature="QQ==", origin=DIALECT),),
        ),
        ({"inlineData": {"mimeType": "image/png", "data": "AA=="}}, (Image(data="AA==", media_type="image/png"),)),
        ({"inlineData": {"mimeType": "audio/mpeg", "data": "AA=="}}, (Audio("AA==", "mp3"),)),
        (
            {"inlineData": {"mimeType": "application/pdf", "data": "AA==", "displayName": "a.pdf"}},
            (File(data="AA==", media_type="application/pdf", name="a.pdf"),),
        ),
        (
            {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b"}},
            (Image(url="https://a/b", media_type="image/png"),),
        ),
        ({"fileData": {"fileUri": "https://a/b.pdf"}}, (File(url="https://a/b.pdf"),)),
        (
            {"fileData": {"fileUri": "gs://a/b"}},
            (Opaque(DIALECT, "fileData", {"fileData": {"fileUri": "gs://a/b"}}),),
        ),
        (
            {"executableCode": {"code": "1"}, "thoughtSignature": "QQ=="},
            (Opaque(DIALECT, "executableCode", {"executableCode": {"code": "1"}, "thoughtSignature": "QQ=="}),),
        ),
    ],
)
def test_every_kind_of_part_is_read(part: dict[str, Any], expected: tuple[Part, ...]) -> None:
    assert parts_of(part) == expected


def test_calls_keep_their_ids_and_results_find_them() -> None:
    calls = [{"functionCall": {"id": f"id{n}", "name": "f", "args": {"n": n}}} for n in (1, 2)]
    results = [{"functionResponse": {"id": f"id{n}", "name": "f", "response": {"output": str(n)}}} for n in (2, 1)]
    conversation = decode(contents=[{"role": "model", "parts": calls}, {"role": "user", "parts": results}])
    assert conversation.turns == (
        Turn(
            "assistant",
            (ToolCall("id1", "f", '{"n":1}', origin=DIALECT), ToolCall("id2", "f", '{"n":2}', origin=DIALECT)),
        ),
        Turn("tool", (ToolResult("id2", (Text("2"),)), ToolResult("id1", (Text("1"),)))),
    )


@pytest.mark.parametrize("result_id", [None, "made-up-by-the-client"])
def test_calls_without_ids_get_some_and_their_results_the_same(result_id: str | None) -> None:
    def result(name: str) -> dict[str, Any]:
        answer = {"name": name, "response": {"result": name}}
        return {"functionResponse": answer if result_id is None else {"id": f"{result_id}-{name}", **answer}}

    calls = [{"functionCall": {"name": name}} for name in ("f", "g", "f")]
    conversation = decode(
        contents=[
            {"role": "model", "parts": calls},
            {"role": "user", "parts": [result("g"), result("f"), result("f")]},
        ]
    )
    made = [part.id for part in conversation.turns[0].parts if isinstance(part, ToolCall)]
    assert len(set(made)) == 3
    assert all(isinstance(part, ToolCall) and not part.origin for part in conversation.turns[0].parts)
    answered = [part.call_id for part in conversation.turns[1].parts if isinstance(part, ToolResult)]
    assert answered == [made[1], made[0], made[2]]


@pytest.mark.parametrize(
    ("response", "text", "is_error"),
    [
        ({"result": "fine"}, "fine", False),
        ({"output": "fine"}, "fine", False),
        ({"error": "bad"}, "bad", True),
        ({"result": {"a": 1}}, '{"result":{"a":1}}', False),
        ({"a": 1, "b": "é"}, '{"a":1,"b":"é"}', False),
    ],
)
def test_what_a_tool_said(response: dict[str, Any], text: str, is_error: bool) -> None:
    (part,) = parts_of({"functionResponse": {"id": "c", "name": "f", "response": response}})
    assert part == ToolResult("c", (Text(text),), is_error=is_error)


def test_a_result_may_hold_pictures() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    (part,) = parts_of({"functionResponse": {"id": "c", "name": "f", "parts": [picture]}})
    assert part == ToolResult("c", (Image(data="AA==", media_type="image/png"),))


def test_tools_are_read() -> None:
    conversation = decode(
        tools=[
            {
                "functionDeclarations": [
                    {"name": "f", "description": "d", "parametersJsonSchema": SCHEMA},
                    {"name": "g", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}},
                    {"name": "h", "behavior": "NON_BLOCKING"},
                ],
                "codeExecution": {},
            },
            {"googleSearch": {}},
        ]
    )
    assert conversation.tools == (
        Tool("f", "d", SCHEMA),
        Tool("g", None, SCHEMA),
        Tool("h", extras={"behavior": "NON_BLOCKING"}, origin=DIALECT),
        ForeignTool(DIALECT, "codeExecution", {"codeExecution": {}}),
        ForeignTool(DIALECT, "googleSearch", {"googleSearch": {}}),
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ToolChoice("auto")),
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "MODE_UNSPECIFIED"}, ToolChoice("auto")),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("auto", allowed=("f",))),
        ({"mode": "any"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("named", "f")),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", allowed=("f", "g"))),
        ({"mode": "NONE"}, ToolChoice("none")),
    ],
)
def test_a_choice_of_tools_is_read(config: dict[str, Any], expected: ToolChoice) -> None:
    assert decode(toolConfig={"functionCallingConfig": config}).tool_choice == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, ResponseFormat("json_object")),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
            ResponseFormat("json_schema", schema=SCHEMA),
        ),
        ({"responseSchema": {"type": "STRING"}}, ResponseFormat("json_schema", schema={"type": "string"})),
    ],
)
def test_a_wish_for_a_form_is_read(config: dict[str, Any], expected: ResponseFormat | None) -> None:
    assert decode(generationConfig=config).response_format == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, ReasoningControls()),
        ({"thinkingBudget": 0}, ReasoningControls(enabled=False)),
        ({"thinkingBudget": -1}, ReasoningControls(enabled=True)),
        ({"thinkingBudget": 512}, ReasoningControls(enabled=True, budget_tokens=512)),
        ({"thinkingLevel": "HIGH"}, ReasoningControls(effort="high")),
        ({"thinkingLevel": "minimal"}, ReasoningControls(effort="minimal")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, ReasoningControls()),
        ({"includeThoughts": True}, ReasoningControls(enabled=True, extras={"includeThoughts": True})),
    ],
)
def test_a_wish_to_think_is_read(config: dict[str, Any], expected: ReasoningControls) -> None:
    assert decode(generationConfig={"thinkingConfig": config}).reasoning == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("flex", "flex"), ("PRIORITY", "priority"), ("standard", "default"), ("unspecified", None), ("new", "new")],
)
def test_a_service_tier_is_read(word: str, expected: str | None) -> None:
    assert decode(serviceTier=word).service_tier == expected


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"contents": None}, "contents"),
        ({"contents": "Hi"}, "contents"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"role": 1}]}, "contents[0].role"),
        ({"contents": [{"parts": "Hi"}]}, "contents[0].parts"),
        ({"contents": [*HI, {"parts": [{"text": 1}]}]}, "contents[1].parts[0].text"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents[0].parts[0].functionCall.name"),
        (
            {"contents": [{"parts": [{"functionCall": {"name": "f", "args": []}}]}]},
            "contents[0].parts[0].functionCall.args",
        ),
        ({"contents": [{"parts": [{"functionResponse": {}}]}]}, "contents[0].parts[0].functionResponse.name"),
        ({"contents": [{"parts": [{"inlineData": {"data": 1}}]}]}, "contents[0].parts[0].inlineData.data"),
        ({"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData.fileUri"),
        ({"systemInstruction": {"parts": [{"text": 1}]}}, "systemInstruction.parts[0].text"),
        ({"systemInstruction": 1}, "systemInstruction"),
        ({"generationConfig": []}, "generationConfig"),
        ({"generationConfig": {"temperature": "warm"}}, "generationConfig.temperature"),
        ({"generationConfig": {"topP": []}}, "generationConfig.topP"),
        ({"generationConfig": {"topK": -1}}, "generationConfig.topK"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"stopSequences": [1]}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"candidateCount": 0}}, "generationConfig.candidateCount"),
        ({"generationConfig": {"seed": "s"}}, "generationConfig.seed"),
        ({"generationConfig": {"responseSchema": []}}, "generationConfig.responseSchema"),
        ({"generationConfig": {"thinkingConfig": 1}}, "generationConfig.thinkingConfig"),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"tools": {}}, "tools"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        ({"serviceTier": 1}, "serviceTier"),
    ],
)
def test_a_wrong_field_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(**body)
    assert (refused.value.problem.status, refused.value.problem.kind) == (400, "invalid_request")
    assert (refused.value.problem.param or "").startswith(param)


def test_a_path_without_a_model_is_refused_unless_the_body_names_one() -> None:
    with pytest.raises(ProtocolError) as refused:
        decode(target=Target(None, False))
    assert refused.value.problem.param == "model"
    assert decode(target=Target(None, False), model="models/m").model == "m"


def test_the_path_decides_the_model_and_whether_to_stream() -> None:
    conversation = decode(target=Target("a", True), model="b", stream=False)
    assert (conversation.model, conversation.stream) == ("a", True)
    assert not decode().stream


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PART = st.dictionaries(
    st.sampled_from(["text", "thought", "thoughtSignature", "functionCall", "functionResponse", "inlineData"]), JSON
)


@given(
    st.fixed_dictionaries(
        {"contents": JSON | st.lists(st.fixed_dictionaries({"parts": JSON | st.lists(PART, max_size=2)}), max_size=2)},
        optional=dict.fromkeys(("systemInstruction", "tools", "toolConfig", "generationConfig"), JSON),
    )
)
def test_no_request_raises_anything_but_a_typed_error(body: dict[str, Any]) -> None:
    try:
        conversation = CODEC.decode_request(json.dumps(body).encode(), TARGET)
    except ProtocolError as error:
        assert error.problem.kind == "invalid_request"
        return
    CODEC.encode_request(conversation, upstream_model="gemini-3-flash", max_output_tokens=None)
    CODEC.splice_request(
        json.dumps(body).encode(), upstream_model="gemini-3-flash", max_output_tokens=None, target=TARGET
    )
