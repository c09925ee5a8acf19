"""What Claude Code sends, for models of other makers and for Claude itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.conversation import ForeignTool, Text, Tool
from gateway.protocol.dialects import codec_of
from tests.gateway.protocol.messages.asking import MESSAGES, OWN, decoded, sent, spliced

USER_ID = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "5e55-10"})
BODY: dict[str, Any] = {
    "model": "gpt-5.5",
    "max_tokens": 32000,
    "stream": True,
    "metadata": {"user_id": USER_ID},
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330; cc_entrypoint=cli;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "List the files."}]},
        {"role": "system", "content": [{"type": "text", "text": "cwd: /tmp", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}},
                {"type": "tool_use", "id": "toolu_2", "name": "Bash", "input": {"command": "pwd"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.txt", "is_error": False},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "/tmp"},
                {"type": "text", "text": "Go on."},
            ],
        },
    ],
    "tools": [
        {"name": "Bash", "description": "Runs.", "input_schema": {"type": "object", "properties": {}}},
        {"name": "Later", "input_schema": {"type": "object"}, "defer_loading": True},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 8},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "safeguards": {"level": 1},
    "mcp_servers": [],
    "container": "c_1",
    "something_new": {"a": 1},
}
HEADERS = {"anthropic-version": "2023-06-01", "anthropic-beta": "claude-code-20250219,something-2099-01-01"}


def test_it_is_understood_whole() -> None:
    conversation = MESSAGES.decode_request(json.dumps(BODY).encode())
    assert [turn.role for turn in conversation.turns] == ["system", "user", "system", "assistant", "user"]
    assert conversation.turns[0].parts == (Text("You are an agent.", cache="5m"),)
    bash, later, search = conversation.tools
    assert isinstance(later, Tool)
    assert (bash.deferred, later.deferred) == (False, True)  # type: ignore[union-attr]
    assert isinstance(search, ForeignTool)
    assert conversation.parallel_tools is False
    assert conversation.user is not None
    assert len(conversation.user) == 32
    assert "safeguards" not in conversation.extras
    again = MESSAGES.decode_request(json.dumps(BODY).encode())
    assert again.user == conversation.user


def test_it_reaches_claude_byte_for_byte() -> None:
    encoded = MESSAGES.splice_request(
        json.dumps(BODY).encode(), upstream_model="claude-opus-5", max_output_tokens=None, client_headers=HEADERS
    )
    assert json.loads(encoded.body) == {**BODY, "model": "claude-opus-5"}
    assert encoded.headers == HEADERS
    assert encoded.dropped == ()


def test_it_reaches_a_chat_model_without_what_only_claude_knows() -> None:
    conversation = MESSAGES.decode_request(json.dumps(BODY).encode())
    encoded = codec_of("openai_chat").encode_request(conversation, upstream_model="gpt-5.5", max_output_tokens=16000)
    body = sent(encoded)
    written = encoded.body.decode()
    for word in ("billing", "cache_control", "safeguards", "something_new", "Later", "web_search", "device_id"):
        assert word not in written
    assert [message["role"] for message in body["messages"]][:3] == ["system", "user", "system"]
    assert [message["role"] for message in body["messages"]][-4:] == ["assistant", "tool", "tool", "user"]
    assert body["parallel_tool_calls"] is False
    assert body["reasoning_effort"] == "high"
    assert "something_new" in encoded.dropped
    assert not {"context_management", "safeguards"} & set(encoded.dropped)


@pytest.mark.parametrize("user_id", ["plain-id_1", "a" * 64])
def test_a_plain_user_id_stays(user_id: str) -> None:
    assert decoded(metadata={"user_id": user_id}).user == user_id


@pytest.mark.parametrize("host", ["deepseek", "minimax", "moonshotai", "zai", "alibaba", "xiaomi", "siliconflow"])
def test_it_reaches_other_makers_who_speak_messages(host: str) -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}}
    config = {"effort": "high", "format": {"type": "json_schema", "schema": schema}}
    encoded = spliced(host, **{**BODY, "output_config": config, "top_k": 5})
    body = sent(encoded)
    assert not {"context_management", "safeguards", "container", "mcp_servers"} & body.keys()
    assert [message["role"] for message in body["messages"]] == ["user", "user", "assistant", "user"]
    assert body["messages"][1]["content"][0]["text"] == "<system-reminder>\ncwd: /tmp\n</system-reminder>"
    assert "billing" not in json.dumps(body["system"])
    assert "title" in body["system"][-1]["text"]
    assert body["output_config"] == {"effort": "high"}
    assert {"context_management", "output_config.format"} <= set(encoded.dropped)
    assert ("top_k" in encoded.dropped) is (host in ("deepseek", "minimax"))
    assert "safeguards" not in encoded.dropped


def test_other_makers_get_thinking_as_plain_text_and_no_foreign_signature() -> None:
    from gateway.protocol.conversation import Reasoning
    from gateway.protocol.envelope import seal

    content = [
        {"type": "thinking", "thinking": "h", "signature": seal(Reasoning(signature="s", origin="gemini_generate"))},
        {"type": "redacted_thinking", "data": "xx"},
        {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
        {"type": "text", "text": "a"},
    ]
    request = spliced("deepseek", messages=[{"role": "assistant", "content": content}])
    assert sent(request)["messages"][0]["content"] == [
        {"type": "thinking", "thinking": "h", "signature": ""},
        {"type": "text", "text": "a"},
    ]
    assert request.dropped == ("document",)


def test_no_unknown_field_or_value_is_an_error() -> None:
    odd = [{"role": "user", "content": [{"type": "brand_new", "x": 1}, {"type": "text", "text": "a", "y": 2}]}]
    conversation = decoded(messages=odd, thinking={"type": "between_tools"}, speed="fast", compaction={}, threads=[1])
    assert conversation.dialect == OWN
    assert sent(spliced(messages=odd, speed="fast"))["speed"] == "fast"
