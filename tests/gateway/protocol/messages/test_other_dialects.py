"""Conversations of other dialects, Codex's above all, for Claude and for others who speak Messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from pydantic import TypeAdapter

from gateway.protocol.conversation import (
    Conversation,
    CustomFormat,
    File,
    ForeignTool,
    Opaque,
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
from gateway.protocol.dialects import codec_of
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol.messages.asking import OWN, asked, decoded, encoded, sent

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsNonStreaming)
RESPONSES = "openai_responses"
PATCH = Tool("apply_patch", "Edits.", custom=CustomFormat("lark", "start: x"))
SPAWN = Tool("spawn", "Starts.", {"type": "object"}, namespace="agents")
LATER = Tool("later", deferred=True)
CODEX = Conversation(
    model="claude-opus-4-6",
    dialect=RESPONSES,
    turns=(
        Turn("developer", (Text("You are Codex."), Text("Be brief."))),
        Turn("user", (Text("Fix it."),)),
        Turn("assistant", (Reasoning("hm", redacted="enc", origin=RESPONSES, id="rs_1"),)),
        Turn("assistant", (ToolCall("call_1", "apply_patch", "*** Begin", custom=True),)),
        Turn("assistant", (ToolCall("call_2", "spawn", '{"n":1}', namespace="agents"),)),
        Turn("developer", (Text("The user has left."),)),
        Turn("tool", (ToolResult("call_1", (Text("done"),)),)),
        Turn("tool", (ToolResult("call_2", (Text("started"),)),)),
        Turn("user", (Text("And now?"),)),
    ),
    tools=(PATCH, SPAWN, LATER, ForeignTool(RESPONSES, "web_search", {"type": "web_search"})),
    tool_choice=ToolChoice("auto"),
    parallel_tools=False,
    reasoning=ReasoningControls(effort="high"),
    cache_key="thread-1",
    verbosity="low",
    extras={"store": False, "include": ["x"], "client_metadata": {"a": "b"}},
)


def test_a_run_of_codex_becomes_a_run_of_claude() -> None:
    request = encoded(CODEX)
    body = sent(request)
    PARAMS.validate_python(body)
    assert [block["text"] for block in body["system"]] == ["You are Codex.", "Be brief."]
    question, calls, results = body["messages"]
    assert question["role"] == "user"
    assert [(call["id"], call["name"], call["input"]) for call in calls["content"]] == [
        ("call_1", "apply_patch", {"input": "*** Begin"}),
        ("call_2", "agents__spawn", {"n": 1}),
    ]
    assert [block["type"] for block in results["content"]] == ["tool_result", "tool_result", "text", "text"]
    assert results["content"][2]["text"] == "<system-reminder>\nThe user has left.\n</system-reminder>"
    assert [tool["name"] for tool in body["tools"]] == ["apply_patch", "agents__spawn"]
    assert "start: x" in body["tools"][0]["description"]
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})
    assert request.dropped == ("tools.defer_loading", "tools[web_search]", "text.verbosity")


def test_a_run_of_codex_is_cached_up_to_three_breakpoints() -> None:
    body = sent(encoded(CODEX))
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["tools"][-1]["cache_control"] == {"type": "ephemeral"}
    assert body["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}
    assert json.dumps(body).count("cache_control") == 3


def test_the_caller_s_own_breakpoints_are_kept_and_the_last_four_at_most() -> None:
    marked = tuple(Text(str(number), cache="1h") for number in range(6))
    body = sent(encoded(asked(Turn("user", marked), cache_key="k")))
    assert [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block] == list("2345")
    assert "cache_control" not in json.dumps(sent(encoded(asked())))


def test_a_request_to_compact_is_refused_with_a_reason() -> None:
    trigger = Turn("user", (Opaque(RESPONSES, "compaction_trigger", {"type": "compaction_trigger"}),))
    with pytest.raises(ProtocolError) as caught:
        encoded(asked(Turn("user", (Text("q"),)), trigger))
    assert caught.value.problem.status == 400
    assert "summary" in caught.value.problem.message


def test_allowed_tools_narrow_the_tools() -> None:
    tools = (Tool("f"), Tool("g"), PATCH)
    body = sent(encoded(asked(tools=tools, tool_choice=ToolChoice("required", allowed=("g", "apply_patch")))))
    assert [tool["name"] for tool in body["tools"]] == ["g", "apply_patch"]
    assert body["tool_choice"] == {"type": "any"}
    named = sent(encoded(asked(tools=(SPAWN,), tool_choice=ToolChoice("named", "spawn"))))
    assert named["tool_choice"] == {"type": "tool", "name": "agents__spawn"}


CALLED = (
    Turn("user", (Text("q"),)),
    Turn("assistant", (Reasoning("h", origin="openai_chat"), ToolCall("c", "f", "{}"))),
    Turn("tool", (ToolResult("c", (Text("x"),)),)),
)


@pytest.mark.parametrize(
    ("model", "host", "thinking", "dropped"),
    [
        ("claude-opus-4-6", "anthropic", {"type": "adaptive"}, ()),
        ("claude-haiku-4-5", "anthropic", None, ("reasoning_effort",)),
        ("deepseek-v4-pro", "deepseek", {"type": "enabled", "budget_tokens": 16384}, ()),
    ],
)
def test_thinking_is_off_where_the_history_cannot_satisfy_it(
    model: str, host: str, thinking: Any, dropped: tuple[str, ...]
) -> None:
    wishes = ReasoningControls(effort="high")
    conversation = asked(*CALLED, reasoning=wishes, sampling=Sampling(max_output_tokens=20_000))
    request = encoded(conversation, model, host)
    assert sent(request).get("thinking") == thinking
    assert request.dropped == dropped
    kinds = [block["type"] for block in sent(request)["messages"][1]["content"]]
    assert kinds == (["thinking", "tool_use"] if host == "deepseek" else ["tool_use"])


@pytest.mark.parametrize(
    ("effort", "model", "sent_effort"),
    [
        ("minimal", "claude-opus-5", "low"),
        ("xhigh", "claude-opus-4-6", "high"),
        ("xhigh", "claude-opus-4-7", "xhigh"),
        ("max", "claude-opus-4-6", "max"),
        ("none", "claude-fable-5", "low"),
        ("strange", "claude-opus-5", None),
    ],
)
def test_efforts_are_those_of_the_model(effort: str, model: str, sent_effort: str | None) -> None:
    body = sent(encoded(asked(reasoning=ReasoningControls(effort=effort)), model))
    assert body.get("output_config", {}).get("effort") == sent_effort


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "description": "Number"}, "o": {"type": "object"}},
}


def test_structured_output_is_native_and_closed() -> None:
    wish = ResponseFormat("json_schema", schema=SCHEMA)
    schema = sent(encoded(asked(response_format=wish)))["output_config"]["format"]["schema"]
    assert schema == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "Number (minimum: 1)"},
            "o": {"type": "object", "additionalProperties": False},
        },
        "additionalProperties": False,
    }


def test_a_strict_tool_is_one_that_claude_takes() -> None:
    tool = Tool("f", parameters=SCHEMA, strict=True)
    (strict,) = sent(encoded(asked(tools=(tool,))))["tools"]
    assert (strict["strict"], strict["input_schema"]["additionalProperties"]) == (True, False)
    assert "minimum" not in strict["input_schema"]["properties"]["n"]
    for model, host in (("claude-sonnet-4-20250514", "anthropic"), ("glm-5.3", "zai")):
        request = encoded(asked(tools=(tool,)), model, host)
        assert sent(request)["tools"] == [{"name": "f", "input_schema": SCHEMA}]
        assert request.dropped == ("tools.strict",)


@pytest.mark.parametrize(("model", "host"), [("claude-sonnet-4-20250514", "anthropic"), ("glm-5.3", "zai")])
def test_structured_output_is_asked_for_in_words_where_it_is_not_native(model: str, host: str) -> None:
    request = encoded(asked(response_format=ResponseFormat("json_schema", schema=SCHEMA)), model, host)
    assert "output_config" not in sent(request)
    assert '"minimum":1' in sent(request)["system"][-1]["text"]
    assert request.dropped == ("response_format",)


@pytest.mark.parametrize(
    ("model", "kept", "dropped"),
    [
        ("claude-opus-4-7", {}, {"temperature", "top_p", "top_k"}),
        ("claude-haiku-4-5", {"temperature": 0.5, "top_k": 3}, {"top_p"}),
        ("MiniMax-M3", {"temperature": 0.5, "top_p": 0.9, "top_k": 3}, set()),
    ],
)
def test_sampling_is_what_the_model_takes(model: str, kept: dict[str, Any], dropped: set[str]) -> None:
    request = encoded(asked(sampling=Sampling(0.5, 0.9, 3)), model)
    assert {name: value for name, value in sent(request).items() if name in ("temperature", "top_p", "top_k")} == kept
    assert set(request.dropped) == dropped


def test_signed_thinking_goes_only_to_its_own_maker() -> None:
    own = Reasoning("h", "sig", origin=OWN)
    foreign = Reasoning("g", "c2ln", origin="gemini_generate")
    answer = Turn("assistant", (foreign, own, Text("a")))
    request = encoded(asked(Turn("user", (Text("q"),)), answer))
    assert sent(request)["messages"][1]["content"][0] == {"type": "thinking", "thinking": "h", "signature": "sig"}
    assert b"c2ln" not in request.body
    assert b"c2ln" not in encoded(asked(answer), "MiniMax-M3", "minimax").body
    assert request.dropped == ()


def test_documents_become_text_where_there_are_none() -> None:
    parts = (File(text="words", name="a.txt", cache="5m"), File(url="https://x.example/a.pdf"))
    request = encoded(asked(Turn("user", parts)), "deepseek-v4-pro", "deepseek")
    assert sent(request)["messages"][0]["content"] == [
        {"type": "text", "text": "a.txt\n\nwords", "cache_control": {"type": "ephemeral"}}
    ]
    assert request.dropped == ("file",)


@pytest.mark.parametrize(
    ("edits", "named"),
    [
        ([{"type": "clear_thinking_20251015", "keep": "all"}], False),
        ([{"type": "clear_tool_uses_20250919"}], True),
    ],
)
def test_clearing_old_thinking_is_no_loss_where_it_is_not_sent(edits: list[dict[str, Any]], named: bool) -> None:
    conversation = decoded(messages=[{"role": "user", "content": "Hi"}], context_management={"edits": edits})
    request = codec_of("openai_chat").encode_request(conversation, upstream_model="x", max_output_tokens=None)
    assert ("context_management" in request.dropped) is named
