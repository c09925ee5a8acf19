"""The large corpus of recorded exchanges, where it lies beside the checkout."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gateway.protocol.codec import NO_TARGET, ReplyContext, Target
from gateway.protocol.dialects import CODECS
from gateway.protocol.json_text import dump_text, load_lenient
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol import collecting, replaying

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus"
# Those of Responses have a test of their own, beside the tests of that dialect.
DIALECTS = ("openai_chat", "anthropic_messages", "mistral_chat")
# Cutting into single bytes costs a call each: for the smaller bodies only.
MOST_BYTES_ONE_BY_ONE = 12_000
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")

pytestmark = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")

# Each difference is on purpose; with the word that says why.
EXCEPTIONS = {
    "oc-azure-ai-f0f2297": "usage",  # 161 cached of 7 prompt tokens: cut to the whole, flagged
    "oc-openrouter-e959cfb": "usage",  # as many written as read, more than the prompt: cut, flagged
    "oc-openrouter-f425f05": "usage",  # 11 reasoning tokens of 10: cut, flagged
    "oc-google-5d3f617": "usage",  # thoughts only in the total: billed
    "oc-google-b0a65d3": "usage",  # the same
    "mc-mistral-9344523": "usage",  # audio only in the total: billed
    "mc-mistral-a448d3e": "usage",  # the same
    "oc-openai-d10d820": "tool calls",  # a legacy function call counts as a call
    "oc-openai-f118993": "tool calls",  # the same
}


@cache
def replayer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("replay_upstream", CORPUS / "replay_upstream.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exchanges(dialect: str) -> list[dict[str, Any]]:
    folder = CORPUS / "exchanges" / dialect
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def codec_for(dialect: str) -> Any:
    return CODECS["openai_chat" if dialect == "mistral_chat" else dialect]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_answer_is_read_as_expected(dialect: str) -> None:
    codec = codec_for(dialect)
    wrong: dict[str, list[str]] = {}
    for exchange in exchanges(dialect):
        if exchange["response"]["status"] != 200:
            continue
        body = replayer().response_bytes(exchange)
        if exchange["streaming"]:
            passed, complete = replaying.decode_stream(codec, [body])
            got = collecting.of_events(replaying.events_of(passed))
            assert complete is not got["error"], exchange["id"]
        else:
            got = collecting.of_reply(codec.decode_reply(body))
        found = replaying.differences(got, exchange["expect"])
        if found:
            wrong[exchange["id"]] = found
    assert {name: found for name, found in wrong.items() if name not in EXCEPTIONS} == {}
    for name, found in wrong.items():
        assert all(item.startswith(EXCEPTIONS[name]) for item in found), (name, found)


@pytest.mark.parametrize("how", ["events", "lines", "nasty", "random", "bytes"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_stream_gives_the_same_events_however_it_is_cut(dialect: str, how: str) -> None:
    codec = codec_for(dialect)
    for exchange in exchanges(dialect):
        body = replayer().response_bytes(exchange)
        if exchange["response"]["status"] != 200 or not exchange["streaming"]:
            continue
        if len(body) > (MOST_BYTES_ONE_BY_ONE if how == "bytes" else 120_000):
            continue
        whole = replaying.decode_stream(codec, [body])
        assert replaying.decode_stream(codec, replayer().split_body(body, how)) == whole, exchange["id"]


@pytest.mark.parametrize("dialect", (*DIALECTS, "openai_responses"))
def test_every_stream_can_be_translated(dialect: str) -> None:
    for exchange in exchanges(dialect):
        if exchange["response"]["status"] != 200 or not exchange["streaming"]:
            continue
        passed, _ = replaying.decode_stream(codec_for(dialect), [replayer().response_bytes(exchange)])
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
            for usage in (before["usage"], after["usage"]):
                (usage or {}).pop("cache_write_1h_tokens", None)  # only Messages tells lifetimes apart
                if target == "gemini_generate":
                    (usage or {}).pop("cache_write_tokens", None)  # Gemini has no word for it
            assert after["usage"] == before["usage"] or before["usage"] is None, (exchange["id"], target)
            first, same = before["choices"][0], after["choices"][0]
            refusal = first["refusal"] if target in ("anthropic_messages", "gemini_generate") else ""
            assert same["text"] == first["text"] + refusal, (exchange["id"], target)
            assert [told(call, target) for call in same["tool_calls"]] == [
                told(call, target) for call in first["tool_calls"]
            ], (exchange["id"], target)


# How each dialect writes that there are none.
NO_ARGUMENTS = {"anthropic_messages": ("null",), "gemini_generate": ("null", "{}")}


def told(call: dict[str, Any], target: str) -> str:
    """The arguments of a call; no arguments are no text in Messages, and an empty object elsewhere."""
    text = str(call["arguments"]).strip()
    value = load_lenient(text)
    if target == "gemini_generate":
        # An object there, whose spacing is nobody's; what was cut off stands in it as it is.
        text = str(value.get("_raw") or dump_text(value)).strip() if isinstance(value, dict) else text
    return "" if text in NO_ARGUMENTS.get(target, ("{}",)) else text


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_known_request_is_understood_and_can_be_written_for_both(dialect: str) -> None:
    for exchange in exchanges(dialect):
        request = exchange["request"]
        if not request["known"] or exchange["response"]["status"] != 200 or not isinstance(request["body"], dict):
            continue
        # Azure has the model in the path.
        body = json.dumps({"model": "x", **request["body"]}).encode()
        try:
            conversation = codec_for(dialect).decode_request(body)
        except ProtocolError as error:
            raise AssertionError((exchange["id"], error.problem.message)) from None
        for codec in CODECS.values():
            encoded = codec.encode_request(conversation, upstream_model="x", max_output_tokens=None)
            codec.decode_request(encoded.body, Target("x") if codec.dialect == "gemini_generate" else NO_TARGET)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_refusal_is_typed(dialect: str) -> None:
    for exchange in exchanges(dialect):
        status = exchange["response"]["status"]
        if status == 200:
            continue
        failure = codec_for(dialect).decode_failure(status, {}, replayer().response_bytes(exchange))
        kinds = {401: {"credential"}, 403: {"credential"}, 404: {"not_found"}, 429: {"rate_limited"}}
        kinds[400] = {"bad_request", "context_length", "not_found"}
        assert failure.kind in kinds.get(status, {"server_error"}), (exchange["id"], failure.kind)
