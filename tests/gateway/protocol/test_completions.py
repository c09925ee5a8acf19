"""The legacy POST /v1/completions, of callers only: its requests, replies and streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Conversation, Reasoning, Refusal, Sampling, Text, Turn
from gateway.protocol.dialects import CLIENT_CODECS, CODECS
from gateway.protocol.problem import Problem, ProtocolError, UpstreamFailure
from gateway.protocol.reply import (
    Choice,
    Done,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Reply,
    Started,
    StreamError,
    StreamEvent,
    TextDelta,
    UsageReport,
    UsageSeen,
)
from tests.gateway.protocol import replaying

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "exchanges" / "openai_completions"
CODEC = CLIENT_CODECS["openai_completions"]
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
USAGE = UsageReport(TokenUsage(input=5, output=7, reasoning=2))


def decode(**body: Any) -> Conversation:
    return CODEC.decode_request(json.dumps({"model": "m", "prompt": "Say hi", **body}).encode())


def stream(*events: StreamEvent, context: ReplyContext = CONTEXT) -> list[Any]:
    """The parsed events; "[DONE]" as it is."""
    encoder = CODEC.stream_encoder(context)
    written = b"".join(encoder.encode(event) for event in events) + encoder.end()
    lines = [line.removeprefix(b"data: ") for line in written.split(b"\n\n") if line]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


@pytest.mark.parametrize("prompt", ["Say hi", ["Say hi"]])
def test_the_prompt_is_one_user_turn(prompt: Any) -> None:
    conversation = decode(prompt=prompt)
    assert conversation.turns == (Turn("user", (Text("Say hi"),)),)
    assert (conversation.dialect, conversation.model) == ("openai_completions", "m")


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (None, "is required"),
        ("", "must not be empty"),
        ([""], "must not be empty"),
        ([], "must be a string"),
        (["a", "b"], "one prompt per request"),
        ([1, 2], "arrays of tokens"),
        ([1], "arrays of tokens"),
        ([[1, 2]], "arrays of tokens"),
        ({"text": "x"}, "must be a string"),
        (True, "must be a string"),
    ],
)
def test_any_other_prompt_is_refused_with_the_reason(prompt: Any, says: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(prompt=prompt)
    assert caught.value.problem.kind == "invalid_request"
    assert caught.value.problem.param == "prompt"
    assert says in caught.value.problem.message


def test_sampling_is_read() -> None:
    conversation = decode(
        max_tokens=99,
        temperature=0.5,
        top_p=0.9,
        stop=["a", "b"],
        n=2,
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        stream=True,
        stream_options={"include_usage": True},
        user="u-1",
    )
    assert conversation.sampling == Sampling(
        temperature=0.5,
        top_p=0.9,
        stop=("a", "b"),
        max_output_tokens=99,
        n=2,
        seed=7,
        frequency_penalty=0.1,
        presence_penalty=0.2,
    )
    assert conversation.stream and conversation.include_usage and conversation.user == "u-1"
    assert not conversation.extras


def test_without_a_limit_the_apis_own_default_holds() -> None:
    assert decode().max_output_tokens == 16
    assert decode(max_tokens=None).max_output_tokens == 16


def test_what_no_chat_model_can_do_is_named_as_dropped() -> None:
    asked = {"suffix": "}", "echo": True, "logprobs": 0, "best_of": 3}
    conversation = decode(**asked)
    assert conversation.extras == asked
    for codec in CODECS.values():
        encoded = codec.encode_request(conversation, upstream_model="x", max_output_tokens=None)
        assert set(asked) <= set(encoded.dropped), codec.dialect


def test_fields_that_change_nothing_are_not_worth_a_word() -> None:
    conversation = decode(suffix="", echo=False, logprobs=None, best_of=1, logit_bias={})
    assert not conversation.extras


def test_the_routers_own_fields_stay_with_the_router() -> None:
    conversation = decode(provider={"only": ["x"]}, models=["a", "b"])
    assert conversation.routing == {"provider": {"only": ["x"]}, "models": ["a", "b"]}
    assert not conversation.extras


@pytest.mark.parametrize("max_tokens", [0, -1, "many", 1.5, True])
def test_a_wrong_limit_is_refused(max_tokens: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(max_tokens=max_tokens)
    assert caught.value.problem.param == "max_tokens"


def test_a_reply_is_a_text_completion() -> None:
    parts = (Reasoning("hm"), Text("He"), Text("llo"))
    choices = (
        Choice(0, parts, FinishReason.STOP),
        Choice(1, (Refusal("No."),), FinishReason.CONTENT_FILTER),
        Choice(2, (), FinishReason.TOOL_CALLS),
    )
    assert json.loads(CODEC.encode_reply(Reply(choices, USAGE), CONTEXT)) == {
        "id": "gen-1",
        "object": "text_completion",
        "created": 1_700_000_000,
        "model": "some/model",
        "choices": [
            {"text": "Hello", "index": 0, "logprobs": None, "finish_reason": "stop"},
            {"text": "No.", "index": 1, "logprobs": None, "finish_reason": "content_filter"},
            {"text": "", "index": 2, "logprobs": None, "finish_reason": "stop"},
        ],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 9,
            "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 0},
        },
    }


def test_a_stream_has_its_text_a_finish_usage_and_an_end() -> None:
    chunks = stream(
        Started("up-1"),
        ReasoningDelta("hm"),
        TextDelta("Hel"),
        TextDelta("lo"),
        RefusalDelta(" no"),
        Finished(FinishReason.LENGTH),
        UsageSeen(USAGE),
        Done(),
    )
    assert chunks.pop() == "[DONE]"
    usage = chunks.pop()
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] == 14
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in [*chunks, usage]} == {
        ("gen-1", "text_completion", "some/model")
    }
    assert [(chunk["choices"][0]["text"], chunk["choices"][0]["finish_reason"]) for chunk in chunks] == [
        ("Hel", None),
        ("lo", None),
        (" no", None),
        ("", "length"),
    ]


def test_choices_keep_their_numbers() -> None:
    chunks = stream(TextDelta("a"), TextDelta("b", 1), Finished(FinishReason.STOP, 1), Finished(FinishReason.STOP, 0))
    assert [chunk["choices"][0]["index"] for chunk in chunks[:-1]] == [0, 1, 1, 0]


@pytest.mark.parametrize("events", [(), (TextDelta("a"),), (Started("up-1"), TextDelta("a"), TextDelta("b", 1))])
def test_a_stream_never_ends_without_a_finish(events: tuple[StreamEvent, ...]) -> None:
    chunks = [chunk["choices"][0] for chunk in stream(*events)[:-1]]
    unfinished = {chunk["index"] for chunk in chunks} - {chunk["index"] for chunk in chunks if chunk["finish_reason"]}
    assert chunks and unfinished == set()


def test_usage_is_shown_only_to_those_who_asked() -> None:
    silent = ReplyContext(response_id="gen-1", created=1, model="m", include_usage=False)
    assert all("usage" not in chunk for chunk in stream(TextDelta("a"), UsageSeen(USAGE), context=silent))


def test_nothing_follows_an_error_in_the_stream() -> None:
    failed = StreamError(UpstreamFailure(200, "overloaded"))
    chunks = stream(TextDelta("a"), failed, TextDelta("b"), Finished(FinishReason.STOP))
    assert [sorted(chunk) for chunk in chunks][1:] == [["error"]]
    encoder = CODEC.stream_encoder(CONTEXT)
    assert encoder.problem(Problem("server", "x")).startswith(b'data: {"error":{"message":"x"')
    assert encoder.problem(Problem("server", "x")) == encoder.end() == b""


def test_providers_are_never_called_in_it() -> None:
    assert "openai_completions" not in CODECS
    assert not hasattr(CODEC, "encode_request")


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
def test_recorded_requests_are_understood() -> None:
    for exchange in replaying.load(CORPUS):
        body = json.dumps(exchange["request"]["body"]).encode()
        if exchange["response"]["status"] == 200:
            assert CODEC.decode_request(body).turns, exchange["id"]
        else:
            with pytest.raises(ProtocolError):
                CODEC.decode_request(body)
