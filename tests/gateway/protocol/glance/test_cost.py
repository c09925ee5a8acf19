"""The charge in the usage of an answer that is passed on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.cost import with_cost
from gateway.protocol.dialects import GLANCES
from gateway.protocol.sse import SseDecoder
from tests.gateway.protocol.test_corpus import CORPUS, exchanges, replayer

recorded = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
DIALECTS = ("openai_chat", "mistral_chat", "anthropic_messages", "openai_responses", "gemini_generate")
USD = b"0.123456789"


@pytest.mark.parametrize(
    ("dialect", "answer", "expected"),
    [
        ("openai_chat", '{"usage":{"prompt_tokens":1}}', '{"usage":{"cost":0.5,"prompt_tokens":1}}'),
        ("openai_chat", '{"usage": {}}', '{"usage": {"cost":0.5}}'),
        ("openai_chat", '{\n "usage" : { "a": 1 },\n "x": [{}]}', '{\n "usage" : {"cost":0.5, "a": 1 },\n "x": [{}]}'),
        ("openai_chat", '{"usage":null}', '{"usage":null}'),
        ("openai_chat", '{"text":"\\"usage\\":{"}', '{"text":"\\"usage\\":{"}'),
        ("gemini_generate", '{"usageMetadata":{"a":1}}', '{"usageMetadata":{"cost":0.5,"a":1}}'),
        (
            "anthropic_messages",
            'data: {"usage":{"output_tokens":1}}\n\ndata: {"usage":{"output_tokens":2}}\n\n',
            'data: {"usage":{"output_tokens":1}}\n\ndata: {"usage":{"cost":0.5,"output_tokens":2}}\n\n',
        ),
        (
            "openai_responses",
            'data: {"response":{"usage":{"a":1},"user":null,"metadata":{}},"n":9}\n\n',
            'data: {"response":{"usage":{"cost":0.5,"a":1},"user":null,"metadata":{}},"n":9}\n\n',
        ),
        (
            "openai_chat",
            'data: {"choices":[],"usage":{"a":1},"x_groq":{"id":"r","usage":{"a":1}}}\n\ndata: [DONE]\n\n',
            'data: {"choices":[],"usage":{"cost":0.5,"a":1},"x_groq":{"id":"r","usage":{"a":1}}}\n\ndata: [DONE]\n\n',
        ),
        ("openai_embeddings", '{"usage":{"a":1}}', '{"usage":{"a":1}}'),
    ],
)  # fmt: skip
def test_the_cost_goes_into_the_usage(dialect: str, answer: str, expected: str) -> None:
    assert with_cost(dialect, answer.encode(), b"0.5").decode() == expected


@pytest.mark.parametrize(
    ("dialect", "answer", "expected"),
    [
        # A tool's input and a tool's schema may have a field of that name, before or behind the real one.
        (
            "anthropic_messages",
            {"usage": {"a": 1}, "content": [{"type": "tool_use", "input": {"usage": {"b": 1}}}]},
            {"usage": {"cost": 0.5, "a": 1}, "content": [{"type": "tool_use", "input": {"usage": {"b": 1}}}]},
        ),
        (
            "openai_responses",
            {"usage": None, "tools": [{"parameters": {"properties": {"usage": {"type": "object"}}}}]},
            {"usage": None, "tools": [{"parameters": {"properties": {"usage": {"type": "object"}}}}]},
        ),
        (
            "anthropic_messages",
            {"content": [{"input": {'x"usage': {"b": 1}}}], "usage": {"a": 1}},
            {"content": [{"input": {'x"usage': {"b": 1}}}], "usage": {"a": 1, "cost": 0.5}},
        ),
        (
            "openai_chat",
            {"usage": {"a": 1}, 'x"usage': {"b": 1}},
            {"usage": {"a": 1, "cost": 0.5}, 'x"usage': {"b": 1}},
        ),
        ("openai_chat", {"x": {"usage": {"a": 1}}}, {"x": {"usage": {"a": 1}}}),
        ("openai_chat", {"usage": {"a": {"b": {"c": {"d": {"e": {"f": {}}}}}}}}, None),
    ],
)  # fmt: skip
def test_only_the_answers_own_usage_is_changed(dialect: str, answer: Any, expected: Any) -> None:
    if expected is None:
        expected = {"usage": {**answer["usage"], "cost": 0.5}}
    for body in (json.dumps(answer), json.dumps(answer, indent=2), json.dumps(answer, separators=(",", ":"))):
        assert json.loads(with_cost(dialect, body.encode(), b"0.5")) == expected


@pytest.mark.parametrize(
    "own",
    [
        {"cost": 9.1},
        {"details": {"x": 1}, "cost": 9.1, "is_byok": False, "cost_details": {"upstream_inference_cost": 9.1}},
        {"cost": {"total_cost": 9.1, "currency": "USD"}},
        {"cost_in_usd_ticks": 91},
    ],
)
def test_what_we_pay_is_not_told(own: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 1, **own, "completion_tokens": 2}
    for answer in (json.dumps({"usage": usage}), "data: " + json.dumps({"choices": [], "usage": usage}) + "\n\n"):
        out = with_cost("openai_chat", answer.encode(), b"0.5")
        assert b"9" not in out
        found = json.loads(out.removeprefix(b"data: "))["usage"]
        assert found == {"cost": 0.5, "prompt_tokens": 1, "completion_tokens": 2, **_without_costs(own)}


def _without_costs(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if "cost" not in name and name != "is_byok"}


def test_details_stand_beside_the_cost() -> None:
    out = with_cost("openai_chat", b'{"usage":{"a":1}}', b"0.5", b'{"input":0.25}')
    assert out == b'{"usage":{"cost":0.5,"cost_details":{"input":0.25},"a":1}}'


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"not json", b'{"usage":{', b'{"usage":{"a":1}', b'"usage":{}', b"\xff"]
)
def test_what_is_no_answer_stays_as_it_is(answer: bytes) -> None:
    for dialect in DIALECTS:
        assert with_cost(dialect, answer, b"0.5") == answer


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_but_the_cost_changes_in_recorded_answers(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    field = "usageMetadata" if dialect == "gemini_generate" else "usage"
    for exchange in exchanges(dialect):
        body = replayer().response_bytes(exchange)
        if exchange["response"]["status"] != 200:
            continue
        if exchange["streaming"]:
            watch = GLANCES[name].stream_watch(include_usage=True, choices=1)
            watch.feed(body)
            watch.end()
            body = watch.held
        expected = _documents(body, exchange["streaming"])
        for document in reversed(expected):
            holder = document
            if exchange["streaming"] and dialect == "openai_responses" and isinstance(document, dict):
                holder = document.get("response")
            if isinstance(holder, dict) and isinstance(holder.get(field), dict):
                holder[field] = {**_without_costs(holder[field]), "cost": float(USD)}
                break
        assert _documents(with_cost(name, body, USD), exchange["streaming"]) == expected, exchange["id"]


def _documents(body: bytes, is_stream: bool) -> list[Any]:
    if not is_stream:
        return [_read(body)]
    decoder = SseDecoder(2**30)
    return [_read(event.data) for event in (*decoder.feed(body), *decoder.end())]


def _read(text: bytes | None) -> Any:
    try:
        return json.loads(text or b"null")
    except ValueError:
        return text
