"""Recorded exchanges read as a correct client reads them, however the bytes were cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.protocol.codec import ReplyContext
from gateway.protocol.dialects import CODECS
from tests.gateway.protocol import collecting, replaying

EXCHANGES = replaying.load(replaying.WIRE)
ANSWERS = [exchange for exchange in EXCHANGES if exchange["response"]["status"] == 200]
STREAMS = [exchange for exchange in ANSWERS if exchange["streaming"]]
REFUSALS = [exchange for exchange in EXCHANGES if exchange["response"]["status"] != 200]
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")

# Where we read more than the recording's own expectation does, and what.
OURS = {
    # The total holds thinking that no part shows: it is billed.
    "oc-google-b0a65d3": {"output_tokens": 74, "reasoning_tokens": 62},
    # Eleven reasoning tokens in ten completion tokens: the part is cut to its whole.
    "oc-openrouter-f425f05": {"reasoning_tokens": 10},
}


def expected(exchange: dict[str, Any]) -> dict[str, Any]:
    expect = dict(exchange["expect"])
    if exchange["id"] in OURS:
        expect["usage"] = {**expect["usage"], **OURS[exchange["id"]]}
    return expect


# What providers take is not passed on.
PROVIDERS_COSTS = (
    b',"cost_in_usd_ticks":739000',
    b',"cost":0.000112,"cost_details":{"upstream_inference_completions_cost":0.00008,'
    b'"upstream_inference_cost":0.000112,"upstream_inference_prompt_cost":0.000032}',
    b',"is_byok":false',
)


# Dialects without a field for the words of a refusal: they stand in the text.
WITHOUT_REFUSALS = ("anthropic_messages", "gemini_generate")


def told(call: dict[str, Any], target: str) -> Any:
    """The arguments of a call; Gemini's are an object, whose spacing is nobody's."""
    text = call["arguments"] or "{}"
    return json.loads(text) if target == "gemini_generate" else text


def named(exchange: dict[str, Any]) -> str:
    return str(exchange["id"])


@pytest.mark.parametrize("exchange", ANSWERS, ids=named)
def test_an_answer_is_read_as_it_was_meant(exchange: dict[str, Any]) -> None:
    codec = CODECS[exchange["protocol"]]
    body = replaying.response_bytes(exchange)
    if exchange["streaming"]:
        passed, complete = replaying.decode_stream(codec, [body])
        got = collecting.of_events(replaying.events_of(passed))
        assert complete is not bool(exchange["expect"].get("error"))
    else:
        got = collecting.of_reply(codec.decode_reply(body))
    assert replaying.differences(got, expected(exchange)) == []


@pytest.mark.parametrize("cut", sorted(replaying.CUTS))
@pytest.mark.parametrize("exchange", STREAMS, ids=named)
def test_the_cut_makes_no_difference(exchange: dict[str, Any], cut: str) -> None:
    codec = CODECS[exchange["protocol"]]
    body = replaying.response_bytes(exchange)
    whole = replaying.decode_stream(codec, [body])
    assert replaying.decode_stream(codec, replaying.CUTS[cut](body)) == whole


@pytest.mark.parametrize("exchange", STREAMS, ids=named)
def test_every_byte_of_a_stream_is_passed_on_or_held_back_knowingly(exchange: dict[str, Any]) -> None:
    body = replaying.response_bytes(exchange)
    passed, _ = replaying.decode_stream(CODECS[exchange["protocol"]], [body])
    out = b"".join(item.raw for item in passed)
    for cost in PROVIDERS_COSTS:
        body, out = body.replace(cost, b""), out.replace(cost, b"")
    assert body.rstrip() in out or exchange["id"] == "oc-openai-1c10d4f"


@pytest.mark.parametrize("target", sorted(CODECS))
@pytest.mark.parametrize("exchange", STREAMS, ids=named)
def test_a_stream_means_the_same_after_translation(exchange: dict[str, Any], target: str) -> None:
    passed, _ = replaying.decode_stream(CODECS[exchange["protocol"]], [replaying.response_bytes(exchange)])
    events = replaying.events_of(passed)
    encoder = CODECS[target].stream_encoder(CONTEXT)
    written = b"".join(encoder.encode(event) for event in events) + encoder.end()
    again, complete = replaying.decode_stream(CODECS[target], [written])
    before, after = collecting.of_events(events), collecting.of_events(replaying.events_of(again))
    assert after["error"] == before["error"]
    if before["error"]:
        return
    assert complete
    assert after["usage"] == before["usage"] or before["usage"] is None
    for mine, theirs in zip(after["choices"], before["choices"], strict=True):
        assert mine["text"] == theirs["text"] + (theirs["refusal"] if target in WITHOUT_REFUSALS else "")
        assert mine["reasoning"] == theirs["reasoning"]
        assert [call["name"] for call in mine["tool_calls"]] == [call["name"] for call in theirs["tool_calls"]]
        # A call without arguments is written with an empty object where clients parse the text.
        assert [told(call, target) for call in mine["tool_calls"]] == [
            told(call, target) for call in theirs["tool_calls"]
        ]


@pytest.mark.parametrize("exchange", REFUSALS, ids=named)
def test_a_refusal_is_typed_and_keeps_secrets_out_of_our_words(exchange: dict[str, Any]) -> None:
    response = exchange["response"]
    codec = CODECS[exchange["protocol"]]
    failure = codec.decode_failure(response["status"], response["headers"], replaying.response_bytes(exchange))
    assert failure.kind == {401: "credential", 429: "rate_limited"}[response["status"]]
    assert failure.as_problem().status in (502, 503)
    assert failure.message not in failure.as_problem().message
