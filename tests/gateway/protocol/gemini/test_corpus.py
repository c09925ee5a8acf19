"""Every recorded exchange of this dialect, where the corpus lies beside the checkout."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.codec import Target
from gateway.protocol.dialects import CODECS
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol import collecting, replaying, test_corpus
from tests.gateway.protocol.gemini.asking import CODEC, CONTEXT

pytestmark = pytest.mark.skipif(not test_corpus.CORPUS.is_dir(), reason="the corpus is not beside this checkout")

# Each difference is on purpose; with the words that say why.
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "gg-google-5cc8d66": ("tool calls",),  # arguments that come in pieces are put together
    "gg-google-c8cc968": ("tool calls",),  # the same
    "gg-google-vertex-e49f5ed": ("finish",),  # an error at the end: nothing has finished
    "gg-google-vertex-a5c8c66": ("choices",),  # nothing but a prompt's feedback, which blocks nothing
}


def exchanges(*, answered: bool = True, streaming: bool | None = None) -> list[dict[str, Any]]:
    return [
        exchange
        for exchange in test_corpus.exchanges("gemini_generate")
        if (exchange["response"]["status"] == 200) is answered and streaming in (None, exchange["streaming"])
    ]


def response_bytes(exchange: dict[str, Any]) -> bytes:
    return test_corpus.replayer().response_bytes(exchange)  # type: ignore[no-any-return]


def test_every_answer_is_read_as_expected() -> None:
    wrong: dict[str, list[str]] = {}
    for exchange in exchanges():
        body = response_bytes(exchange)
        if exchange["streaming"]:
            passed, complete = replaying.decode_stream(CODEC, [body])
            got = collecting.of_events(replaying.events_of(passed))
            finished = all(choice["finish"] for choice in exchange["expect"]["choices"])
            assert complete is (finished and not got["error"]), exchange["id"]
        else:
            got = collecting.of_reply(CODEC.decode_reply(body))
        found = replaying.differences(got, exchange["expect"])
        if found:
            wrong[exchange["id"]] = found
    assert {name: found for name, found in wrong.items() if name not in EXCEPTIONS} == {}
    for name, found in wrong.items():
        assert all(item.startswith(EXCEPTIONS[name]) for item in found), (name, found)


@pytest.mark.parametrize("how", ["events", "lines", "nasty", "random", "bytes"])
def test_every_stream_gives_the_same_events_however_it_is_cut(how: str) -> None:
    for exchange in exchanges(streaming=True):
        body = response_bytes(exchange)
        if len(body) > (test_corpus.MOST_BYTES_ONE_BY_ONE if how == "bytes" else 120_000):
            continue
        whole = replaying.decode_stream(CODEC, [body])
        cut = replaying.decode_stream(CODEC, test_corpus.replayer().split_body(body, how))
        assert cut == whole, exchange["id"]


def test_every_known_request_is_understood_and_can_be_written_for_all() -> None:
    for exchange in exchanges():
        request = exchange["request"]
        if not request["known"] or not isinstance(request["body"], dict):
            continue
        target = Target("m", exchange["streaming"])
        try:
            conversation = CODEC.decode_request(json.dumps(request["body"]).encode(), target)
        except ProtocolError as error:
            raise AssertionError((exchange["id"], error.problem.message)) from None
        for codec in CODECS.values():
            encoded = codec.encode_request(conversation, upstream_model="x", max_output_tokens=None)
            codec.decode_request(encoded.body, target)


def test_every_request_of_the_same_dialect_passes_unchanged() -> None:
    for exchange in exchanges():
        body = exchange["request"]["body"]
        if exchange["request"]["known"] and isinstance(body, dict):
            encoded = CODEC.splice_request(
                json.dumps(body).encode(), upstream_model="gemini-2.5-pro", max_output_tokens=None
            )
            assert json.loads(encoded.body) == {name: value for name, value in body.items() if name != "model"}


def test_every_stream_can_be_translated() -> None:
    for exchange in exchanges(streaming=True):
        passed, _ = replaying.decode_stream(CODEC, [response_bytes(exchange)])
        events = replaying.events_of(passed)
        before = collecting.of_events(events)
        if before["error"]:
            continue
        for target, codec in CODECS.items():
            encoder = codec.stream_encoder(CONTEXT)
            written = b"".join(encoder.encode(event) for event in events) + encoder.end()
            again, complete = replaying.decode_stream(codec, [written])
            after = collecting.of_events(replaying.events_of(again))
            assert complete, (exchange["id"], target)
            assert after["usage"] == before["usage"] or before["usage"] is None, (exchange["id"], target)
            if not before["choices"]:
                continue
            first, same = before["choices"][0], after["choices"][0]
            assert same["text"] == first["text"], (exchange["id"], target)
            assert [json.loads(call["arguments"] or "{}") for call in same["tool_calls"]] == [
                json.loads(call["arguments"] or "{}") for call in first["tool_calls"]
            ], (exchange["id"], target)


def test_every_refusal_is_typed() -> None:
    kinds = {401: {"credential"}, 403: {"credential"}, 404: {"not_found"}, 429: {"rate_limited", "credit"}}
    kinds[400] = {"bad_request", "context_length", "not_found", "credential"}
    for exchange in exchanges(answered=False):
        status = exchange["response"]["status"]
        failure = CODEC.decode_failure(status, {}, response_bytes(exchange))
        assert failure.kind in kinds.get(status, {"server_error"}), (exchange["id"], failure.kind)
