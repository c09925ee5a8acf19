"""A glance says what the codec says: over recorded traffic, in every cut, and over requests made up."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.conversation import NOTHING
from gateway.protocol.cost import with_cost
from gateway.protocol.dialects import CODECS, GLANCES
from gateway.protocol.estimate import prompt_tokens_upper
from gateway.protocol.glance import Seen, StreamWatch, seen_in
from gateway.protocol.openai_chat import usage
from gateway.protocol.problem import ProtocolError
from gateway.protocol.reply import Done, StreamError
from tests.gateway.protocol.test_corpus import CORPUS, codec_for, exchanges, replayer

DIALECTS = ("openai_chat", "mistral_chat", "anthropic_messages", "openai_responses", "gemini_generate")
SEVERAL_ANSWERS = {"or-azure-openai-787a0ae"}  # one after the other in one stream; reading ends with the first
recorded = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")


def glance_for(dialect: str) -> Any:
    return GLANCES["openai_chat" if dialect == "mistral_chat" else dialect]


def as_passed_on(codec: Any, chunks: Iterable[bytes], include_usage: bool) -> tuple[bytes, bool]:
    """What a caller of the same dialect gets through the decoder, and whether the stream is complete."""
    decoder = codec.stream_decoder(include_usage=include_usage)
    out = b""
    done = False
    for chunk in [*chunks, None]:
        passed = decoder.end() if chunk is None else decoder.feed(chunk)
        for one in passed:
            if any(isinstance(event, StreamError) for event in one.events):
                return out, False
            done = done or any(isinstance(event, Done) for event in one.events)
            out += one.raw if one.forward else b""
        if done:
            break
    return out, decoder.complete


def watched(dialect: str, chunks: Iterable[bytes], include_usage: bool, choices: int = 1) -> tuple[bytes, StreamWatch]:
    watch = glance_for(dialect).stream_watch(include_usage=include_usage, choices=choices)
    out = b""
    for chunk in chunks:
        out += watch.feed(chunk)
        if watch.done or watch.failure:
            break
    else:
        out += watch.end()
    return out + watch.held, watch


def cuts(body: bytes) -> Iterable[list[bytes]]:
    dice = random.Random(len(body))
    events = [part + b"\n\n" for part in body.split(b"\n\n")[:-1]]
    tail = body.split(b"\n\n")[-1]
    yield [body]
    yield [*events, *([tail] if tail else [])]
    some = min(len(body), 14_000)
    yield [*(body[place : place + 7] for place in range(0, some, 7)), body[-(-some // 7) * 7 :]]
    places = sorted(dice.sample(range(len(body)), min(40, len(body) - 1))) if len(body) > 1 else []
    yield [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_answers_are_seen_as_the_codec_reads_them(dialect: str) -> None:
    codec, glance, seen_count = codec_for(dialect), glance_for(dialect), 0
    for exchange in exchanges(dialect):
        if exchange["response"]["status"] != 200 or exchange["streaming"]:
            continue
        body = replayer().response_bytes(exchange)
        try:
            expected = seen_in(codec.decode_reply(body))
        except ProtocolError:
            with pytest.raises(ProtocolError):
                glance.glance_reply(body)
            continue
        assert glance.glance_reply(body) == expected, exchange["id"]
        seen_count += 1
    assert seen_count > 10


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_streams_are_passed_on_as_through_the_decoder(dialect: str) -> None:
    codec, seen_count = codec_for(dialect), 0
    for exchange in exchanges(dialect):
        if exchange["response"]["status"] != 200 or not exchange["streaming"] or exchange["id"] in SEVERAL_ANSWERS:
            continue
        body = replayer().response_bytes(exchange)
        several = b'"index":1' in body or b'"index": 1' in body
        for include_usage in (True, False):
            expected, complete = as_passed_on(codec, [body], include_usage)
            whole: Seen | None = None
            for chunks in cuts(body):
                out, watch = watched(dialect, chunks, include_usage, 2 if several else 1)
                assert out == expected, exchange["id"]
                assert watch.seen.complete == complete, exchange["id"]
                whole = whole or watch.seen
                assert (watch.seen.usage, watch.seen.finish_reason, watch.seen.content, watch.seen.service_tier) == (
                    whole.usage,
                    whole.finish_reason,
                    whole.content,
                    whole.service_tier,
                ), exchange["id"]
        seen_count += 1
    assert seen_count > 10


@recorded
def test_recorded_chat_requests_are_glanced_at_as_they_are_decoded() -> None:
    glanced = 0
    for exchange in [*exchanges("openai_chat"), *exchanges("mistral_chat")]:
        body = orjson.dumps(exchange["request"]["body"])
        glanced += agrees(body)
    assert glanced > 50


def agrees(body: bytes) -> bool:
    """Whether a glance was enough; fails where it differs from the codec."""
    codec, glance = CODECS["openai_chat"], GLANCES["openai_chat"]
    try:
        conversation = codec.decode_request(body)
    except ProtocolError:
        try:
            assert glance.glance_request(body) is None, body
        except ProtocolError:
            pass
        return False
    asked = glance.glance_request(body)
    if asked is None:
        return False
    assert (asked.model, asked.stream, asked.include_usage) == (
        conversation.model,
        conversation.stream,
        conversation.include_usage,
    )
    assert asked.max_output_tokens == conversation.sampling.max_output_tokens
    assert asked.choices == (conversation.sampling.n or 1)
    assert dict(asked.routing) == dict(conversation.routing)
    full = prompt_tokens_upper(conversation)
    assert 0.95 * full <= asked.prompt_tokens <= 1.3 * full + 20
    for limit in (None, 7):
        spliced = glance.splice(body, asked, upstream_model="up-1", max_output_tokens=limit)
        expected = codec.splice_request(
            body, upstream_model="up-1", max_output_tokens=limit, parsed=conversation.source
        )
        assert json.loads(spliced.body) == json.loads(expected.body)
        assert (spliced.path, spliced.dropped) == (expected.path, expected.dropped)
    return True


_text = st.text(max_size=30)
_odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 5), st.floats(allow_nan=False), _text, st.just([]), st.just({})
)
_message = st.one_of(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "developer", "tool", "x"]), "content": _text}
    ),
    st.fixed_dictionaries(
        {
            "role": st.just("user"),
            "content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": _text}), max_size=3),
        }
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "content": _text, "tool_call_id": _text}),
    st.fixed_dictionaries({"role": _odd, "content": _odd}),
)
_TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
_fields = st.dictionaries(
    st.sampled_from(
        ["stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "temperature", "stop", "seed", "user",
         "tool_choice", "tools", "models", "provider", "metadata", "extra", "service_tier", "model"]
    ),
    st.one_of(_odd, st.just({"include_usage": True}), st.just([_TOOL]), st.just("auto")),
    max_size=5,
)  # fmt: skip


@given(st.lists(_message, max_size=4), _fields, st.booleans(), st.booleans())
def test_a_glance_at_any_request_agrees_with_the_codec_or_says_nothing(
    messages: list[Any], extra: dict[str, Any], model_first: bool, spaced: bool
) -> None:
    if messages and messages[0].get("role") == "tool":
        messages = messages[1:]
    request = {"model": "some/model", "messages": messages, **extra}
    if not model_first:
        request = {"messages": messages, **{name: value for name, value in extra.items() if name != "model"}}
        request["model"] = extra.get("model", "some/model")
    body = json.dumps(request).encode() if spaced else orjson.dumps(request)
    agrees(body)


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
    ],
)
def test_only_the_requests_own_model_is_replaced(body: bytes) -> None:
    glance = GLANCES["openai_chat"]
    asked = glance.glance_request(body)
    assert asked is not None
    spliced = json.loads(glance.splice(body, asked, upstream_model="up", max_output_tokens=None).body)
    options = {"stream_options": {"include_usage": True}} if asked.stream else {}
    assert spliced == {**json.loads(body), "model": "up", **options}


def test_tokens_are_estimated_from_what_was_passed_unread() -> None:
    words = [b'data: {"choices":[{"index":0,"delta":{"content":"wonderful words "}}]}\n\n' for _ in range(50)]
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    for word in words:
        assert watch.feed(word) == word
    whole = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    whole.feed(b"".join(words))
    assert watch.text_tokens() == whole.text_tokens() > 50


def test_an_error_in_a_stream_is_not_passed_on() -> None:
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    good = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert watch.feed(good) == good
    assert watch.feed(b'data: {"error":{"message":"secret words","code":500}}\n\n') == b""
    assert watch.failure is not None and not watch.seen.complete


@pytest.mark.parametrize(
    ("dialect", "answer", "expected"),
    [
        ("openai_chat", '{"usage":{"prompt_tokens":1}}', '{"usage":{"cost":0.5,"prompt_tokens":1}}'),
        ("openai_chat", '{"usage": {}}', '{"usage": {"cost":0.5}}'),
        ("openai_chat", '{"usage":{"a":1,"cost":9.1,"b":2}}', '{"usage":{"cost":0.5,"a":1,"b":2}}'),
        ("openai_chat", '{"usage":null}', '{"usage":null}'),
        ("openai_chat", '{"text":"\\"usage\\":{"}', '{"text":"\\"usage\\":{"}'),
        ("gemini_generate", '{"usageMetadata":{"a":1}}', '{"usageMetadata":{"cost":0.5,"a":1}}'),
        (
            "anthropic_messages",
            'data: {"usage":{"output_tokens":1}}\n\ndata: {"usage":{"output_tokens":2}}\n\n',
            'data: {"usage":{"output_tokens":1}}\n\ndata: {"usage":{"cost":0.5,"output_tokens":2}}\n\n',
        ),
    ],
)  # fmt: skip
def test_the_cost_goes_into_the_usage(dialect: str, answer: str, expected: str) -> None:
    assert with_cost(dialect, answer.encode(), b"0.5").decode() == expected


def test_a_request_with_sealed_reasoning_is_decoded() -> None:
    body = {"model": "a", "messages": [{"role": "user", "content": "x", "reasoning_details": []}]}
    assert GLANCES["openai_chat"].glance_request(orjson.dumps(body)) is None
    assert NOTHING == {}


_count = st.one_of(st.integers(-2, 50), st.just(10**10), st.none(), st.floats(0, 9), st.just("3"), st.booleans())
_details = st.one_of(
    st.none(),
    st.just([]),
    st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "x"]), _count, max_size=3),
)


@given(
    st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens"]), _count),
    _details,
    _details,
    st.booleans(),
)
def test_plain_usage_is_read_as_any_other(counts: dict[str, Any], given_: Any, made: Any, fits: bool) -> None:
    value = {**counts, "prompt_tokens_details": given_, "completion_tokens_details": made}
    if fits and all(type(counts.get(name)) is int for name in ("prompt_tokens", "completion_tokens")):
        value["total_tokens"] = counts["prompt_tokens"] + counts["completion_tokens"]
    assert usage.read_usage(value) == usage._read_any(value)
