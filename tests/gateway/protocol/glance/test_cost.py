"""The charge in the usage of an answer that is passed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.protocol.cost import with_cost, without_costs
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
        (
            "openai_embeddings",
            '{"data":[{"embedding":[0.1]}],"usage":{"total_tokens":1}}',
            '{"data":[{"embedding":[0.1]}],"usage":{"cost":0.5,"total_tokens":1}}',
        ),
        # Kimi's: in the choice of the last chunk, and with a wish for usage in a chunk of its own too.
        (
            "openai_chat",
            'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"a":1}}]}\n\n'
            "data: [DONE]\n\n",
            'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"cost":0.5,"a":1}}]}\n\n'
            "data: [DONE]\n\n",
        ),
        (
            "openai_chat",
            'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"a":1}}]}\n\n'
            'data: {"choices":[],"usage":{"a":1}}\n\ndata: [DONE]\n\n',
            'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"a":1}}]}\n\n'
            'data: {"choices":[],"usage":{"cost":0.5,"a":1}}\n\ndata: [DONE]\n\n',
        ),
        ("openai_completions", '{"usage":{"a":1}}', '{"usage":{"a":1}}'),
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
        {"estimated_cost": 9.1},
        {"cost": 9.1, "cost_details": {"upstream_inference_cost": 9.1}, "is_byok": True},
        {"total_cost": None, "cost": [9.1, {"a": "}"}], "note": 'the "cost": 1, is {"cost": 2}'},
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


KEPT = b'"prompt_tokens": 1 ,"note":"a \\"cost\\": 9", "completion_tokens":2'


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        (b'{"cost":9.1,' + KEPT + b"}", KEPT),
        (b'{ "cost" : 9.1 , "is_byok":false,' + KEPT + b"}", KEPT),
        (b"{" + KEPT + b', "cost": {"total_cost": 9.1}}', KEPT),
        (b'{"estimated_cost":9.1,' + KEPT + b',"cost_in_usd_ticks":91, "x":{"cost":9}}', KEPT + b', "x":{}'),
        (b'{"cost":9.1}', b""),
    ],
)
def test_all_but_the_costs_stays_byte_for_byte(usage: bytes, kept: bytes) -> None:
    comma = b"," if kept else b""
    assert with_cost("openai_chat", b'{ "usage" : ' + usage + b" }", b"0.5") == (
        b'{ "usage" : {"cost":0.5' + comma + kept + b"} }"
    )
    event = b'event: x\ndata: {"choices":[], "usage":' + usage + b',"n": 1}\n\n'
    assert without_costs(event) == b'event: x\ndata: {"choices":[], "usage":{' + kept + b'},"n": 1}\n\n'


OUTER = b'{"id": "c", "choices" : [{"index":0,"delta":{},"finish_reason":"stop"}]%b , "model":"m"}'


def test_costs_beside_the_usage_are_left_out() -> None:
    event = b"data: " + OUTER % b' , "cost":{"diem":0,"usd":9.1}' + b"\n\n"
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    watch.feed(event)
    assert watch.held == b"data: " + OUTER % b"" + b"\n\n"
    body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"cost": 9.1,"usage":{"total_tokens":1}}'
    seen = GLANCES["openai_chat"].glance_reply(body)
    assert seen.own_costs
    assert with_cost("openai_chat", body, b"0.5", own_costs=seen.own_costs) == body.replace(
        b',"cost": 9.1', b""
    ).replace(b'{"total', b'{"cost":0.5,"total')


@pytest.mark.parametrize(
    ("dialect", "event"),
    [
        ("openai_chat", {"choices": [{"delta": {"content": "a"}}], "usage": {"total_tokens": 1, "cost": 9}}),
        ("openai_chat", {"choices": [{"delta": {"content": "a"}, "usage": {"total_tokens": 1, "cost": 9}}]}),
        ("anthropic_messages", {"type": "message_start", "message": {"usage": {"input_tokens": 1, "cost": 9}}}),
    ],
)  # fmt: skip
def test_costs_in_events_before_the_last_are_left_out(dialect: str, event: dict[str, Any]) -> None:
    watch = GLANCES[dialect].stream_watch(include_usage=True, choices=1)
    out = watch.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert out == b"data: " + json.dumps(event).encode().replace(b', "cost": 9', b"") + b"\n\n"
    assert watch.seen.usage is not None


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
@pytest.mark.parametrize("dialect", [*DIALECTS, "openai_embeddings"])
def test_no_recorded_cost_of_a_provider_reaches_a_client(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    with_costs = 0
    for exchange in exchanges(dialect):
        body = replayer().response_bytes(exchange)
        if exchange["response"]["status"] != 200:
            continue
        for include_usage in (True, False):
            out = _passed_on(name, body, exchange["streaming"], include_usage)
            told = [place for document in _documents(out, exchange["streaming"]) for place in _costs_in(document)]
            assert all(ours == float(USD) and place[-2:] in FINAL for place, ours in told), (exchange["id"], told)
            assert len(told) <= 1, exchange["id"]
        with_costs += any(True for document in _documents(body, exchange["streaming"]) for _ in _costs_in(document))
    assert with_costs > 0 or dialect in ("mistral_chat", "gemini_generate")


FINAL = (("usage", "cost"), ("usageMetadata", "cost"))


def _passed_on(name: str, body: bytes, is_stream: bool, include_usage: bool) -> bytes:
    if not is_stream:
        seen = GLANCES[name].glance_reply(body) if name in GLANCES else None
        return with_cost(name, body, USD, own_costs=seen is not None and seen.own_costs)
    watch = GLANCES[name].stream_watch(include_usage=include_usage, choices=1)
    out = watch.feed(body) + watch.end()
    return out + with_cost(name, watch.held, USD)


def _costs_in(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All that is called a cost, but for what stands in parts of the answer itself."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if "cost" in name or name == "is_byok":
            yield (*place, name), inner
        elif name not in ("content", "output", "tools", "arguments", "input", "search_results", "parts"):
            yield from _costs_in(inner, (*place, name))
    for inner in value if isinstance(value, list) else ():
        yield from _costs_in(inner, place)


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
        for document in expected:
            if isinstance(document, dict):
                document.pop("cost", None)
        own_costs = False
        if not exchange["streaming"]:
            own_costs = name == "openai_chat" and GLANCES[name].glance_reply(body).own_costs
        for document in reversed(expected):
            holder = document
            if exchange["streaming"] and dialect == "openai_responses" and isinstance(document, dict):
                holder = document.get("response")
            if isinstance(holder, dict) and isinstance(holder.get(field), dict):
                holder[field] = {**_without_costs(holder[field]), "cost": float(USD)}
                break
        out = with_cost(name, body, USD, own_costs=own_costs)
        assert _documents(out, exchange["streaming"]) == expected, exchange["id"]


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
