"""Every recorded exchange of this dialect, where the corpus lies beside the checkout."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.codec import Target
from gateway.protocol.dialects import CODECS
from gateway.protocol.problem import ProtocolError
from gateway.protocol.reply import StreamError
from tests.gateway.protocol import collecting, replaying, test_corpus
from tests.gateway.protocol.responses.asking import CODEC, CONTEXT

pytestmark = pytest.mark.skipif(not test_corpus.CORPUS.is_dir(), reason="the corpus is not beside this checkout")

# Each difference is on purpose; with the words that say why.
PARAGRAPHS = "reasoning"  # the parts of a summary are set apart by a blank line
PLAIN_THOUGHTS = "reasoning"  # thoughts in plain text are read, the corpus leaves them out
EXCEPTIONS: dict[str, tuple[str, ...]] = {
    "or-azure-openai-787a0ae": ("text", "reasoning", "tool calls", "usage"),  # four answers in one: the first counts
    "or-azure-openai-e7f114a": (PARAGRAPHS,),
    "or-azure-openai-f31594f": (PARAGRAPHS,),
    "or-bedrock-mantle-ecfc3de": (PLAIN_THOUGHTS,),
    "or-deepseek-0ffa87e": (PLAIN_THOUGHTS,),
    "or-deepseek-3d921ea": (PLAIN_THOUGHTS,),
    "or-deepseek-42b88b0": (PLAIN_THOUGHTS,),
    "or-deepseek-62917f1": (PLAIN_THOUGHTS,),
    "or-deepseek-d794aa7": (PLAIN_THOUGHTS,),
    "or-openai-2acb221": ("choices",),  # an error, and no answer
    "or-openai-d4a6bb7": (PLAIN_THOUGHTS,),
    "or-openrouter-e20be49": (PLAIN_THOUGHTS,),
}
REFUSED = {"or-openai-832b454": "previous_response_id"}


def exchanges(*, answered: bool = True, streaming: bool | None = None) -> list[dict[str, Any]]:
    return [
        exchange
        for exchange in test_corpus.exchanges("openai_responses")
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
            assert complete is not got["error"], exchange["id"]
        else:
            got = collecting.of_reply(CODEC.decode_reply(body))
        found = replaying.differences(got, exchange["expect"])
        if found:
            wrong[exchange["id"]] = found
    assert {name: found for name, found in wrong.items() if name not in EXCEPTIONS} == {}
    assert set(wrong) == set(EXCEPTIONS)
    for name, found in wrong.items():
        assert all(item.startswith(EXCEPTIONS[name]) for item in found), (name, found)


@pytest.mark.parametrize("how", ["events", "lines", "nasty", "random", "bytes"])
def test_every_stream_gives_the_same_events_however_it_is_cut(how: str) -> None:
    for exchange in exchanges(streaming=True):
        body = response_bytes(exchange)
        if len(body) > (test_corpus.MOST_BYTES_ONE_BY_ONE if how == "bytes" else 120_000):
            continue
        whole = replaying.decode_stream(CODEC, [body])
        cut = test_corpus.replayer().split_body(body, how)
        assert replaying.decode_stream(CODEC, cut) == whole, exchange["id"]


def test_a_caller_of_this_dialect_gets_every_byte_but_comments_errors_and_strange_endings() -> None:
    for exchange in exchanges(streaming=True):
        passed, _ = replaying.decode_stream(CODEC, [response_bytes(exchange)])
        for item in passed:
            is_event = b"data: {" in item.raw
            is_error = any(isinstance(event, StreamError) for event in item.events) or b"response.failed" in item.raw
            assert item.forward == (is_event and not is_error), (exchange["id"], item.raw)


def test_every_stream_means_the_same_when_we_write_it_again() -> None:
    for exchange in exchanges(streaming=True):
        passed, _ = replaying.decode_stream(CODEC, [response_bytes(exchange)])
        events = replaying.events_of(passed)
        before = collecting.of_events(events)
        if before["error"]:
            continue
        encoder = CODEC.stream_encoder(CONTEXT)
        written = b"".join([encoder.encode(event) for event in events]) + encoder.end()
        again, complete = replaying.decode_stream(CODEC, [written])
        assert complete, exchange["id"]
        after = collecting.of_events(replaying.events_of(again))
        assert after == before, exchange["id"]


def test_every_known_request_is_understood_and_can_be_written_for_all() -> None:
    for exchange in exchanges():
        request = exchange["request"]
        if not request["known"] or not isinstance(request["body"], dict):
            continue
        body = json.dumps({"model": "x", **request["body"]}).encode()
        try:
            conversation = CODEC.decode_request(body)
        except ProtocolError as error:
            assert REFUSED.get(exchange["id"]) == error.problem.param, (exchange["id"], error.problem)
            continue
        assert exchange["id"] not in REFUSED
        for codec in CODECS.values():
            encoded = codec.encode_request(conversation, upstream_model="x", max_output_tokens=None)
            codec.decode_request(encoded.body, Target(model="x", stream=False))
        spliced = CODEC.splice_request(body, upstream_model="x", max_output_tokens=None)
        assert CODEC.decode_request(spliced.body).tools == conversation.tools, exchange["id"]


def test_every_refusal_is_typed() -> None:
    kinds = {401: {"credential"}, 429: {"rate_limited", "credit"}, 400: {"bad_request", "context_length", "not_found"}}
    for exchange in exchanges(answered=False):
        status = exchange["response"]["status"]
        failure = CODEC.decode_failure(status, {}, response_bytes(exchange))
        expected = {"credential"} if exchange["provider"] == "xai" else kinds[status]  # 400 for a bad key
        assert failure.kind in expected, (exchange["id"], failure.kind)
