"""The Gemini dialect of the sandbox, over plain HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

WEATHER: Any = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
CLOCK: Any = {"name": "clock"}
THINKING: Any = {"generationConfig": {"thinkingConfig": {"includeThoughts": True}}}


def _user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def _model(*parts: Any) -> dict[str, Any]:
    return {**_user(*parts), "role": "model"}


HELLO: Any = [_user("Good day")]


def _post(url: str, method: str, model: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{url}/v1beta/models/{model}:{method}", json={"contents": HELLO, **body})


def _whole(url: str, model: str = "sandbox-echo", **body: Any) -> Any:
    answer = _post(url, "generateContent", model, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _chunks(url: str, model: str = "sandbox-echo", **body: Any) -> list[Any]:
    answer = _post(url, "streamGenerateContent?alt=sse", model, **body)
    assert answer.status_code == 200, answer.text
    *events, rest = answer.text.split("\r\n\r\n")
    assert rest == ""
    assert all(event.startswith("data: {") and "\n" not in event for event in events)
    return [json.loads(event[6:]) for event in events]


def _parts(body: Any) -> list[Any]:
    return body["candidates"][0]["content"].get("parts", [])


def _tools(*functions: Any) -> dict[str, Any]:
    return {"tools": [{"functionDeclarations": list(functions)}]}


def test_it_echoes_the_last_user_text(sandbox_url: str) -> None:
    body = _whole(sandbox_url)
    assert _parts(body) == [{"text": "Hello from the sandbox. You said: Good day"}]
    assert body["candidates"][0]["content"]["role"] == "model"
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert body["modelVersion"] == "sandbox-echo"
    assert body["responseId"]
    usage = body["usageMetadata"]
    assert usage["promptTokenCount"] == 6
    assert usage["totalTokenCount"] == 6 + usage["candidatesTokenCount"]
    assert usage["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": 6}]
    assert "thoughtsTokenCount" not in usage


@pytest.mark.parametrize(
    ("model", "body"),
    [
        ("sandbox-echo", {}),
        ("sandbox-reasoning", THINKING),
        ("sandbox-reasoning", {}),
        ("sandbox-tools;reasoning=3", {"contents": [_user("both!")], **_tools(WEATHER, CLOCK)}),
        ("sandbox-echo", {"generationConfig": {"maxOutputTokens": 3}}),
        ("sandbox-exact", {"generationConfig": {"maxOutputTokens": 5000}}),
        ("sandbox-echo", {"generationConfig": {"candidateCount": 2, "stopSequences": ["You"]}}),
        ("sandbox-empty", {}),
    ],
)
def test_a_stream_says_what_a_whole_answer_says(sandbox_url: str, model: str, body: dict[str, Any]) -> None:
    def told(chunks: list[Any]) -> Any:
        parts = [part for chunk in chunks for part in _parts(chunk)]
        texts = [(bool(part.get("thought")), part["text"]) for part in parts if "text" in part]
        calls = [part["functionCall"] for part in parts if "functionCall" in part]
        signed = sum("thoughtSignature" in part for part in parts)
        usage = [chunks[-1]["usageMetadata"].get(f"{name}TokenCount") for name in ("candidates", "thoughts", "total")]
        thoughts, spoken = ("".join(text for kind, text in texts if kind == thought) for thought in (True, False))
        return thoughts, spoken, calls, signed, chunks[-1]["candidates"][0].get("finishReason"), usage

    chunks = _chunks(sandbox_url, model, **body)
    assert told(chunks) == told([_whole(sandbox_url, model, **body)])
    assert not any("finishReason" in chunk["candidates"][0] for chunk in chunks[:-1])


def test_usage_is_a_running_total_in_every_chunk(sandbox_url: str) -> None:
    chunks = _chunks(sandbox_url, "sandbox-reasoning;reasoning=3;words=2", **THINKING)
    usages = [chunk["usageMetadata"] for chunk in chunks]
    assert [usage.get("thoughtsTokenCount") for usage in usages] == [1, 2, 3, 3, 3, 3]
    assert [usage.get("candidatesTokenCount") for usage in usages] == [None, None, None, 1, 2, 2]
    assert [usage["totalTokenCount"] for usage in usages] == [7, 8, 9, 10, 11, 11]


def test_thoughts_are_shown_where_asked_for_and_signed_in_any_case(sandbox_url: str) -> None:
    thought, text = _parts(_whole(sandbox_url, "sandbox-reasoning", **THINKING))
    assert thought["thought"] is True
    assert text["thoughtSignature"]
    (hidden,) = _parts(_whole(sandbox_url, "sandbox-reasoning"))
    assert hidden["thoughtSignature"]
    last = _parts(_chunks(sandbox_url, "sandbox-reasoning")[-1])
    assert [part["text"] for part in last] == [""]
    assert last[0]["thoughtSignature"]
    silent = _whole(sandbox_url, "sandbox-reasoning", generationConfig={"thinkingConfig": {"thinkingBudget": 0}})
    assert "thoughtSignature" not in _parts(silent)[0]


def test_the_first_of_parallel_calls_is_signed(sandbox_url: str) -> None:
    body = {"contents": [_user("Use both")], **_tools(WEATHER, CLOCK)}
    for parts in (
        _parts(_whole(sandbox_url, "sandbox-tools;reasoning=3", **body)),
        [part for chunk in _chunks(sandbox_url, "sandbox-tools;reasoning=3", **body) for part in _parts(chunk)][:2],
    ):
        assert [part["functionCall"] for part in parts] == [
            {"name": "weather", "args": {"city": "sample city"}},
            {"name": "clock", "args": {}},
        ]
        assert ["thoughtSignature" in part for part in parts] == [True, False]


def test_results_are_quoted(sandbox_url: str) -> None:
    asked = _whole(sandbox_url, "sandbox-tools;reasoning=3", contents=[_user("Use both")], **_tools(WEATHER, CLOCK))
    results = [
        {"functionResponse": {"name": "weather", "response": {"result": "sunny"}}},
        {"functionResponse": {"name": "clock", "response": {"hour": 12}}},
    ]
    turns = [_user("Use both"), asked["candidates"][0]["content"], _user(*results)]
    body = _whole(sandbox_url, "sandbox-tools", contents=turns, **_tools(WEATHER, CLOCK))
    assert _parts(body) == [{"text": 'The tool answered: "sunny", "{"hour":12}".'}]


def test_a_forced_tool_is_called_and_none_where_that_is_forbidden(sandbox_url: str) -> None:
    def called(**config: Any) -> list[str]:
        body = {**_tools(WEATHER, CLOCK), "toolConfig": {"functionCallingConfig": config}}
        parts = _parts(_whole(sandbox_url, "sandbox-tools", **body))
        return [part["functionCall"]["name"] for part in parts if "functionCall" in part]

    assert called(mode="ANY", allowedFunctionNames=["clock"]) == ["clock"]
    assert called(mode="AUTO") == ["weather"]
    assert called(mode="NONE") == []


def test_a_call_that_the_limit_cuts_is_left_out(sandbox_url: str) -> None:
    config = {"maxOutputTokens": 2}
    body = _whole(sandbox_url, "sandbox-tools", **_tools(WEATHER), generationConfig=config)
    assert _parts(body) == []
    assert body["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_structured_output_fits_its_schema(sandbox_url: str) -> None:
    schema = {"type": "OBJECT", "properties": {"size": {"type": "STRING", "enum": ["small", "large"]}}}
    config = {"responseMimeType": "application/json", "responseSchema": schema}
    assert json.loads(_parts(_whole(sandbox_url, generationConfig=config))[0]["text"]) == {"size": "small"}
    config = {"responseMimeType": "application/json", "responseJsonSchema": {"type": "array", "items": {"const": 5}}}
    assert json.loads(_parts(_whole(sandbox_url, generationConfig=config))[0]["text"]) == [5]


def test_an_image_is_seen_and_counted(sandbox_url: str) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    body = _whole(sandbox_url, contents=[_user("Look", image)])
    assert _parts(body)[0]["text"] == "Hello from the sandbox. I see an image. You said: Look"
    assert body["usageMetadata"]["promptTokenCount"] == 1 + 4 + 85


def test_a_prompt_that_grows_is_read_from_the_cache(sandbox_url: str) -> None:
    system = {"systemInstruction": {"parts": [{"text": "gemini " * 100}]}}
    one, two = (_whole(sandbox_url, contents=[_user(text)], **system)["usageMetadata"] for text in ("One", "Two"))
    assert "cachedContentTokenCount" not in one
    assert two["cachedContentTokenCount"] == 64
    assert two["cacheTokensDetails"] == [{"modality": "TEXT", "tokenCount": 64}]


def test_both_spellings_of_a_field_are_read(sandbox_url: str) -> None:
    body = {"system_instruction": {"parts": [{"text": "Be brief"}]}, "generation_config": {"max_output_tokens": 1}}
    answer = _whole(sandbox_url, **body)
    assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"
    assert answer["usageMetadata"]["promptTokenCount"] == 8


def test_counting_agrees_with_the_usage(sandbox_url: str) -> None:
    request = {"contents": HELLO, **_tools(WEATHER)}
    counted = _post(sandbox_url, "countTokens", "sandbox-echo", generateContentRequest=request, contents=None).json()
    assert counted["totalTokens"] == _whole(sandbox_url, **request)["usageMetadata"]["promptTokenCount"]
    assert _post(sandbox_url, "countTokens", "sandbox-echo").json()["totalTokens"] == 6


def test_the_models_are_listed(sandbox_url: str) -> None:
    names = [model["name"] for model in httpx2.get(f"{sandbox_url}/v1beta/models").json()["models"]]
    assert "models/sandbox-echo" in names


@pytest.mark.parametrize("finish", ["none", "content_filter"])
def test_the_finish_can_be_chosen(sandbox_url: str, finish: str) -> None:
    finishes = [c["candidates"][0].get("finishReason") for c in _chunks(sandbox_url, f"sandbox-echo;finish={finish}")]
    assert finishes[-1] == {"none": None, "content_filter": "SAFETY"}[finish]


def test_an_unknown_model_is_404(sandbox_url: str) -> None:
    for model in ("gemini-nothing", "sandbox-embedding"):
        error = _post(sandbox_url, "generateContent", model).json()["error"]
        assert (error["code"], error["status"]) == (404, "NOT_FOUND")
        assert error["message"].startswith(f"models/{model} is not found for API version v1beta")


def test_a_stream_is_offered_as_events_only(sandbox_url: str) -> None:
    assert _post(sandbox_url, "streamGenerateContent", "sandbox-echo").status_code == 400


CALL: Any = {"functionCall": {"name": "clock", "args": {}}}
RESULT: Any = {"functionResponse": {"name": "clock", "response": {"result": "12:00"}}}
SIGNATURE = "bm8gc2VhbCBvZiB0aGUgc2FuZGJveA=="


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([], "contents is not specified"),
        ([_model("Hi")], "alternate"),
        ([_user("Hi"), _user("Hi")], "alternate"),
        ([_user("Hi"), _model("Hi"), _model("Hi")], "alternate"),
        ([{"role": "assistant", "parts": [{"text": "Hi"}]}], "valid role: user, model"),
        ([{"role": "user", "parts": []}], "parts must not be empty"),
        ([_user({})], "must have one initialized field"),
        ([_user({"thought": True})], "must have one initialized field"),
        ([_user({"text": "a", "functionCall": CALL["functionCall"]})], "must have one initialized field"),
        ([_user({"type": "text", "text": "Hi"})], "Unknown name \"type\" at 'contents[0].parts[0]'"),
        ([_user(RESULT)], "immediately after a function call"),
        ([_user("Hi"), _model(CALL)], "number of function response parts"),
        ([_user("Hi"), _model(CALL), _user("And?")], "number of function response parts"),
        ([_user("Hi"), _model(CALL, CALL), _user(RESULT)], "number of function response parts"),
        ([_user("Hi"), _model(CALL), _user(RESULT, RESULT)], "number of function response parts"),
        ([_user("Hi"), _model("Hi"), _user(RESULT)], "number of function response parts"),
        ([_user("Hi"), _model({"functionCall": {"name": "other"}}), _user(RESULT)], "name of its function call"),
        ([_user("Hi"), _model({"functionCall": {"name": "clock", "args": "{}"}}), _user(RESULT)], "Struct"),
        ([_user("Hi"), _model({"functionCall": {"args": {}}}), _user(RESULT)], "Name cannot be empty"),
        ([_user("Hi"), _model(CALL), _user({"functionResponse": {"name": "clock", "response": "x"}})], "Struct"),
        ([_user("Hi"), _model(CALL), _user({"functionResponse": {"name": "clock"}})], "response"),
        ([_user(CALL)], "immediately after a user turn"),
        ([_user("Hi"), _model({"text": "Hi", "thoughtSignature": SIGNATURE}), _user("Hi")], "Corrupted thought"),
        ([_user("Hi"), _model({"text": "", "thoughtSignature": "#"}), _user("Hi")], "Base64 decoding failed"),
        ([_user({"inlineData": {"mimeType": "image/png", "data": "data:x"}})], "Base64 decoding failed"),
        ([_user({"inlineData": {"data": "AAAA"}})], "mime_type"),
    ],
)
def test_contents_are_checked_as_the_vendor_checks_them(sandbox_url: str, contents: list[Any], words: str) -> None:
    answer = _post(sandbox_url, "generateContent", "sandbox-echo", contents=contents)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert words in answer.json()["error"]["message"]


def test_a_signature_comes_back_unchanged(sandbox_url: str) -> None:
    content = _whole(sandbox_url, "sandbox-reasoning", **THINKING)["candidates"][0]["content"]
    turns = [*HELLO, content, *HELLO]
    assert _post(sandbox_url, "generateContent", "sandbox-echo", contents=turns).status_code == 200
    content["parts"][1]["thoughtSignature"] = "AAAA" + content["parts"][1]["thoughtSignature"][4:]
    assert _post(sandbox_url, "generateContent", "sandbox-echo", contents=turns).status_code == 400


def _parameters(**schema: Any) -> dict[str, Any]:
    return _tools({"name": "x", "parameters": {"type": "OBJECT", "properties": {"a": schema}}})


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, 'Unknown name "messages"'),
        ({"temperature": 1}, 'Unknown name "temperature"'),
        ({"generationConfig": {"max_tokens": 5}}, "Unknown name \"max_tokens\" at 'generation_config'"),
        ({"generationConfig": {"maxOutputTokens": 0}}, "maxOutputTokens"),
        ({"generationConfig": {"temperature": 2.5}}, "temperature"),
        ({"generationConfig": {"stopSequences": ["a"] * 6}}, "stop_sequences"),
        ({"generationConfig": {"stopSequences": "a"}}, "stop_sequences"),
        ({"generationConfig": {"responseMimeType": "text/html"}}, "response_mime_type"),
        ({"generationConfig": {"responseSchema": {"type": "STRING"}}}, "response_mime_type"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": 9, "thinkingLevel": "LOW"}}}, "only one of"),
        ({"generationConfig": {"thinkingConfig": {"thinkingBudget": -2}}}, "thinking budget -2"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "xhigh"}}}, "thinking_level"),
        (_tools({"name": "1x"}), "Invalid function name"),
        (_tools({"name": "x" * 65}), "Invalid function name"),
        (_tools({"name": "x y"}), "Invalid function name"),
        (_tools(CLOCK, CLOCK), "Duplicate function declaration"),
        (_tools({"type": "function", "name": "x"}), 'Unknown name "type"'),
        (_tools({"name": "x", "input_schema": {}}), 'Unknown name "input_schema"'),
        ({"tools": [{"type": "function"}]}, "Unknown name \"type\" at 'tools[0]'"),
        (_parameters(type="TEXT"), "TEXT"),
        (_parameters(type=["string", "null"]), "Proto field is not repeating"),
        (_parameters(type="STRING", format="uri"), "only 'enum' and 'date-time' are supported"),
        (_parameters(type="INTEGER", enum=["1"]), "only allowed for STRING type"),
        (_parameters(type="STRING", enum=[1]), "TYPE_STRING"),
        (_parameters(type="ARRAY"), "missing field"),
        (_parameters(type="OBJECT", required=["b"]), "property is not defined"),
        (_parameters(type="OBJECT", additionalProperties=False), 'Unknown name "additionalProperties"'),
        (_parameters(const=5), 'Unknown name "const"'),
        (_tools({"name": "x", "parameters": {"$schema": "x", "type": "OBJECT"}}), 'Unknown name "$schema"'),
        ({"toolConfig": {"functionCallingConfig": {"mode": "required"}}}, "mode"),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        (
            {**_tools(CLOCK), "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["clock"]}}},
            "only be set when",
        ),
        (
            {
                **_tools(CLOCK),
                "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["other"]}},
            },
            "not among",
        ),
    ],
)
def test_bad_requests_are_400(sandbox_url: str, body: dict[str, Any], words: str) -> None:
    answer = _post(sandbox_url, "generateContent", "sandbox-echo", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == "INVALID_ARGUMENT"
    assert words in answer.json()["error"]["message"]
