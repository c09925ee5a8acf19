"""POST /v1/embeddings: what is read of a request and a reply, and vectors in the encoding that was asked for."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from gateway.protocol.embeddings import reply as replies
from gateway.protocol.embeddings import request as requests
from gateway.protocol.failures import decode_failure
from gateway.protocol.problem import ProtocolError
from tests.gateway.protocol import replaying

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "corpus" / "exchanges" / "openai_embeddings"
VECTOR = [0.5, -0.25, 0.125]
KINDS = {
    400: ("bad_request", "not_found"),
    401: ("credential",),
    404: ("not_found",),
    500: ("server_error",),
}
PACKED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


def decode(**body: Any) -> requests.EmbeddingRequest:
    return requests.decode(json.dumps({"model": "m", **body}).encode())


def reply_of(vector: Any, **further: Any) -> bytes:
    data = [{"object": "embedding", "index": 0, "embedding": vector, "own": 1}]
    return json.dumps({"object": "list", "data": data, "model": "upstream-1", **further}).encode()


@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ("one text", ("one text",)),
        (["one", "two"], ("one", "two")),
        ([1, 2, 3], ((1, 2, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_inputs_are_texts_or_arrays_of_tokens(value: Any, inputs: Any) -> None:
    assert decode(input=value).inputs == inputs


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": ["fine", ""]}, "input", "invalid_value"),
        ({"input": [[1], []]}, "input[1]", "invalid_value"),
        ({"input": ["x"] * 2049}, "input", "invalid_value"),
        ({"input": [[1]] * 2049}, "input", "invalid_value"),
        ({"input": 7}, "input", "invalid_type"),
        ({"input": {"text": "x"}}, "input", "invalid_type"),
        ({"input": ["x", 1]}, "input[0]", "invalid_type"),
        ({"input": [[1], [True]]}, "input[1]", "invalid_type"),
        ({"input": [[1, -1]]}, "input[0]", "invalid_type"),
        ({"input": "x", "dimensions": 0}, "dimensions", "invalid_type"),
        ({"input": "x", "encoding_format": 1}, "encoding_format", "invalid_type"),
        ({"input": "x", "user": []}, "user", "invalid_type"),
        ({"input": "x", "model": None}, "model", "missing_required_parameter"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_field(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode(**body)
    problem = caught.value.problem
    assert (problem.kind, problem.param, problem.code) == ("invalid_request", param, code)


def test_the_largest_request_is_taken() -> None:
    assert len(decode(input=["x"] * 2048).inputs) == 2048
    assert len(decode(input=list(range(8191))).inputs) == 1


def test_the_estimate_is_above_what_providers_count() -> None:
    assert decode(input="Tell me a joke about opentelemetry").prompt_tokens_upper >= 8
    assert decode(input=["Ruby", "Python", "Rust"]).prompt_tokens_upper >= 3 * 3
    assert decode(input=[[1] * 100, [2] * 50]).prompt_tokens_upper >= 150
    assert decode(input=["ab", "c"]).characters == 3


def test_the_provider_gets_the_callers_body_with_its_own_name_of_the_model() -> None:
    asked = decode(input=["a"], encoding_format="base64", dimensions=256, input_type="query", provider={"only": ["x"]})
    assert asked.routing == {"provider": {"only": ["x"]}}
    encoded = requests.splice(asked, "maker/embed-1")
    assert encoded.path == "/embeddings"
    assert json.loads(encoded.body) == {
        "model": "maker/embed-1",
        "input": ["a"],
        "encoding_format": "base64",
        "dimensions": 256,
        "input_type": "query",
    }


@pytest.mark.parametrize(("asked", "vector"), [(None, VECTOR), ("float", VECTOR), ("base64", PACKED)])
def test_an_answer_as_asked_keeps_its_bytes(asked: str | None, vector: Any) -> None:
    body = b" " + reply_of(vector)
    assert replies.answer(body, decode(input="x", encoding_format=asked), "public/m") == body


@pytest.mark.parametrize(("asked", "vector", "wanted"), [("float", PACKED, VECTOR), ("base64", VECTOR, PACKED)])
def test_an_answer_in_the_other_encoding_is_converted(asked: str, vector: Any, wanted: Any) -> None:
    body = reply_of(vector, usage={"prompt_tokens": 3}, own=True)
    for parsed in ({}, replies.read(body).source):
        answer = replies.answer(body, decode(input="x", encoding_format=asked), "public/m", parsed)
        assert json.loads(answer) == {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": wanted, "own": 1}],
            "model": "public/m",
            "usage": {"prompt_tokens": 3},
            "own": True,
        }


@pytest.mark.parametrize(
    ("asked", "vector"),
    [
        ("float", "no base64!"),
        ("float", "AAA="),
        ("base64", ["x"]),
        ("base64", [1e300]),
        ("int8", VECTOR),
        (None, PACKED),
    ],
)
def test_what_cannot_be_converted_stays_as_it_is(asked: str | None, vector: Any) -> None:
    body = reply_of(vector)
    assert replies.answer(body, decode(input="x", encoding_format=asked), "public/m") == body


@pytest.mark.parametrize(
    ("usage", "tokens", "flags"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, 8, ()),
        ({"prompt_tokens": 8, "completion_tokens": 0, "total_tokens": 8}, 8, ()),
        ({"total_tokens": 18}, 18, ()),
        ({"prompt_tokens": 8, "total_tokens": 9}, 8, ("total_mismatch",)),
        ({"prompt_tokens": "8"}, 8, ("odd_number",)),
        ({"prompt_tokens": -8}, 0, ("clamped",)),
    ],
)
def test_all_tokens_of_a_reply_are_input(usage: Any, tokens: int, flags: tuple[str, ...]) -> None:
    report = replies.read(reply_of(VECTOR, usage=usage)).usage
    assert report is not None
    assert report.usage.as_dict() == {**({"input": tokens} if tokens else {}), "request": 1}
    assert report.flags == flags


@pytest.mark.parametrize("usage", [None, {}, [], 7])
def test_a_reply_without_counts_has_no_usage(usage: Any) -> None:
    assert replies.read(reply_of(VECTOR, usage=usage)).usage is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": {}}', b'{"data": [1]}', b"\xff"])
def test_what_is_no_list_of_vectors_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        replies.read(body)
    assert caught.value.problem.kind == "upstream"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not beside this checkout")
def test_every_recorded_exchange_is_understood() -> None:
    seen = 0
    for exchange in replaying.load(CORPUS):
        body, status = replaying.response_bytes(exchange), exchange["response"]["status"]
        if status != 200:
            failure = decode_failure(status, {}, body)
            assert failure.kind in KINDS[status], exchange["id"]
            continue
        if "input" not in (exchange["request"]["body"] or {}):
            continue  # another API's: Ollama's own, a usage report
        asked = requests.decode(json.dumps({"model": "x", **exchange["request"]["body"]}).encode())
        reply = replies.read(body)
        assert reply.usage is not None and reply.usage.flags == (), exchange["id"]
        assert len(asked.inputs) == reply.count, exchange["id"]
        assert reply.usage.usage.prompt_size <= asked.prompt_tokens_upper, exchange["id"]
        assert replies.answer(body, asked, "public/m") == body, exchange["id"]
        seen += 1
    assert seen >= 30
