from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.needs import needs_of
from gateway.protocol.codec import Target
from gateway.protocol.dialects import CLIENT_CODECS, GLANCES
from gateway.protocol.problem import ProtocolError
from gateway.task import task_of
from routing.policy.needs import Needs

CHAT, RESPONSES, MESSAGES, GEMINI = "openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"
TARGET = Target("acme/one", False)
TOOL = {"name": "look", "description": "Looks.", "parameters": {"type": "object"}}
PIXEL = "data:image/png;base64,AAAA"
LEAST: dict[str, dict[str, Any]] = {
    CHAT: {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}]},
    RESPONSES: {"model": "acme/one", "input": "Hello"},
    MESSAGES: {"model": "acme/one", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]},
    GEMINI: {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "openai_embeddings": {"model": "acme/one", "input": "Hello"},
    "openai_completions": {"model": "acme/one", "prompt": "Hello"},
}


def glanced(dialect: str, body: dict[str, Any]) -> Needs | None:
    asked = GLANCES[dialect].glance_request(json.dumps(body).encode(), TARGET)
    if asked is None:
        return None
    exchange = Exchange(dialect)
    exchange.glanced(asked)
    return needs_of(exchange)


def decoded(dialect: str, body: dict[str, Any]) -> Needs:
    exchange = Exchange(dialect)
    exchange.take(CLIENT_CODECS[dialect].decode_request(json.dumps(body).encode(), TARGET))
    return needs_of(exchange)


def needs(dialect: str, **changes: Any) -> Needs:
    """What the request needs, which must be the same whichever way it was read."""
    body = {**LEAST[dialect], **changes}
    found = decoded(dialect, body)
    if dialect in GLANCES:
        glance = glanced(dialect, body)
        assert glance is None or glance == found
    return found


def said(dialect: str, *parts: dict[str, Any]) -> dict[str, Any]:
    if dialect == GEMINI:
        return {"contents": [{"role": "user", "parts": list(parts)}]}
    name = "input" if dialect == RESPONSES else "messages"
    return {name: [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize("dialect", LEAST)
def test_a_plain_request_needs_nothing(dialect: str) -> None:
    found = needs(dialect)
    assert found == Needs(dialect, max_output_tokens=found.max_output_tokens, task="chat")


@pytest.mark.parametrize("dialect", GLANCES)
def test_plain_requests_are_glanced_at(dialect: str) -> None:
    """Or the tests below compare nothing."""
    assert glanced(dialect, LEAST[dialect]) is not None


def test_streams_and_limits_are_told() -> None:
    found = needs(CHAT, stream=True, max_completion_tokens=100)
    assert (found.stream, found.max_output_tokens) == (True, 100)
    exchange = Exchange(CHAT, prompt_tokens=77)
    assert needs_of(exchange).prompt_tokens == 77


# --- Media ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dialect", "part", "need"),
    [
        (CHAT, {"type": "image_url", "image_url": {"url": PIXEL}}, "images"),
        (CHAT, {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio"),
        (CHAT, {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}, "video"),
        (CHAT, {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}, "files"),
        (CHAT, {"type": "file", "file": {"file_data": "data:text/plain;base64,AAAA"}}, ""),
        (RESPONSES, {"type": "input_image", "image_url": PIXEL}, "images"),
        (RESPONSES, {"type": "input_image", "file_id": "f1"}, "images"),
        (RESPONSES, {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA"}, "files"),
        (MESSAGES, {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}}, "images"),
        (MESSAGES, {"type": "document", "source": {"type": "url", "url": "https://x.test/a.pdf"}}, "files"),
        (MESSAGES, {"type": "document", "source": {"type": "text", "data": "Hello", "media_type": "text/plain"}}, ""),
        (MESSAGES, {"type": "document", "source": {"type": "file", "file_id": "f1"}}, "files"),
        (
            MESSAGES,
            {"type": "tool_result", "tool_use_id": "t",
             "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            "images",
        ),
        (GEMINI, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}, "images"),
        (GEMINI, {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}, "audio"),
        (GEMINI, {"inlineData": {"mimeType": "audio/strange", "data": "AAAA"}}, "audio"),
        (GEMINI, {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}, "video"),
        (GEMINI, {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}}, "files"),
    ],
)  # fmt: skip
def test_what_is_not_text_is_a_need(dialect: str, part: dict[str, Any], need: str) -> None:
    found = needs(dialect, **said(dialect, part))
    assert {name for name in ("images", "audio", "video", "files") if getattr(found, name)} == ({need} - {""})


# --- Tools and schemas ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dialect", "tools"),
    [
        (CHAT, [{"type": "function", "function": TOOL}]),
        (RESPONSES, [{"type": "function", **TOOL}]),
        (RESPONSES, [{"type": "web_search"}]),
        (MESSAGES, [{"name": "look", "input_schema": {"type": "object"}}]),
        (MESSAGES, [{"type": "web_search_20250305", "name": "web_search"}]),
        (GEMINI, [{"functionDeclarations": [TOOL]}]),
        (GEMINI, [{"googleSearch": {}}]),
    ],
)
def test_tools_are_a_need(dialect: str, tools: list[Any]) -> None:
    assert needs(dialect, tools=tools).tools
    assert not needs(dialect, tools=[]).tools


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("dialect", "changes", "structured"),
    [
        (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}}, True),
        (CHAT, {"response_format": {"type": "json_object"}}, False),
        (RESPONSES, {"text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}}, True),
        (RESPONSES, {"text": {"format": {"type": "json_object"}}}, False),
        (MESSAGES, {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}}, True),
        (GEMINI, {"generationConfig": {"responseMimeType": "application/json", "responseSchema": SCHEMA}}, True),
        (GEMINI, {"generationConfig": {"responseMimeType": "application/json"}}, False),
    ],
)
def test_an_answer_in_a_given_shape_is_a_need(dialect: str, changes: dict[str, Any], structured: bool) -> None:
    found = needs(dialect, **changes)
    assert found.structured_output is structured
    assert (found.task == "data") is structured


# --- Reasoning and parameters -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("dialect", "changes", "effort"),
    [
        (CHAT, {"reasoning_effort": "low"}, "low"),
        (CHAT, {"reasoning_effort": "enormous"}, "medium"),
        (CHAT, {"reasoning": {"max_tokens": 1000}}, "low"),
        (CHAT, {"reasoning": {"enabled": True}}, "medium"),
        (CHAT, {"reasoning": {"enabled": False}}, "none"),
        (RESPONSES, {"reasoning": {"effort": "XHigh"}}, "xhigh"),
        (RESPONSES, {"reasoning": {}}, ""),
        (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 8192}}, "medium"),
        (MESSAGES, {"thinking": {"type": "adaptive"}}, "medium"),
        (MESSAGES, {"thinking": {"type": "disabled"}}, "none"),
        (MESSAGES, {"output_config": {"effort": "max"}}, "max"),
        (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}, "high"),
        (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}, "none"),
        (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": -1}}}, "medium"),
        (GEMINI, {"generationConfig": {"thinkingConfig": {"thinkingBudget": 40000}}}, "xhigh"),
    ],
)
def test_reasoning_is_told_as_an_effort(dialect: str, changes: dict[str, Any], effort: str) -> None:
    assert needs(dialect, **changes).reasoning == effort


@pytest.mark.parametrize(
    ("dialect", "changes", "names"),
    [
        (CHAT, {"temperature": 0.2, "top_p": None, "seed": 3}, {"temperature", "seed"}),
        (CHAT, {"logit_bias": {"5": 1}, "parallel_tool_calls": False}, {"logit_bias", "parallel_tool_calls"}),
        (CHAT, {"web_search_options": {}}, {"web_search"}),
        (RESPONSES, {"top_p": 0.5, "top_logprobs": 3}, {"top_p", "top_logprobs"}),
        (MESSAGES, {"temperature": 1, "top_k": 5}, {"temperature", "top_k"}),
        (GEMINI, {"generationConfig": {"topP": 0.5, "topK": 3, "seed": 1}}, {"top_p", "top_k", "seed"}),
    ],
)
def test_parameters_have_openrouters_names(dialect: str, changes: dict[str, Any], names: set[str]) -> None:
    assert needs(dialect, **changes).parameters == names


# --- Tasks ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES, GEMINI])
@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Tell me about Rome.", "chat"),
        ("Why does this fail?\n```python\nprint(1)\n```", "code"),
        ("It says\nTraceback (most recent call last)\n  File x", "code"),
        ("Improve:\ndef one():\n    return 1", "code"),
        ("```" + "many words " * 1000, "chat"),
        ("many words " * 1000 + "```", "code"),
    ],
)
def test_code_is_seen_in_the_last_message(dialect: str, text: str, task: str) -> None:
    key = "input_text" if dialect == RESPONSES else "text"
    part = {"text": text} if dialect == GEMINI else {"type": key, "text": text}
    assert needs(dialect, **said(dialect, part)).task == task


def test_only_the_users_last_message_counts() -> None:
    before = [{"role": "user", "content": "```x```"}, {"role": "assistant", "content": "```y```"}]
    assert needs(CHAT, messages=[*before, {"role": "user", "content": "Thanks!"}]).task == "chat"
    assert needs(CHAT, messages=before).task == "code"


def test_a_coding_agent_is_known_by_its_many_tools() -> None:
    tools = [{"type": "function", "function": {**TOOL, "name": f"look{number}"}} for number in range(5)]
    assert needs(CHAT, tools=tools).task == "code"
    assert needs(CHAT, tools=tools[:2]).task == "chat"


def test_a_long_prompt_is_reading() -> None:
    assert task_of({"input": "x"}, 50_000, 0, structured=False) == "long"
    assert task_of({"input": "x"}, 50_000, 9, structured=False) == "code"


# --- Anything ---------------------------------------------------------------------------------------------------------
_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_names = st.sampled_from(
    ["tools", "response_format", "reasoning_effort", "reasoning", "thinking", "output_config", "generationConfig",
     "text", "temperature", "metadata", "messages", "input", "contents", "logit_bias", "prompt"]
)  # fmt: skip
_inner = st.dictionaries(
    st.sampled_from(
        ["type", "effort", "enabled", "budget_tokens", "thinkingConfig", "thinkingBudget", "role", "content"]
    ),
    _json,
    max_size=3,
)


@given(
    st.sampled_from(sorted(LEAST)), st.dictionaries(_names, _json | _inner | st.lists(_inner, max_size=2), max_size=4)
)
def test_a_request_that_is_taken_has_needs_that_plans_can_be_kept_by(dialect: str, changes: dict[str, Any]) -> None:
    body = {**LEAST[dialect], **changes}
    if dialect in GLANCES:
        try:
            found = glanced(dialect, body)
        except ProtocolError:
            found = None
        if found is not None:
            hash(found)
    try:
        hash(decoded(dialect, body))
    except ProtocolError:
        pass


@given(_json, st.integers(0, 10**6), st.integers(0, 9), st.booleans())
def test_any_json_is_some_task(turns: Any, prompt_tokens: int, tools: int, structured: bool) -> None:
    for name in ("messages", "input", "contents"):
        assert task_of({name: turns}, prompt_tokens, tools, structured=structured) in ("chat", "code", "long", "data")
