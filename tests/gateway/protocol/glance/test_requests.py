"""A glance at a request says what the codec says, or nothing: over recorded traffic and over requests made up."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.codec import NO_TARGET, Target
from gateway.protocol.dialects import CODECS, GLANCES
from gateway.protocol.envelope import PREFIX
from gateway.protocol.estimate import prompt_tokens_upper
from gateway.protocol.problem import ProtocolError
from gateway.protocol.quirks.hosts import HOSTS, quirks_of
from tests.gateway.protocol.test_corpus import CORPUS, exchanges

GEMINI = Target("gemini-2.5-flash", True)
recorded = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")


def agrees(dialect: str, body: bytes, target: Target = NO_TARGET) -> bool:
    """Whether a glance was enough; fails where it differs from the codec."""
    codec, glance = CODECS[dialect], GLANCES[dialect]
    try:
        conversation = codec.decode_request(body, target)
    except ProtocolError as refused:
        try:
            assert glance.glance_request(body, target) is None, body
        except ProtocolError as seen:
            assert seen.problem == refused.problem
        return False
    asked = glance.glance_request(body, target)
    if asked is None:
        return False
    assert (asked.model, asked.stream, asked.include_usage, asked.max_output_tokens, asked.choices) == (
        conversation.model,
        conversation.stream,
        conversation.include_usage,
        conversation.max_output_tokens,
        conversation.sampling.n or 1,
    )
    assert dict(asked.routing) == dict(conversation.routing)
    full = prompt_tokens_upper(conversation)
    assert 0.95 * full <= asked.prompt_tokens <= 1.3 * full + 20
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "some-beta"}
    for limit in (None, 7):
        for quirks in (quirks_of(""), quirks_of("openai"), quirks_of("deepseek")):
            wishes = {"upstream_model": "up-1", "max_output_tokens": limit, "quirks": quirks, "client_headers": headers}
            spliced = glance.splice(body, asked, **wishes)
            expected = codec.splice_request(body, parsed=conversation.source, target=target, **wishes)
            assert json.loads(spliced.body) == json.loads(expected.body)
            assert (spliced.path, spliced.headers, spliced.dropped) == (
                expected.path,
                expected.headers,
                expected.dropped,
            )
    return True


@recorded
@pytest.mark.parametrize(
    ("dialect", "folders", "least"),
    [
        ("openai_chat", ("openai_chat", "mistral_chat"), 0.6),
        ("anthropic_messages", ("anthropic_messages",), 0.5),
        ("openai_responses", ("openai_responses",), 0.5),
        ("gemini_generate", ("gemini_generate",), 0.4),
    ],
)
def test_recorded_requests_are_glanced_at_as_they_are_decoded(
    dialect: str, folders: tuple[str, ...], least: float
) -> None:
    found = [exchange["request"] for folder in folders for exchange in exchanges(folder)]
    bodies = [orjson.dumps(request["body"]) for request in found if isinstance(request.get("body"), dict)]
    target = GEMINI if dialect == "gemini_generate" else NO_TARGET
    glanced = sum(agrees(dialect, body, target) for body in bodies)
    assert glanced > least * len(bodies)


_text = st.text(max_size=30)
_odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(allow_nan=False), _text, st.just([]), st.just({})
)


def _broken(value: Any) -> st.SearchStrategy[Any]:
    """The value, or the same with something odd in one place of it."""
    return st.one_of(st.just(value), _with_oddity(value))


@st.composite
def _with_oddity(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(value)))
        kind = draw(st.integers(0, 3))
        if kind == 0:
            return {key: item for key, item in value.items() if key != name}
        if kind == 1:
            return {**value, draw(st.sampled_from(["extra", "name", "type", "cache_control", "citations"])): draw(_odd)}
        return {**value, name: draw(_with_oddity(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(_with_oddity(value[place])), *value[place + 1 :]]
    return draw(_odd)


_SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
_HINT = {"type": "ephemeral", "ttl": "1h"}
CHAT = {
    "model": "some/model",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "bob", "content": [
            {"type": "text", "text": "Was ist das? 你好", "cache_control": _HINT}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}}]},
        {"role": "assistant", "content": None, "refusal": None, "annotations": [], "audio": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "read", "arguments": '{"path":"ü"}'}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "text of it"},
        {"role": "assistant", "content": "Done.", "reasoning_content": "Well then."},
        {"role": "developer", "content": "Go on."},
    ],
    "tools": [{"type": "function", "function": {"name": "read", "description": "Reads.", "parameters": _SCHEMA,
                                                "strict": True}, "cache_control": _HINT}],
    "tool_choice": {"type": "function", "function": {"name": "read"}},
    "parallel_tool_calls": False, "temperature": 1, "top_p": 0.5, "top_k": 3, "n": 2, "seed": 7, "stop": ["a", "b"],
    "max_tokens": 50, "max_completion_tokens": 60, "frequency_penalty": 0.1, "presence_penalty": 0, "user": "u",
    "metadata": {"a": "b"}, "service_tier": "auto", "verbosity": "low", "reasoning_effort": "high",
    "prompt_cache_key": "k", "stream": True, "stream_options": {"include_usage": True},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": _SCHEMA, "strict": True}},
    "models": ["b"], "functions": None, "function_call": None, "reasoning": None, "logprobs": True,
}  # fmt: skip
MESSAGES = {
    "model": "some/model",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": _HINT}],
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Well.", "signature": "sig"},
            {"type": "redacted_thinking", "data": "abcd"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "read", "input": {"path": "ü"}},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "is_error": False, "cache_control": _HINT,
             "content": [{"type": "text", "text": "text of it"},
                         {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aaaa"}}]},
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}]},
    ],
    "tools": [{"name": "read", "description": "Reads.", "input_schema": _SCHEMA, "strict": True,
               "cache_control": _HINT}, {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}],
    "tool_choice": {"type": "tool", "name": "read", "disable_parallel_tool_use": True},
    "metadata": {"user_id": "u"}, "stop_sequences": ["a"], "temperature": 1, "top_p": 0.5, "top_k": 3, "stream": True,
    "thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "high"},
    "service_tier": "auto", "provider": {"order": []},
}  # fmt: skip
RESPONSES = {
    "model": "some/model",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": "Hello"},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "你好"},
            {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Well."}],
         "encrypted_content": "abcd"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "read", "arguments": '{"path":"ü"}', "id": "fc_1"},
        {"type": "function_call_output", "call_id": "c1", "output": "text of it"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "ok"}]},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    ],
    "tools": [{"type": "function", "name": "read", "description": "Reads.", "parameters": _SCHEMA, "strict": True},
              {"type": "web_search"}],
    "tool_choice": {"type": "function", "name": "read"}, "parallel_tool_calls": True, "temperature": 1, "top_p": 0.5,
    "max_output_tokens": 100, "text": {"verbosity": "low", "format": {"type": "text"}},
    "reasoning": {"effort": "high", "summary": "auto"}, "stream": True, "store": False, "user": "u",
    "safety_identifier": "s", "metadata": {"a": "b"}, "prompt_cache_key": "k", "service_tier": "auto",
    "include": ["reasoning.encrypted_content"], "previous_response_id": None, "background": False, "route": "x",
}  # fmt: skip
CONTENTS = {
    "systemInstruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Hello"}, {"inlineData": {"mimeType": "image/png", "data": "aaaa"}}]},
        {"role": "model", "parts": [
            {"text": "Well.", "thought": True},
            {"functionCall": {"name": "read", "args": {"path": "ü"}, "id": "c1"}, "thoughtSignature": "abcd"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "read", "response": {"output": "text of it"}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "read", "response": {"a": "b", "c": 1}}}]},
        {"parts": [{"text": "Go on."}]},
    ],
    "tools": [{"functionDeclarations": [{"name": "read", "description": "Reads.", "parameters": _SCHEMA}]}],
    "generationConfig": {"temperature": 1, "topP": 0.5, "topK": 3, "maxOutputTokens": 100, "candidateCount": 1,
                         "seed": 7, "stopSequences": ["a"], "responseMimeType": "text/plain", "frequencyPenalty": 0.1,
                         "presencePenalty": 0, "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True}},
    "safetySettings": [], "serviceTier": "standard", "model": "models/x", "models": ["b"],
}  # fmt: skip
WHOLE = (
    ("openai_chat", CHAT, NO_TARGET),
    ("anthropic_messages", MESSAGES, NO_TARGET),
    ("openai_responses", RESPONSES, NO_TARGET),
    ("gemini_generate", CONTENTS, GEMINI),
)


@pytest.mark.parametrize(("dialect", "request_", "target"), WHOLE)
def test_a_glance_is_enough_for_what_agents_send(dialect: str, request_: Any, target: Target) -> None:
    assert agrees(dialect, orjson.dumps(request_), target)


@pytest.mark.parametrize(("dialect", "request_", "target"), WHOLE)
def test_a_glance_at_a_broken_request_agrees_with_the_codec_or_says_nothing(
    dialect: str, request_: Any, target: Target
) -> None:
    @given(_broken(request_))
    def check(broken: Any) -> None:
        agrees(dialect, json.dumps(broken).encode(), target)

    check()


@pytest.mark.parametrize(("dialect", "request_", "target"), WHOLE)
def test_what_is_no_json_object_is_refused_in_the_words_of_the_codec(
    dialect: str, request_: Any, target: Target
) -> None:
    for body in (b"", b"{", b"[]", b"null", b'"x"'):
        with pytest.raises(ProtocolError) as seen:
            GLANCES[dialect].glance_request(body, target)
        with pytest.raises(ProtocolError) as refused:
            CODECS[dialect].decode_request(body, target)
        assert seen.value.problem == refused.value.problem


@pytest.mark.parametrize(
    ("dialect", "place", "sealed"),
    [
        ("anthropic_messages", "messages", {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "x", "signature": PREFIX + "abc"}]}),
        ("anthropic_messages", "messages", {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "x", "signature": ""}]}),
        ("openai_responses", "input", {"type": "reasoning", "summary": [], "encrypted_content": PREFIX + "abc"}),
        ("openai_responses", "input", {"type": "item_reference", "id": "msg_1"}),
        ("openai_responses", "input", {"type": "reasoning", "id": "rs_1", "summary": []}),
        ("gemini_generate", "contents", {"role": "model", "parts": [{"text": "x", "thoughtSignature": "cjEuabcd"}]}),
        ("openai_chat", "messages", {"role": "assistant", "content": "x", "reasoning_details": []}),
    ],
)  # fmt: skip
def test_a_request_that_has_to_be_changed_is_decoded(dialect: str, place: str, sealed: Any) -> None:
    whole, target = next((request, target) for name, request, target in WHOLE if name == dialect)
    request = {**whole, place: [*whole[place], sealed]}  # type: ignore[dict-item]
    assert GLANCES[dialect].glance_request(orjson.dumps(request), target) is None


def test_images_do_not_count_as_text() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "a" * 400_000}}
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, picture]}]}
    asked = GLANCES["openai_chat"].glance_request(orjson.dumps(body))
    assert asked is not None and asked.prompt_tokens < 3000


@pytest.mark.parametrize("provider", sorted(HOSTS))
def test_every_host_gets_what_the_codec_would_send(provider: str) -> None:
    for dialect, request, target in WHOLE:
        body = orjson.dumps(request)
        asked = GLANCES[dialect].glance_request(body, target)
        assert asked is not None
        wishes: Any = {"upstream_model": "up-1", "max_output_tokens": None, "quirks": quirks_of(provider)}
        spliced = GLANCES[dialect].splice(body, asked, **wishes)
        expected = CODECS[dialect].splice_request(body, target=target, **wishes)
        assert (json.loads(spliced.body), spliced.dropped) == (json.loads(expected.body), expected.dropped)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","messages":[{"role":"user","content":"hi"}]}',
        b'{"messages":[{"role":"user","content":"hi"}],"model":"a"}',
        b'{"messages":[{"role":"user","content":"hi"}],"model": "a","stream":true}',
        b'{"messages":[{"role":"user","content":"say \\"model\\":\\"a\\""}],"model":"a","stream":true}',
        b'{"model":"a","messages":[{"role":"user","content":"hi"}],"mod\\u0065l":"a"}',
        b'{"metadata2":{"model":"a"},"messages":[{"role":"user","content":"hi"}],"model" : "a"}',
        b'{"x":{"model":"a"},"messages":[{"role":"user","content":"hi"}],"mod\\u0065l":"a"}',
        b'{"model":"a","messages":[{"role":"user","content":"hi"}],"model":"a"}',
        b'{"model":"a","messages":[{"role":"user","content":"hi"}],"x":{"model":"a"},"model":"a"}',
    ],
)
def test_only_the_requests_own_model_is_replaced(body: bytes) -> None:
    glance = GLANCES["openai_chat"]
    asked = glance.glance_request(body)
    assert asked is not None
    raw = glance.splice(body, asked, upstream_model="up", max_output_tokens=None).body
    options = {"stream_options": {"include_usage": True}} if asked.stream else {}
    assert json.loads(raw) == {**json.loads(body), "model": "up", **options}
    own = [pairs for pairs in _objects(raw) if ("messages" in dict(pairs))]
    assert [value for pairs in own for name, value in pairs if name == "model"] == ["up"]


def _objects(raw: bytes) -> list[list[tuple[str, Any]]]:
    """The names and values of every object, each as often as it stands there."""
    found: list[list[tuple[str, Any]]] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.append(pairs)
        return dict(pairs)

    json.loads(raw, object_pairs_hook=keep)
    return found
