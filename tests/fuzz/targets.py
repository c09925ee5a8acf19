"""What is fed, and what must hold. A target raises for an input that breaks a promise."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.protocol.codec import Codec, EncodedRequest, ReplyContext, Target
from gateway.protocol.conversation import Conversation
from gateway.protocol.dialects import CLIENT_CODECS, CODECS
from gateway.protocol.embeddings import reply as embedding_replies
from gateway.protocol.embeddings import request as embedding_requests
from gateway.protocol.estimate import prompt_tokens_upper
from gateway.protocol.problem import ProtocolError, UpstreamFailure
from gateway.protocol.reply import StreamEvent
from gateway.protocol.sse import EventTooLarge, SseDecoder
from tests.fuzz import mutate, seeds

CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
_NAMES = sorted(CODECS)
_CLIENTS = [codec for name, codec in CLIENT_CODECS.items() if name != "openai_embeddings"]
_LONGEST_EVENT = 5_000


@dataclass(frozen=True)
class Fuzzed:
    """``run`` takes an input and dice that give the same numbers for it every time."""

    seeds: list[bytes]
    run: Callable[[bytes, random.Random], None]
    is_json: bool = False


def _request(codec: Any) -> Callable[[bytes, random.Random], None]:
    def run(body: bytes, dice: random.Random) -> None:
        try:
            conversation = codec.decode_request(body, Target("m", dice.random() < 0.5))
        except ProtocolError as error:
            _check_refusal(error, "invalid_request")
            return
        assert prompt_tokens_upper(conversation) > 0
        _write(conversation, CODECS[dice.choice(_NAMES)], dice)
        if codec.dialect in CODECS:
            _splice(codec, body, dice)

    return run


def _write(conversation: Conversation, target: Codec, dice: random.Random) -> None:
    limit = dice.choice((None, 1, 5000))
    model = dice.choice(("m", "claude-opus-4-7", "gpt-5.5", "gemini-3-pro"))
    try:
        _check_encoded(target.encode_request(conversation, upstream_model=model, max_output_tokens=limit))
    except ProtocolError as error:
        _check_refusal(error, "invalid_request")


def _splice(codec: Codec, body: bytes, dice: random.Random) -> None:
    target = Target("m", dice.random() < 0.5)
    limit = dice.choice((None, 1))
    try:
        _check_encoded(codec.splice_request(body, upstream_model="u", max_output_tokens=limit, target=target))
    except ProtocolError as error:
        _check_refusal(error, "invalid_request")


def _check_encoded(encoded: EncodedRequest) -> None:
    assert isinstance(json.loads(encoded.body), dict)
    assert encoded.path.startswith("/")
    assert all(isinstance(name, str) for name in encoded.dropped), encoded.dropped
    assert all(isinstance(value, str) for value in encoded.headers.values())


def _check_refusal(error: ProtocolError, kind: str) -> None:
    assert error.problem.kind == kind, error.problem
    assert error.problem.message
    for codec in _CLIENTS:
        json.loads(codec.encode_problem(error.problem, "req"))


def _reply(codec: Codec) -> Callable[[bytes, random.Random], None]:
    def run(body: bytes, dice: random.Random) -> None:
        try:
            reply = codec.decode_reply(body)
        except ProtocolError as error:
            _check_refusal(error, "upstream")
            return
        assert isinstance(json.loads(dice.choice(_CLIENTS).encode_reply(reply, CONTEXT)), dict)

    return run


def _stream(codec: Codec) -> Callable[[bytes, random.Random], None]:
    def run(body: bytes, dice: random.Random) -> None:
        whole = _decoded(codec, [body])
        assert _decoded(codec, mutate.cuts(dice, body)) == whole
        encoder = dice.choice(_CLIENTS).stream_encoder(CONTEXT)
        written = b"".join(encoder.encode(event) for event in whole[0]) + encoder.end()
        assert SseDecoder(10**9).feed(written) is not None

    return run


def _decoded(codec: Codec, chunks: list[bytes]) -> tuple[list[StreamEvent], bytes, bool]:
    decoder = codec.stream_decoder(max_event_bytes=10**6)
    passed = [item for chunk in chunks for item in decoder.feed(chunk)] + decoder.end()
    events = [event for item in passed for event in item.events]
    return events, b"".join(item.raw for item in passed if item.forward), decoder.complete


def _sse(body: bytes, dice: random.Random) -> None:
    whole = _events([body])
    assert _events(mutate.cuts(dice, body)) == whole
    assert b"".join(event.raw for event in whole) == body[: sum(len(event.raw) for event in whole)]
    try:
        SseDecoder(_LONGEST_EVENT // 50).feed(body)
    except EventTooLarge:
        pass


def _events(chunks: list[bytes]) -> list[Any]:
    decoder = SseDecoder(10**9)
    return [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.end()


def _failure(body: bytes, dice: random.Random) -> None:
    status = dice.choice((400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 503, 529, 599))
    headers = {"retry-after": dice.choice(("", "5", "-1", "nan", "1e400", "Wed, 21 Oct 2026 07:28:00 GMT"))}
    for codec in CODECS.values():
        failure = codec.decode_failure(status, headers, body)
        assert isinstance(failure, UpstreamFailure)
        json.loads(codec.encode_problem(failure.as_problem(), "req"))


def _embeddings(body: bytes, dice: random.Random) -> None:
    asked = None
    try:
        asked = embedding_requests.decode(body)
        _check_encoded(embedding_requests.splice(asked, "u"))
        assert asked.prompt_tokens_upper > 0
    except ProtocolError as error:
        _check_refusal(error, "invalid_request")
    try:
        reply = embedding_replies.read(body)
    except ProtocolError as error:
        _check_refusal(error, "upstream")
        return
    asked = embedding_requests.EmbeddingRequest("m", ("x",), dice.choice((None, "float", "base64")))
    json.loads(embedding_replies.answer(body, asked, "m", reply.source))


def all_targets() -> Mapping[str, Fuzzed]:
    requests, replies, streams = seeds.requests(), seeds.replies(), seeds.streams()
    targets = {"sse": Fuzzed(streams, _sse), "failure": Fuzzed(replies, _failure, is_json=True)}
    targets["embeddings"] = Fuzzed([*seeds.EMBEDDINGS, *requests[-3:]], _embeddings, is_json=True)
    for codec in _CLIENTS:
        targets[f"request:{codec.dialect}"] = Fuzzed(requests, _request(codec), is_json=True)
    for name, codec in CODECS.items():
        targets[f"reply:{name}"] = Fuzzed(replies, _reply(codec), is_json=True)
        targets[f"stream:{name}"] = Fuzzed(streams, _stream(codec))
    return targets
