"""A watched stream gives the caller what it would get through the decoder, in every cut and with every fault."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.protocol.dialects import CODECS, GLANCES
from gateway.protocol.estimate import likely_tokens
from gateway.protocol.glance import StreamWatch
from gateway.protocol.problem import UpstreamFailure
from gateway.protocol.reply import (
    Done,
    Finished,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    UsageReport,
    UsageSeen,
)
from tests.gateway.protocol.test_corpus import CORPUS, exchanges, replayer

DIALECTS = ("openai_chat", "mistral_chat", "anthropic_messages", "openai_responses", "gemini_generate")
SEVERAL_ANSWERS = {"or-azure-openai-787a0ae"}  # one after the other in one stream; reading ends with the first
recorded = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")


@dataclass
class Got:
    out: bytes = b""
    usage: UsageReport | None = None
    tier: str = ""
    finish: str = ""
    content: bool = False
    complete: bool = False
    failure: UpstreamFailure | None = None


def through_the_decoder(codec: Any, chunks: Sequence[bytes], include_usage: bool) -> Got:
    """As a relay does it that reads every event."""
    decoder = codec.stream_decoder(include_usage=include_usage)
    got, done = Got(), False
    for chunk in [*chunks, None]:
        for one in decoder.end() if chunk is None else decoder.feed(chunk):
            for event in one.events:
                if isinstance(event, StreamError):
                    got.failure = event.failure
                elif isinstance(event, UsageSeen):
                    got.usage, got.tier = event.report, event.tier or got.tier
                elif isinstance(event, Finished):
                    got.finish = got.finish or event.reason.value
                done = done or isinstance(event, Done)
                got.content = got.content or event.is_content
            if got.failure is not None:
                return got
            got.out += one.raw if one.forward else b""
        if done:
            break
    got.complete = decoder.complete
    return got


def watched(
    dialect: str, chunks: Iterable[bytes], include_usage: bool = True, choices: int = 1
) -> tuple[Got, StreamWatch]:
    watch = GLANCES[dialect].stream_watch(include_usage=include_usage, choices=choices)
    out = b""
    for chunk in chunks:
        out += watch.feed(chunk)
        if watch.done or watch.failure:
            break
    else:
        out += watch.end()
    seen, out = watch.seen, out + watch.held
    got = Got(out, seen.usage, seen.service_tier, seen.finish_reason, seen.content, seen.complete, watch.failure)
    return got, watch


def events_of(body: bytes) -> list[bytes]:
    parts = body.split(b"\n\n")
    return [*(part + b"\n\n" for part in parts[:-1]), *([parts[-1]] if parts[-1] else [])]


def cuts(body: bytes) -> Iterable[list[bytes]]:
    dice = random.Random(len(body))
    yield [body]
    yield events_of(body)
    some = min(len(body), 4_000)  # the rest in one piece: each call costs
    yield [*(body[place : place + 7] for place in range(0, some, 7)), body[-(-some // 7) * 7 :]]
    places = sorted(dice.sample(range(len(body)), min(40, len(body) - 1))) if len(body) > 1 else []
    yield [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]


def recorded_streams(dialect: str) -> list[tuple[str, bytes]]:
    return [
        (exchange["id"], replayer().response_bytes(exchange))
        for exchange in exchanges(dialect)
        if exchange["response"]["status"] == 200 and exchange["streaming"] and exchange["id"] not in SEVERAL_ANSWERS
    ]


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_recorded_streams_are_passed_on_as_through_the_decoder(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    found = recorded_streams(dialect)
    for exchange, body in found:
        several = b'"index":1' in body or b'"index": 1' in body
        for include_usage, ways in ((True, cuts(body)), (False, [events_of(body)])):
            for chunks in ways:
                got, _ = watched(name, chunks, include_usage, 2 if several else 1)
                expected = through_the_decoder(CODECS[name], chunks, include_usage)
                assert got == expected, exchange
    assert len(found) > 10


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_faulty_streams_are_passed_on_as_through_the_decoder(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    dice = random.Random(7)
    seen_failures = 0
    for exchange, body in recorded_streams(dialect)[::3]:
        several = b'"index":1' in body or b'"index": 1' in body
        for fault in FAULTS:
            broken = fault(body, dice)
            for chunks in ([broken], events_of(broken)):
                got, _ = watched(name, chunks, True, 2 if several else 1)
                expected = through_the_decoder(CODECS[name], chunks, True)
                assert got == expected, (exchange, fault)
                seen_failures += got.failure is not None
    assert seen_failures > 10


def _put_in(piece: bytes) -> Any:
    def fault(body: bytes, dice: random.Random) -> bytes:
        events = events_of(body)
        place = dice.randrange(len(events) + 1)
        return b"".join([*events[:place], piece, *events[place:]])

    return fault


def _cut(body: bytes, dice: random.Random) -> bytes:
    return body[: dice.randrange(len(body))]


FAULTS = [
    _cut,
    lambda body, dice: body.replace(b"data: [DONE]\n\n", b""),
    lambda body, dice: b"\xef\xbb\xbf" + body,
    lambda body, dice: body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
    lambda body, dice: body.replace(b"\n\n", b"\n\n\n"),
    lambda body, dice: body.replace(b"\n\n", b"\n\n\n\n"),
    lambda body, dice: body.replace(b"data: {", b"data: {\ndata: "),
    lambda body, dice: body.replace(b"data: ", b"data:"),
    lambda body, dice: body.rstrip(b"\r\n"),
    _put_in(b": keepalive\n\n"),
    _put_in(b":\n\n"),
    _put_in(b"event: ping\ndata: {\"type\": \"ping\"}\n\n"),
    _put_in(b'data: {"error":{"message":"secret","code":500}}\n\n'),
    _put_in(b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"secret"}}\n\n'),
    _put_in(b'{"error":{"code":429,"message":"secret"}}\n\n'),
    _put_in(b'[{"message":"secret"}]\n\n'),
    _put_in(b"data: {oops\n\n"),
    _put_in(b"data: nothing\n\n"),
    _put_in(b"data: [DONE]\n\n"),
]  # fmt: skip

DELTAS: dict[str, list[bytes]] = {
    "openai_chat": [
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}],"usage":null}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}],"obfuscation":"Zx9"}\n\n',
        b'data: {"id": "c", "choices": [{"index": 0, "delta": {"reasoning_content": "%b"}}]}\n\n',
    ],
    "anthropic_messages": [
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        b'{"type":"text_delta","text":"%b"}      }\n\n',
    ],
    "openai_responses": [
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":7,'
        b'"item_id":"m","output_index":0,"content_index":0,"delta":"%b","obfuscation":"abc"}\n\n',
    ],
}
PAIRS = [(dialect, delta) for dialect, deltas in DELTAS.items() for delta in deltas]


@pytest.mark.parametrize(("dialect", "delta"), PAIRS)
def test_plain_deltas_pass_unread(dialect: str, delta: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = GLANCES[dialect].stream_watch(include_usage=True, choices=1)
    assert watch.feed(delta % b"first") == delta % b"first"
    reads: list[bytes] = []
    feed = watch._decoder.feed
    monkeypatch.setattr(watch, "_decoder", _Spy(watch._decoder, reads, feed))
    for text in (b"one", b"two words", b"", b'\\"quoted\\"', b"a\\nb", "你好".encode(), b"data: [DONE]", b"}]}"):
        assert watch.feed(delta % text) == delta % text
    many = b"".join(delta % b"%d" % number for number in range(50))
    assert watch.feed(many) == many
    assert reads == []


@pytest.mark.parametrize(("dialect", "delta"), PAIRS)
@pytest.mark.parametrize("ends", [1, 2, 3])
def test_of_a_stream_that_comes_at_once_only_its_ends_are_read(
    dialect: str, delta: bytes, ends: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = GLANCES[dialect].stream_watch(include_usage=True, choices=1)
    reads: list[bytes] = []
    monkeypatch.setattr(watch, "_decoder", _Spy(watch._decoder, reads, watch._decoder.feed))
    words = b"".join(delta % b"%d" % number for number in range(60))
    begin, end = b": hello\n\n" * ends, b": bye\n\n" * ends
    half = 7 + len(words) // 2  # within an event
    chunks = (begin + words + end, words + end, words + words[:half], words[half:] + end)
    assert b"".join([watch.feed(chunk) for chunk in chunks]) == through_the_decoder(CODECS[dialect], chunks, True).out
    assert sum(map(len, reads)) < 2 * len(begin) + 5 * len(end) + 4 * len(delta % b"00")


@pytest.mark.parametrize(("dialect", "delta"), PAIRS)
@pytest.mark.parametrize(
    "odd",
    [
        b": keepalive\n\n",
        b'data: {"id":"c","note":"of a vendor"}\n\n',
        b'event: vendor\ndata: {"type":"vendor","note":1}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error"}}\n\n',
        b"\n",
    ],
)
def test_what_stands_between_plain_deltas_is_read(dialect: str, delta: bytes, odd: bytes) -> None:
    plain = delta % b"a"
    for chunks in ([plain, plain, plain + plain + odd + plain, plain], [plain, plain, plain + odd, plain, odd, plain]):
        got, _ = watched(dialect, chunks, include_usage=False)
        assert got == through_the_decoder(CODECS[dialect], chunks, include_usage=False)


@pytest.mark.parametrize(("dialect", "delta"), PAIRS)
def test_a_delta_that_was_cut_is_an_error(dialect: str, delta: bytes) -> None:
    plain = delta % b"a"
    for size in range(len(plain) // 2, len(plain.rstrip()) - 1):
        if plain[:size].endswith(b"}"):
            continue  # only braces are missing: that passes, for a reader of SSE would have to parse to know
        for cut in (plain[:size] + b"\n\n", plain + plain[:size] + b"\n\n" + plain):
            chunks = [plain, plain, cut]
            got, _ = watched(dialect, chunks)
            assert got == through_the_decoder(CODECS[dialect], chunks, include_usage=True)
            assert got.failure is not None


class _Spy:
    def __init__(self, decoder: Any, reads: list[bytes], feed: Any) -> None:
        self._decoder, self._reads, self._feed = decoder, reads, feed

    @property
    def complete(self) -> bool:
        return bool(self._decoder.complete)

    def feed(self, chunk: bytes) -> Any:
        self._reads.append(chunk)
        return self._feed(chunk)

    def end(self) -> Any:
        return self._decoder.end()


@pytest.mark.parametrize(("dialect", "delta"), PAIRS)
def test_tokens_are_estimated_from_what_was_passed_unread(dialect: str, delta: bytes) -> None:
    pieces = [delta % b"wonderful words " for _ in range(50)]
    got, watch = watched(dialect, pieces)
    assert got.out == b"".join(pieces)
    assert watch.text_tokens() == pytest.approx(50 * likely_tokens("wonderful words "))


@recorded
@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_text_is_counted_twice_where_a_dialect_repeats_it(dialect: str) -> None:
    name = "openai_chat" if dialect == "mistral_chat" else dialect
    for exchange, body in recorded_streams(dialect):
        decoder = CODECS[name].stream_decoder()
        events = [event for one in [*decoder.feed(body), *decoder.end()] for event in one.events]
        expected = 0
        for event in events:
            if isinstance(event, TextDelta | ReasoningDelta):
                expected += likely_tokens(event.text)
            elif isinstance(event, ToolCallDelta):
                expected += likely_tokens(event.arguments or "") + likely_tokens(event.name or "")
        _, watch = watched(name, events_of(body))
        assert watch.text_tokens() == pytest.approx(expected), exchange


def test_a_finish_is_held_back_and_what_came_before_it_in_one_piece_is_not() -> None:
    start = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n'
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    assert watch.feed(start + start + finish + usage) == start + start
    assert watch.held == finish + usage
    assert watch.seen.complete and not watch.done
    assert watch.feed(b"data: [DONE]\n\n") == b""
    assert watch.held == finish + usage + b"data: [DONE]\n\n" and watch.done


def test_usage_that_the_caller_did_not_ask_for_is_seen_and_not_passed_on() -> None:
    start = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    got, _ = watched("openai_chat", [start, usage, b"data: [DONE]\n\n"], include_usage=False)
    assert got.out == start + b"data: [DONE]\n\n"
    assert got.usage is not None and got.usage.usage.prompt_size == 3


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"secret words","code":500}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502}}\n\n',
        b'{"message":"secret words"}\n\n',
    ],
)
def test_an_error_in_a_stream_is_not_passed_on(event: bytes) -> None:
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    good = DELTAS["openai_chat"][0] % b"a"
    assert watch.feed(good) + watch.feed(good) == good + good
    assert watch.feed(good + event) == good
    assert watch.failure is not None and not watch.seen.complete


BEGUN = {
    "openai_chat": b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    "anthropic_messages": b'event: message_start\ndata: {"type":"message_start","message":{"usage":{}}}\n\n',
    "openai_responses": b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n',
    "gemini_generate": b'data: {"candidates":[]}\n\n',
}


@pytest.mark.parametrize("dialect", sorted(BEGUN))
@pytest.mark.parametrize("event", [b"data: {oops\n\n", b"data: 5\n\n", b"{oops\n\n", b"event: x\ndata: nothing\n\n"])
def test_an_event_that_cannot_be_read_is_a_malformed_stream(dialect: str, event: bytes) -> None:
    got, watch = watched(dialect, [BEGUN[dialect], event])
    assert watch.malformed
    assert got.failure is not None and got.failure.kind == "malformed"
    assert got == through_the_decoder(CODECS[dialect], [BEGUN[dialect], event], include_usage=True)


@pytest.mark.parametrize("dialect", sorted(BEGUN))
@pytest.mark.parametrize("body", [b"<html>\n<h1>Bad gateway</h1>\n</html>\n\n", b"upstream: error\n\n", b"oops"])
def test_what_is_no_event_stream_is_malformed_and_not_cut(dialect: str, body: bytes) -> None:
    got, watch = watched(dialect, [BEGUN[dialect], body])
    assert (watch.malformed, got.failure, got.complete) == (True, None, False)


@pytest.mark.parametrize("dialect", sorted(BEGUN))
@pytest.mark.parametrize(
    "body", [b"", b": keepalive\n\n", b"event: ping\nid: 7\nretry: 3\n\n", b"\n\n", b"data: [DONE]\n\n", b"event:\n\n"]
)
def test_a_stream_that_ends_early_is_cut_and_not_malformed(dialect: str, body: bytes) -> None:
    _, watch = watched(dialect, [b"\xef\xbb\xbf" + BEGUN[dialect], body])
    assert (watch.malformed, watch.failure) == (False, None)


@pytest.mark.parametrize("dialect", sorted(BEGUN))
@pytest.mark.parametrize("cut", [b'data: {"choices":[{"index":0,"del', b'{"error":{"mess'])
def test_an_event_without_its_end_is_a_cut_stream(dialect: str, cut: bytes) -> None:
    got, watch = watched(dialect, [BEGUN[dialect], cut])
    assert got.failure is not None and got.failure.kind == "cut"
    assert not watch.malformed
    assert got == through_the_decoder(CODECS[dialect], [BEGUN[dialect], cut], include_usage=True)


def test_calls_are_noticed_though_their_deltas_pass_unread() -> None:
    shape = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%b]},"finish_reason":null}]}\n\n'
    text = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
    begin = shape % b'{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}'
    more = shape % b'{"index":0,"function":{"arguments":"{}"}}'
    finish = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    for chunks in ([text, text, begin, more, more, finish], [begin, more, more, finish], [text + begin + more, finish]):
        got, _ = watched("openai_chat", chunks)
        assert got.finish == "tool_calls"
        assert got.out == b"".join(chunks) + b"data: [DONE]\n\n"


def test_a_very_long_stream_keeps_few_bytes() -> None:
    watch = GLANCES["openai_chat"].stream_watch(include_usage=True, choices=1)
    piece = DELTAS["openai_chat"][0] % (b"word " * 200)
    watch.feed(piece)
    for _ in range(9 * 1024 * 1024 // len(piece)):
        watch.feed(piece)
    assert sum(map(len, watch._kept)) <= 8 * 1024 * 1024
    assert watch.text_tokens() > 8000 * likely_tokens("word " * 200) * 0.9
