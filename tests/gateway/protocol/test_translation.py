"""A request of one dialect for an upstream of the other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.anthropic_messages.thinking import thinking_style
from gateway.protocol.anthropic_messages.turns import arguments_object, plain_id
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Audio, Conversation, Image, Refusal, Text, ToolResult, Turn
from gateway.protocol.dialects import codec_of
from gateway.protocol.quirks.quirks import Quirks

CHAT = codec_of("openai_chat")
MESSAGES = codec_of("anthropic_messages")
QUESTION = [{"role": "user", "content": "q"}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def to_messages(body: dict[str, Any], *, model: str = "claude-sonnet-4-5", limit: int | None = None) -> EncodedRequest:
    conversation = CHAT.decode_request(json.dumps({"model": "m", "messages": QUESTION, **body}).encode())
    return MESSAGES.encode_request(conversation, upstream_model=model, max_output_tokens=limit)


def to_chat(body: dict[str, Any], *, model: str = "gpt-5.5", limit: int | None = None) -> EncodedRequest:
    whole = {"model": "m", "max_tokens": 100, "messages": QUESTION, **body}
    conversation = MESSAGES.decode_request(json.dumps(whole).encode())
    return CHAT.encode_request(conversation, upstream_model=model, max_output_tokens=limit)


def sent(encoded: EncodedRequest) -> dict[str, Any]:
    return json.loads(encoded.body)  # type: ignore[no-any-return]


# chat -> messages -------------------------------------------------------------------------------------------------


def test_leading_system_messages_become_the_system_field() -> None:
    body = sent(
        to_messages(
            {
                "messages": [
                    {"role": "system", "content": "one"},
                    {"role": "developer", "content": "two"},
                    {"role": "user", "content": "q"},
                    {"role": "system", "content": "later"},
                ]
            }
        )
    )
    assert [block["text"] for block in body["system"]] == ["one", "two"]
    assert [(message["role"], message["content"][0]["text"]) for message in body["messages"]] == [
        ("user", "q"),
        ("user", "<system-reminder>\nlater\n</system-reminder>"),
    ]


def test_a_request_of_system_text_alone_is_said_by_the_user() -> None:
    body = sent(to_messages({"messages": [{"role": "system", "content": "do it"}]}))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "do it"}]}]


def test_parallel_calls_and_their_results_stand_in_one_turn_each() -> None:
    calls = [
        {"id": "call.1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "call.2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    body = sent(
        to_messages(
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "", "tool_calls": calls},
                    {"role": "tool", "tool_call_id": "call.1", "content": "one"},
                    {"role": "tool", "tool_call_id": "call.2", "content": ""},
                    {"role": "user", "content": "go on"},
                    {"role": "user", "content": "please"},
                ]
            }
        )
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "one"}]},
                {"type": "tool_result", "tool_use_id": "call_2"},
                {"type": "text", "text": "go on"},
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "please"}]},
    ]


def test_pictures_documents_and_refusals_are_carried_and_the_rest_is_named() -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB", "filename": "b.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "CC", "format": "wav"}},
        {"type": "video_url", "video_url": {}},
        {"type": "text", "text": ""},
    ]
    encoded = to_messages(
        {"messages": [{"role": "user", "content": content}, {"role": "assistant", "refusal": "no"}, {"role": "user"}]}
    )
    assert sent(encoded)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": "BB"},
                    "title": "b.pdf",
                },
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]},
    ]
    assert encoded.dropped == ("file_id", "audio", "video_url")


def test_wishes_that_messages_cannot_carry_are_named() -> None:
    encoded = to_messages(
        {
            "seed": 3,
            "n": 2,
            "frequency_penalty": 0.5,
            "presence_penalty": 0.5,
            "temperature": 1.5,
            "stop": ["END", " "],
            "response_format": {"type": "json_object"},
            "metadata": {"k": "v"},
            "logit_bias": {"1": 2},
            "stream": True,
            "stream_options": {"include_obfuscation": False},
            "tools": TOOLS,
            "user": "u",
        }
    )
    body = sent(encoded)
    assert set(encoded.dropped) == {
        "seed",
        "n",
        "frequency_penalty",
        "presence_penalty",
        "temperature",
        "stop",
        "response_format",
        "logit_bias",
    }
    assert body["temperature"] == 1
    assert body["stop_sequences"] == ["END"]
    assert body["metadata"] == {"user_id": "u"}
    assert body["stream"] is True
    assert encoded.path == "/messages"
    assert encoded.headers["anthropic-version"]


@pytest.mark.parametrize(
    ("own", "limit", "sent_limit"), [(None, None, 4096), (50, None, 50), (50, 20, 20), (None, 30, 30)]
)
def test_messages_always_has_a_limit(own: int | None, limit: int | None, sent_limit: int) -> None:
    assert sent(to_messages({"max_tokens": own}, limit=limit))["max_tokens"] == sent_limit


@pytest.mark.parametrize(
    ("wishes", "choice"),
    [
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"type": "tool", "name": "f"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({}, None),
    ],
)
def test_tool_choice_goes_to_messages(wishes: dict[str, Any], choice: Any) -> None:
    assert sent(to_messages({"tools": TOOLS, **wishes})).get("tool_choice") == choice
    assert "tool_choice" not in sent(to_messages(wishes))


def test_tools_and_formats_go_to_messages() -> None:
    schema = {"type": "object", "properties": {}}
    body = sent(
        to_messages(
            {
                "tools": [{"type": "function", "function": {"name": "f", "strict": True}}],
                "functions": [{"name": "g", "parameters": {}, "x": 1}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
            }
        )
    )
    closed = {**schema, "additionalProperties": False}
    assert body["tools"] == [
        {"name": "f", "input_schema": closed, "strict": True},
        {"name": "g", "input_schema": {"type": "object"}},
    ]
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": closed}}
    assert "output_config" not in sent(to_messages({"response_format": {"type": "text"}}))


@pytest.mark.parametrize(
    ("model", "style"),
    [
        ("claude-3-5-sonnet-20241022", "none"),
        ("claude-3-7-sonnet-20250219", "budget"),
        ("claude-sonnet-4-20250514", "budget"),
        ("claude-haiku-4-5", "budget"),
        ("anthropic/claude-opus-4.6", "adaptive"),
        ("claude-sonnet-5", "adaptive"),
        ("MiniMax-M3", "budget"),
    ],
)
def test_each_generation_is_asked_to_think_in_its_own_way(model: str, style: str) -> None:
    assert thinking_style(model) == style


@pytest.mark.parametrize(
    ("body", "model", "thinking", "effort", "dropped"),
    [
        ({"reasoning_effort": "low"}, "claude-haiku-4-5", {"type": "enabled", "budget_tokens": 2048}, None, False),
        (
            {"reasoning": {"max_tokens": 3000}},
            "claude-haiku-4-5",
            {"type": "enabled", "budget_tokens": 3000},
            None,
            False,
        ),
        ({"reasoning_effort": "max"}, "claude-haiku-4-5", {"type": "enabled", "budget_tokens": 8999}, None, False),
        ({"reasoning_effort": "xhigh"}, "claude-opus-5", {"type": "adaptive"}, "xhigh", False),
        ({"reasoning": {"enabled": True}}, "claude-opus-5", {"type": "adaptive"}, None, False),
        ({"reasoning_effort": "none"}, "claude-opus-5", {"type": "disabled"}, None, False),
        ({"reasoning_effort": "high"}, "claude-3-5-haiku", None, None, True),
        ({"reasoning_effort": "high", "tools": TOOLS, "tool_choice": "required"}, "claude-opus-5", None, None, True),
        ({"reasoning_effort": "high", "max_tokens": 500}, "claude-haiku-4-5", None, None, True),
        ({}, "claude-opus-5", None, None, False),
    ],
)
def test_reasoning_wishes_go_to_messages(
    body: dict[str, Any], model: str, thinking: Any, effort: str | None, dropped: bool
) -> None:
    encoded = to_messages({"max_tokens": 9000, **body}, model=model)
    assert sent(encoded).get("thinking") == thinking
    assert sent(encoded).get("output_config", {}).get("effort") == effort
    assert ("reasoning_effort" in encoded.dropped) is dropped


def test_thinking_takes_no_temperature_and_no_top_k() -> None:
    encoded = to_messages({"reasoning_effort": "low", "temperature": 0.2, "top_k": 4, "max_tokens": 9000})
    assert {"temperature", "top_k"} == set(encoded.dropped)
    assert not {"temperature", "top_k"} & set(sent(encoded))


def test_thinking_is_off_while_tools_run_without_its_signature() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    signed = [{"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}]
    result = {"role": "tool", "tool_call_id": "c", "content": "x"}
    for details, thinks in ((None, False), (signed, True)):
        assistant = {"role": "assistant", "tool_calls": [call], "reasoning_details": details}
        body = sent(
            to_messages({"reasoning_effort": "low", "max_tokens": 9000, "messages": [*QUESTION, assistant, result]})
        )
        assert ("thinking" in body) is thinks
    blocks = body["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "t", "signature": "s"}


def test_foreign_reasoning_is_left_out_without_a_word() -> None:
    encoded = to_messages({"messages": [*QUESTION, {"role": "assistant", "content": "a", "reasoning_content": "r"}]})
    assert encoded.dropped == ()
    assert b'"r"' not in encoded.body


@pytest.mark.parametrize(
    ("arguments", "value"),
    [("", {}), ("null", {}), ('{"a":1}', {"a": 1}), ('{"a":', {"_raw": '{"a":'}), ("[1]", {"_raw": "[1]"})],
)
def test_arguments_need_not_be_an_object(arguments: str, value: Any) -> None:
    assert arguments_object(arguments) == value


def test_odd_ids_are_made_plain() -> None:
    assert plain_id("functions.f:0") == "functions_f_0"
    assert plain_id("") == "call_0"


# messages -> chat -------------------------------------------------------------------------------------------------


def test_system_blocks_become_one_message_without_the_billing_block() -> None:
    body = sent(
        to_chat(
            {
                "system": [
                    {"type": "text", "text": "x-anthropic-billing-header: cc_version=2"},
                    {"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "two"},
                ],
                "messages": [*QUESTION, {"role": "system", "content": "later"}],
            }
        )
    )
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "user", "content": "q"},
        {"role": "system", "content": "later"},
    ]
    only_billing = to_chat({"system": "x-anthropic-billing-header: cc_version=2"})
    assert [message["role"] for message in sent(only_billing)["messages"]] == ["user"]


def test_results_follow_their_calls_and_what_is_no_text_follows_them() -> None:
    encoded = to_chat(
        {
            "messages": [
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "t", "signature": "s"},
                        {"type": "text", "text": "a"},
                        {"type": "tool_use", "id": "c1", "name": "f", "input": {}},
                        {"type": "tool_use", "id": "c2", "name": "f", "input": {"a": "é"}},
                        {"type": "server_tool_use", "id": "s"},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "fine"},
                        {
                            "type": "tool_result",
                            "tool_use_id": "c2",
                            "is_error": True,
                            "content": [
                                {"type": "text", "text": "bad"},
                                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}},
                            ],
                        },
                        {"type": "text", "text": "and now?"},
                    ],
                },
            ]
        }
    )
    assert sent(encoded)["messages"] == [
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "a"}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": '{"a":"é"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "fine"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: bad"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Attached to the tool results:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}},
            ],
        },
        {"role": "user", "content": "and now?"},
    ]
    assert encoded.dropped == ("server_tool_use",)


def test_a_message_of_which_nothing_can_be_carried_is_left_out() -> None:
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    encoded = to_chat(
        {
            "messages": [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": [{"type": "thinking", "thinking": "h", "signature": "s"}]},
                {"role": "assistant", "content": [search]},
                {"role": "user", "content": ""},
                {"role": "user", "content": "r"},
            ]
        }
    )
    assert sent(encoded)["messages"] == [{"role": "user", "content": "q"}, {"role": "user", "content": "r"}]
    assert encoded.dropped == ("server_tool_use",)


def test_documents_go_to_chat() -> None:
    content = [
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "doc"}, "title": "T"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "doc"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"}},
        {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}},
    ]
    (message,) = sent(to_chat({"messages": [{"role": "user", "content": content}]}))["messages"]
    assert message["content"] == [
        {"type": "text", "text": "T\n\ndoc"},
        {"type": "text", "text": "doc"},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AA"}},
        {"type": "file", "file": {"file_data": "https://x/a.pdf"}},
    ]


def test_tools_and_choices_go_to_chat() -> None:
    encoded = to_chat(
        {
            "tools": [
                {"name": "f", "input_schema": {"$schema": "s", "type": "object"}, "eager": 1},
                {"name": "later", "input_schema": {}, "defer_loading": True},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        }
    )
    body = sent(encoded)
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", False)
    assert encoded.dropped == ("tools.defer_loading", "tools[web_search_20250305]")
    named = to_chat({"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"}})
    assert sent(named)["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert "tool_choice" not in sent(to_chat({"tool_choice": {"type": "auto"}}))


@pytest.mark.parametrize(
    ("body", "effort"),
    [
        ({"output_config": {"effort": "xhigh"}}, "high"),
        ({"output_config": {"effort": "low"}}, "low"),
        ({"thinking": {"type": "disabled"}}, "none"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low"),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium"),
        ({"thinking": {"type": "enabled", "budget_tokens": 20000}}, "high"),
        ({"thinking": {"type": "adaptive"}}, None),
        ({}, None),
    ],
)
def test_thinking_goes_to_chat(body: dict[str, Any], effort: str | None) -> None:
    assert sent(to_chat(body)).get("reasoning_effort") == effort


def test_wishes_that_chat_cannot_carry_are_named() -> None:
    encoded = to_chat(
        {
            "top_k": 4,
            "stop_sequences": list("abcdef"),
            "context_management": {},
            "thinking": {"type": "adaptive", "display": "omitted"},
            "metadata": {"user_id": "u", "x": 1},
            "stream": True,
        }
    )
    body = sent(encoded)
    assert set(encoded.dropped) == {"top_k", "stop_sequences", "context_management", "thinking.display"}
    assert body["stop"] == list("abcd")
    assert body["user"] == "u"
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(("model", "name"), [("gpt-5.5", "max_completion_tokens"), ("deepseek-chat", "max_tokens")])
def test_the_limit_goes_to_chat(model: str, name: str) -> None:
    assert sent(to_chat({}, model=model))[name] == 100
    assert sent(to_chat({}, model=model, limit=10))[name] == 10


def test_structured_output_goes_to_chat() -> None:
    schema = {"type": "object"}
    for body in (
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ):
        assert sent(to_chat(body))["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": schema},
        }


# of no dialect ----------------------------------------------------------------------------------------------------


def test_a_conversation_of_our_own_goes_to_both() -> None:
    result = ToolResult("c", (Text("a"), Image(url="https://x")), is_error=True)
    conversation = Conversation(
        model="m",
        turns=(
            Turn("user", (Text("q", cache="1h"), Audio("A", "wav"), Refusal("r"))),
            Turn("tool", (result,), name="f"),
        ),
    )
    chat = sent(CHAT.encode_request(conversation, upstream_model="m", max_output_tokens=5))
    assert [message["role"] for message in chat["messages"]] == ["user", "tool", "user"]
    assert chat["messages"][0]["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}
    assert chat["messages"][1]["name"] == "f"
    messages = sent(MESSAGES.encode_request(conversation, upstream_model="m", max_output_tokens=5))
    assert messages["messages"][1]["content"][0]["is_error"] is True


def test_chat_kinds_that_messages_lacks_go_back_to_chat() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f", "filename": "n"}}]},
            {
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "no"}, {"type": "odd", "x": 1}],
                "reasoning": "r",
                "reasoning_details": [{"type": "reasoning.summary", "summary": "s"}],
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}],
            },
            {"role": "user", "content": [{"type": "text", "text": ""}], "name": "bob"},
        ],
        "tools": [{"type": "custom", "custom": {"name": "g"}}],
        "reasoning": {"effort": "low", "exclude": True},
    }
    conversation = CHAT.decode_request(json.dumps(body).encode())
    quirks = Quirks(custom_tools=True)
    written = sent(CHAT.encode_request(conversation, upstream_model="m", max_output_tokens=None, quirks=quirks))
    assert CHAT.decode_request(json.dumps(written).encode()).tools == conversation.tools
    assert written["reasoning"] == {"effort": "low", "exclude": True}
    assistant = written["messages"][1]
    assert assistant["tool_calls"] == body["messages"][1]["tool_calls"]  # type: ignore[index]
    assert assistant["reasoning_details"] == [{"type": "reasoning.summary", "summary": "s"}]
    assert assistant["refusal"] == "no"
    assert written["messages"][2] == body["messages"][2]  # type: ignore[index]
