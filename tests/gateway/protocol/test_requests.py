"""Requests of both dialects: read, refused, passed through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.protocol.conversation import (
    Audio,
    Conversation,
    CustomFormat,
    File,
    ForeignTool,
    Image,
    Opaque,
    Reasoning,
    ReasoningControls,
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
from gateway.protocol.dialects import CODECS, codec_of
from gateway.protocol.openai_chat.request import limit_field
from gateway.protocol.problem import ProtocolError

CHAT = codec_of("openai_chat")
MESSAGES = codec_of("anthropic_messages")


def chat(**body: Any) -> Conversation:
    return CHAT.decode_request(json.dumps({"model": "m", "messages": [], **body}).encode())


def messages(**body: Any) -> Conversation:
    return MESSAGES.decode_request(json.dumps({"model": "m", "max_tokens": 9, "messages": [], **body}).encode())


def chat_parts(content: Any) -> tuple[Any, ...]:
    (turn,) = chat(messages=[{"role": "user", "content": content}]).turns
    return turn.parts


def test_a_chat_request_is_read_whole() -> None:
    conversation = chat(
        temperature=0.5,
        top_p=1,
        stop="END",
        max_tokens=50,
        max_completion_tokens=40,
        n=2,
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
        },
        reasoning_effort="high",
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False},
        user="u",
        metadata={"k": "v"},
        parallel_tool_calls=False,
        tools=[
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True, "x": 1}},
            {"type": "custom", "custom": {"name": "g"}},
        ],
        tool_choice={"type": "function", "function": {"name": "f"}},
        service_tier="flex",
        logit_bias=None,
    )
    assert conversation.sampling == Sampling(0.5, 1, None, ("END",), 40, 2, 7, 0.1, 0.2)
    assert conversation.max_output_tokens == 40
    assert conversation.response_format == ResponseFormat("json_schema", "a", {"type": "object"}, True)
    assert conversation.reasoning == ReasoningControls(effort="high")
    assert (conversation.stream, conversation.include_usage, conversation.user) == (True, True, "u")
    assert conversation.metadata == {"k": "v"}
    assert conversation.parallel_tools is False
    assert conversation.tools == (
        Tool("f", parameters={"type": "object"}, strict=True, extras={"x": 1}, origin="openai_chat"),
        Tool("g", custom=CustomFormat()),
    )
    assert conversation.tool_choice == ToolChoice("named", "f")
    assert conversation.service_tier == "flex"
    assert conversation.extras == {"stream_options": {"include_obfuscation": False}}
    assert conversation.source["model"] == "m"


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("hi", (Text("hi"),)),
        ("", ()),
        (None, ()),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}], (Text("a", cache="5m"),)),
        (
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
            (Text("a", cache="1h"),),
        ),
        (
            [{"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}}],
            (Image("https://x/y", detail="low"),),
        ),
        ([{"type": "image_url", "image_url": "https://x/y"}], (Image("https://x/y"),)),
        (
            [{"type": "image_url", "image_url": {"url": "data:image/gif;base64,AAAA"}}],
            (Image(data="AAAA", media_type="image/gif"),),
        ),
        ([{"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}], (Audio("AA", "wav"),)),
        (
            [{"type": "input_audio", "input_audio": "https://x"}],
            (Opaque("openai_chat", "input_audio", {"type": "input_audio", "input_audio": "https://x"}),),
        ),
        ([{"type": "file", "file": {"file_id": "f1"}}], (File(file_id="f1"),)),
        (
            [{"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}}],
            (File(data="AA", media_type="application/pdf", name="a.pdf"),),
        ),
        ([{"type": "file", "file": {"file_data": "https://x/a.pdf"}}], (File(url="https://x/a.pdf"),)),
        ([{"type": "file", "file": {"file_data": "AAAA"}}], (File(data="AAAA"),)),
        ([{"type": "refusal", "refusal": "no"}], (Refusal("no"),)),
        (
            [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "thinking", "thinking": "m"}],
            (Reasoning("hm", origin="openai_chat"), Reasoning("m", origin="openai_chat")),
        ),
        ([{"type": "thinking"}], (Reasoning("", origin="openai_chat"),)),
        ([{"type": "video_url", "x": 1}], (Opaque("openai_chat", "video_url", {"type": "video_url", "x": 1}),)),
    ],
)
def test_chat_content_becomes_parts(content: Any, parts: tuple[Any, ...]) -> None:
    assert chat_parts(content) == parts


def test_chat_history_keeps_calls_results_and_reasoning() -> None:
    conversation = chat(
        messages=[
            {"role": "developer", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
            {"role": "assistant", "content": None, "cache_control": {"type": "ephemeral"}},
            {
                "role": "assistant",
                "content": "Let me see.",
                "reasoning_content": "thinking",
                "refusal": "no",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                    {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}},
                    {"id": "c3", "type": "function", "function": {"name": "h"}, "extra": 1},
                ],
                "audio": {"id": "a1"},
            },
            {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "42"}]},
            {"role": "assistant", "function_call": {"name": "old", "arguments": ""}},
            {"role": "function", "name": "old", "content": "43"},
        ]
    )
    assert [turn.role for turn in conversation.turns] == [
        "developer",
        "assistant",
        "assistant",
        "tool",
        "assistant",
        "tool",
    ]
    assert conversation.turns[0].parts == (Text("Be brief.", cache="5m"),)
    assert conversation.turns[2].parts == (
        Reasoning("thinking", origin="openai_chat"),
        Text("Let me see."),
        Refusal("no"),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", "x", custom=True),
        ToolCall("c3", "h", "", extras={"extra": 1}, origin="openai_chat"),
    )
    assert conversation.turns[2].extras == {"audio": {"id": "a1"}}
    assert conversation.turns[3].parts == (ToolResult("c1", (Text("42"),)),)
    assert conversation.turns[4].parts == (ToolCall("old", "old", ""),)
    assert conversation.turns[5].parts == (ToolResult("old", (Text("43"),)),)


@pytest.mark.parametrize(
    ("body", "controls"),
    [
        ({"reasoning_effort": "none"}, ReasoningControls(enabled=False)),
        ({"reasoning": {"effort": "low"}}, ReasoningControls(effort="low")),
        ({"reasoning": {"max_tokens": 2000, "exclude": True}}, ReasoningControls(None, None, 2000, {"exclude": True})),
        ({"reasoning": {"enabled": True}}, ReasoningControls(enabled=True)),
        ({}, ReasoningControls()),
    ],
)
def test_chat_reasoning_wishes_are_read(body: dict[str, Any], controls: ReasoningControls) -> None:
    assert chat(**body).reasoning == controls


def test_odd_choices_and_formats_stay_among_the_extras() -> None:
    odd = {"type": "web_search"}
    conversation = chat(tool_choice=odd, response_format={"type": "grammar"})
    assert conversation.tool_choice is None
    assert conversation.response_format is None
    assert conversation.extras == {"tool_choice": odd, "response_format": {"type": "grammar"}}


@pytest.mark.parametrize(
    ("choice", "read"),
    [("auto", ToolChoice("auto")), ("any", ToolChoice("required")), (None, None)],
)
def test_chat_tool_choice_is_read(choice: Any, read: ToolChoice | None) -> None:
    assert chat(tool_choice=choice).tool_choice == read


def test_legacy_functions_are_tools() -> None:
    conversation = chat(functions=[{"name": "f", "description": "d"}], function_call={"name": "f"})
    assert conversation.tools == (Tool("f", "d"),)
    assert conversation.tool_choice == ToolChoice("named", "f")


def test_a_messages_request_is_read_whole() -> None:
    conversation = messages(
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        messages=[
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "t", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "xx"},
                    {"type": "text", "text": "a", "citations": [1]},
                    {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
                    {"type": "server_tool_use", "id": "s1"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "is_error": True,
                        "content": [
                            {"type": "text", "text": "bad"},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                        ],
                    },
                    {"type": "image", "source": {"type": "url", "url": "https://x"}},
                    {"type": "image", "source": {"type": "file", "file_id": "f"}},
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "doc"},
                        "title": "T",
                    },
                    {
                        "type": "document",
                        "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
                        "context": "c",
                    },
                ],
            },
            {"role": "system", "content": "more"},
        ],
        stop_sequences=["a"],
        temperature=1,
        top_p=0.9,
        top_k=5,
        stream=True,
        tools=[
            {"name": "f", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}, "z": 1},
        metadata={"user_id": "u", "x": 1},
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
    )
    own = "anthropic_messages"
    assert conversation.turns[0] == Turn("system", (Text("s", cache="1h"),))
    assert conversation.turns[2].parts == (
        Reasoning("t", "sig", origin=own),
        Reasoning(redacted="xx", origin=own),
        Text("a", extras={"citations": [1]}, origin=own),
        ToolCall("c1", "f", '{"a":1}', extras={"caller": {"type": "direct"}}, origin=own),
        Opaque(own, "server_tool_use", {"type": "server_tool_use", "id": "s1"}),
    )
    assert conversation.turns[3].parts == (
        ToolResult("c1", (Text("bad"), Image(data="AA", media_type="image/png")), is_error=True),
        Image("https://x"),
        Opaque(own, "image", {"type": "image", "source": {"type": "file", "file_id": "f"}}),
        File(text="doc", name="T"),
        File(data="AA", media_type="application/pdf", extras={"context": "c"}, origin=own),
    )
    assert conversation.turns[4].role == "system"
    assert conversation.sampling == Sampling(1, 0.9, 5, ("a",), 9)
    assert conversation.tools == (
        Tool("f", "d", {"type": "object"}, deferred=True),
        ForeignTool(own, "web_search_20250305", {"type": "web_search_20250305", "name": "web_search"}),
    )
    assert (conversation.tool_choice, conversation.parallel_tools) == (ToolChoice("required"), False)
    assert conversation.reasoning == ReasoningControls(True, "high", 2048)
    assert conversation.response_format == ResponseFormat("json_schema", schema={"type": "object"})
    assert (conversation.user, conversation.metadata) == ("u", {"x": 1})
    assert conversation.extras == {
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "output_config": {"z": 1},
    }


BAD_ANYWHERE = [
    b"",
    b"{",
    b"[]",
    b'"x"',
    b"\xff\xfe",
    b'{"model": "\\ud800"}',
    b'{"model": 1}',
    b'{"model": null}',
    b"{}",
    b'{"model": "m"}',
    b'{"model": "m", "max_tokens": 1e400}',
    b'{"model": "m", "max_tokens": 5, "messages": {}}',
    b'{"model": "m", "max_tokens": 5, "messages": [1]}',
    b'{"model": "m", "max_tokens": 5, "messages": [{}]}',
    b'{"model": "m", "max_tokens": 5, "messages": [{"role": "robot"}]}',
    b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": 5}]}',
    b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": ["x"]}]}',
    b'{"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text"}]}]}',
    b'{"model": "m", "max_tokens": 0, "messages": []}',
    b'{"model": "m", "max_tokens": 1.5, "messages": []}',
    b'{"model": "m", "max_tokens": true, "messages": []}',
    b'{"model": "m", "max_tokens": 99999999999999999999, "messages": []}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "stream": "yes"}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "tools": {}}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "tools": [{"function": {}}]}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "tool_choice": "maybe"}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "metadata": 5}',
    b'{"model": "m", "max_tokens": 5, "messages": [], "temperature": "hot"}',
    b'{"model": "m", "x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
]


@pytest.mark.parametrize("body", BAD_ANYWHERE, ids=lambda body: body[:60].decode("latin-1"))
@pytest.mark.parametrize("dialect", sorted(CODECS))
def test_a_bad_body_is_a_typed_400(dialect: str, body: bytes) -> None:
    if dialect == "anthropic_messages" and b'"tools": [{"function"' in body:
        body = body.replace(b'"function": {}', b'"x": 1')
    with pytest.raises(ProtocolError) as caught:
        CODECS[dialect].decode_request(body)
    assert caught.value.problem.kind == "invalid_request"
    assert caught.value.problem.status == 400
    assert caught.value.problem.message


@pytest.mark.parametrize(
    "body",
    [
        {"stop": [1]},
        {"n": 0},
        {"n": 1000},
        {"reasoning": []},
        {"stream_options": []},
        {"response_format": {"type": "json_schema", "json_schema": 3}},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": 3}}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "x", "arguments": {}}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    ],
)
def test_a_chat_field_of_the_wrong_type_is_named(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        chat(**body)
    assert caught.value.problem.param


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": None},
        {"tool_choice": {"type": "some"}},
        {"tool_choice": {"type": "tool"}},
        {"thinking": "on"},
        {"system": 4},
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "1", "name": "f", "input": "x"}]}]},
    ],
)
def test_a_messages_field_of_the_wrong_type_is_named(body: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError) as caught:
        messages(**body)
    assert caught.value.problem.param


def test_nesting_too_deep_to_write_again_is_a_400_too() -> None:
    body = b'{"model": "m", "max_tokens": 5, "messages": [], "x": ' + b"[" * 500 + b"]" * 500 + b"}"
    for codec in CODECS.values():
        with pytest.raises(ProtocolError):
            codec.splice_request(body, upstream_model="u", max_output_tokens=None)


# Pass-through -----------------------------------------------------------------------------------------------------


def spliced(codec: Any, body: dict[str, Any], **wishes: Any) -> dict[str, Any]:
    wishes = {"upstream_model": "up", "max_output_tokens": None, **wishes}
    return json.loads(codec.splice_request(json.dumps(body).encode(), **wishes).body)  # type: ignore[no-any-return]


def test_pass_through_changes_the_model_and_nothing_else() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "é😀"}],
        "unknown": {"a": [1, 2.5, None]},
        "max_tokens": 7,
    }
    for codec in (CHAT, MESSAGES):
        assert spliced(codec, body) == {**body, "model": "up"}
        assert spliced(codec, body, max_output_tokens=100) == {**body, "model": "up"}
        assert spliced(codec, body, max_output_tokens=5) == {**body, "model": "up", "max_tokens": 5}


def test_pass_through_uses_what_was_parsed_before() -> None:
    conversation = chat(x=1)
    encoded = CHAT.splice_request(b"", upstream_model="up", max_output_tokens=None, parsed=conversation.source)
    assert json.loads(encoded.body) == {"model": "up", "messages": [], "x": 1}
    assert conversation.source["model"] == "m"
    assert encoded.path == "/chat/completions"


def test_a_chat_stream_always_asks_for_usage() -> None:
    assert spliced(CHAT, {"stream": True})["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    assert spliced(CHAT, {"stream": True, "stream_options": options})["stream_options"] == {
        "include_usage": True,
        "include_obfuscation": False,
    }
    assert "stream_options" not in spliced(CHAT, {"stream": False})


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-5.5", "max_completion_tokens"),
        ("openai/o4-mini", "max_completion_tokens"),
        ("openai/gpt-oss-120b", "max_tokens"),
        ("deepseek-chat", "max_tokens"),
        ("mistral-large", "max_tokens"),
    ],
)
def test_a_new_output_limit_has_the_name_that_the_model_knows(model: str, field: str) -> None:
    assert limit_field(model) == field
    assert spliced(CHAT, {"messages": []}, upstream_model=model, max_output_tokens=9)[field] == 9


def test_both_limits_of_a_chat_request_are_lowered() -> None:
    body = spliced(CHAT, {"max_tokens": 100, "max_completion_tokens": 5}, max_output_tokens=50)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (50, 5)


def test_messages_pass_through_keeps_version_and_betas() -> None:
    body = json.dumps({"model": "m", "max_tokens": 5}).encode()
    encoded = MESSAGES.splice_request(body, upstream_model="u", max_output_tokens=None)
    assert encoded.headers == {"anthropic-version": "2023-06-01"}
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b", "cookie": "no"}
    encoded = MESSAGES.splice_request(body, upstream_model="u", max_output_tokens=None, client_headers=headers)
    assert encoded.headers == {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b"}
    assert encoded.path == "/messages"


@pytest.mark.parametrize(
    ("limit", "thinking", "dropped"),
    [
        (5000, {"type": "enabled", "budget_tokens": 4000}, ()),
        (3000, {"type": "enabled", "budget_tokens": 2999}, ("thinking.budget_tokens",)),
        (900, None, ("thinking",)),
    ],
)
def test_a_lowered_limit_lowers_the_thinking_budget(limit: int, thinking: Any, dropped: tuple[str, ...]) -> None:
    body = {"model": "m", "max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 4000}}
    encoded = MESSAGES.splice_request(json.dumps(body).encode(), upstream_model="u", max_output_tokens=limit)
    sent = json.loads(encoded.body)
    assert sent["max_tokens"] == limit
    assert sent.get("thinking") == thinking
    assert encoded.dropped == dropped


def test_a_missing_messages_limit_is_filled_in() -> None:
    assert spliced(MESSAGES, {"model": "m"}, max_output_tokens=77)["max_tokens"] == 77


# Properties -------------------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
KEYS = st.sampled_from(
    [
        "model",
        "messages",
        "role",
        "content",
        "type",
        "text",
        "tools",
        "function",
        "name",
        "arguments",
        "tool_calls",
        "image_url",
        "url",
        "source",
        "data",
        "system",
        "max_tokens",
        "stream",
        "stop",
        "n",
        "metadata",
        "thinking",
        "output_config",
        "format",
        "schema",
        "tool_choice",
        "reasoning",
        "input",
        "user",
        "assistant",
        "input_schema",
        "cache_control",
        "reasoning_details",
        "tool_use_id",
        "refusal",
        "file",
        "input_audio",
        "tool_call_id",
    ]
)
WORDS = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "image_url",
        "tool_use",
        "tool_result",
        "thinking",
        "function",
        "custom",
        "image",
        "document",
        "file",
        "base64",
        "url",
        "any",
        "auto",
        "json_schema",
        "enabled",
        "redacted_thinking",
        "input_audio",
    ]
)
ANY_JSON = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


def to_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, ANY_JSON, max_size=6), st.lists(st.dictionaries(KEYS, ANY_JSON), max_size=2))
def test_no_body_raises_anything_but_the_typed_error(body: dict[str, Any], turns: list[Any]) -> None:
    for codec in CODECS.values():
        for variant in (body, {"model": "m", "max_tokens": 5, "messages": turns, **body}):
            try:
                conversation = codec.decode_request(to_json(variant))
            except ProtocolError:
                continue
            for target in CODECS.values():
                try:
                    target.encode_request(conversation, upstream_model="u", max_output_tokens=None)
                    target.splice_request(to_json(variant), upstream_model="u", max_output_tokens=3)
                except ProtocolError:
                    continue


@given(st.binary(max_size=40))
def test_no_bytes_raise_anything_but_the_typed_error(body: bytes) -> None:
    for codec in CODECS.values():
        for read in (codec.decode_request, codec.decode_reply):
            with pytest.raises(ProtocolError):
                read(body)


NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
SOME_TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
CACHES = st.sampled_from([None, "5m", "1h"])
TEXTS = st.builds(Text, SOME_TEXT, cache=CACHES)
PICTURES = st.builds(Image, url=st.just("https://x.example/a.png"), cache=CACHES) | st.builds(
    Image, data=st.just("AAAA"), media_type=st.sampled_from(["image/png", "image/gif"])
)
SCHEMAS = st.just({"type": "object", "properties": {"a": {"type": "string"}}})
OBJECT_TEXT = st.dictionaries(NAMES, st.integers(-9, 9) | SOME_TEXT, max_size=2).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
)
CALLS = st.builds(ToolCall, id=NAMES, name=NAMES, arguments=OBJECT_TEXT)
RESULTS = st.builds(ToolResult, call_id=NAMES, parts=st.lists(TEXTS, min_size=1, max_size=2).map(tuple))
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([None, 0, 0.5, 1]),
    top_p=st.sampled_from([None, 0.9]),
    top_k=st.sampled_from([None, 5]),
    stop=st.lists(NAMES, max_size=3).map(tuple),
    max_output_tokens=st.integers(1, 9999),
)
CHOICES = (
    st.none()
    | st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
    | st.builds(ToolChoice, st.just("named"), NAMES)
)
TOOLS = st.lists(st.builds(Tool, NAMES, st.none() | SOME_TEXT, SCHEMAS, cache=CACHES), min_size=1, max_size=2)


def conversations(dialect: str) -> st.SearchStrategy[Conversation]:
    """Canonical conversations of one dialect: what its own decoder can give."""
    users = st.lists(TEXTS | PICTURES, min_size=1, max_size=3).map(lambda parts: Turn("user", tuple(parts)))
    said = st.lists(TEXTS, max_size=1)
    thoughts = st.lists(st.builds(Reasoning, SOME_TEXT, origin=st.just(dialect)), max_size=1)
    if dialect == "anthropic_messages":
        thoughts = st.lists(
            st.builds(Reasoning, SOME_TEXT, signature=SOME_TEXT, origin=st.just(dialect))
            | st.builds(Reasoning, redacted=SOME_TEXT, origin=st.just(dialect)),
            max_size=2,
        )
        results = st.lists(RESULTS, min_size=1, max_size=2).map(lambda parts: Turn("user", tuple(parts)))
    else:
        results = RESULTS.map(lambda part: Turn("tool", (part,)))
    assistants = st.builds(
        lambda *lists: Turn("assistant", tuple(part for parts in lists for part in parts)),
        thoughts,
        said,
        st.lists(CALLS, min_size=1, max_size=2),
    )
    leading = st.lists(TEXTS, min_size=1, max_size=2).map(lambda parts: [Turn("system", tuple(parts))])
    turns = st.builds(
        lambda first, later: (*first, *later), leading, st.lists(users | assistants | results, min_size=1, max_size=5)
    )
    return st.builds(
        Conversation,
        model=st.just("m"),
        turns=turns,
        tools=TOOLS.map(tuple),
        tool_choice=CHOICES,
        parallel_tools=st.none() if dialect == "anthropic_messages" else st.sampled_from([None, True, False]),
        sampling=SAMPLINGS,
        response_format=st.none() | st.builds(ResponseFormat, st.just("json_schema"), schema=SCHEMAS),
        reasoning=st.builds(ReasoningControls, effort=st.sampled_from([None, "low", "high"])),
        stream=st.just(True),
        include_usage=st.just(True),
        user=st.none() | NAMES,
        metadata=st.sampled_from([{}, {"k": "v"}]),
        extras=st.sampled_from([{}, {"unknown": {"a": 1}}]),
        dialect=st.just(dialect),
    )


@given(conversations("openai_chat"))
def test_a_chat_conversation_survives_writing_and_reading(conversation: Conversation) -> None:
    encoded = CHAT.encode_request(conversation, upstream_model="m", max_output_tokens=None)
    again = CHAT.decode_request(encoded.body)
    if conversation.response_format is not None:
        # OpenAI demands a name; one is made up.
        assert again.response_format is not None
        assert again.response_format.name == "answer"
        again = _with_format(again, conversation.response_format)
    assert again == conversation
    assert encoded.dropped == ()


def _with_format(conversation: Conversation, wish: ResponseFormat) -> Conversation:
    return replace(conversation, response_format=wish)


@given(conversations("anthropic_messages"))
def test_a_messages_conversation_survives_writing_and_reading(conversation: Conversation) -> None:
    encoded = MESSAGES.encode_request(conversation, upstream_model="m", max_output_tokens=None)
    assert MESSAGES.decode_request(encoded.body) == conversation
    assert encoded.dropped == ()


@given(conversations("openai_chat"))
def test_text_calls_and_results_survive_the_way_to_messages(conversation: Conversation) -> None:
    encoded = MESSAGES.encode_request(conversation, upstream_model="claude-opus-4-7", max_output_tokens=None)
    again = MESSAGES.decode_request(encoded.body)
    for kind in (Text, ToolCall, ToolResult, Image):
        # At most four cache breakpoints are left.
        assert _uncached(_parts(again, kind)) == _uncached(_parts(conversation, kind))
    assert _uncached(again.tools) == _uncached(conversation.tools)


@given(conversations("anthropic_messages"))
def test_text_calls_and_results_survive_the_way_to_chat(conversation: Conversation) -> None:
    encoded = CHAT.encode_request(conversation, upstream_model="gpt-5.5", max_output_tokens=None)
    again = CHAT.decode_request(encoded.body)
    assert [part.arguments for part in _parts(again, ToolCall)] == [
        part.arguments for part in _parts(conversation, ToolCall)
    ]
    assert [part.call_id for part in _parts(again, ToolResult)] == [
        part.call_id for part in _parts(conversation, ToolResult)
    ]
    assert [part.text for part in _parts(again, Text)] == [part.text for part in _parts(conversation, Text)]


def _uncached(values: Any) -> list[Any]:
    plain = [replace(value, cache=None) for value in values]
    return [
        replace(value, parts=tuple(_uncached(value.parts))) if isinstance(value, ToolResult) else value
        for value in plain
    ]


def _parts(conversation: Conversation, kind: Any) -> list[Any]:
    return [part for turn in conversation.turns for part in turn.parts if isinstance(part, kind)]
