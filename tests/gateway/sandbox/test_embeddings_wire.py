"""The embeddings of the sandbox, through the official package."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import httpx2
import openai
import pytest


def _create(client: openai.OpenAI, **body: Any) -> Any:
    return client.embeddings.create(**{"model": "sandbox-embedding", "input": "Good day", **body})


def test_a_text_has_one_vector_of_length_one(openai_client: openai.OpenAI) -> None:
    answer = _create(openai_client)
    (found,) = answer.data
    assert (found.index, len(found.embedding)) == (0, 256)
    assert math.isclose(sum(value * value for value in found.embedding), 1, rel_tol=1e-5)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (2, 2)


def test_the_same_text_has_the_same_vector_and_another_one_another(openai_client: openai.OpenAI) -> None:
    one, two, other = _create(openai_client, input=["Good day", "Good day", "Good night"]).data
    assert one.embedding == two.embedding == _create(openai_client).data[0].embedding
    assert [one.index, two.index, other.index] == [0, 1, 2]
    assert abs(sum(a * b for a, b in zip(one.embedding, other.embedding, strict=True))) < 0.5


def test_numbers_and_base64_are_the_same_vector(openai_client: openai.OpenAI) -> None:
    numbers = _create(openai_client, encoding_format="float").data[0].embedding
    packed = _create(openai_client, encoding_format="base64").data[0].embedding
    assert struct.unpack("<256f", base64.b64decode(packed)) == tuple(numbers)


def test_a_shorter_vector_points_the_same_way(openai_client: openai.OpenAI) -> None:
    long, short = (_create(openai_client, dimensions=size).data[0].embedding for size in (512, 8))
    assert (len(long), len(short)) == (512, 8)
    assert all(math.isclose(a / long[0], b / short[0], rel_tol=1e-4) for a, b in zip(long, short, strict=False))


@pytest.mark.parametrize("given", [[1, 2, 3], [[1, 2], [3]]])
def test_token_numbers_are_an_input_and_are_counted(openai_client: openai.OpenAI, given: Any) -> None:
    answer = _create(openai_client, input=given)
    assert len(answer.data) == (1 if given == [1, 2, 3] else 2)
    assert answer.usage.prompt_tokens == 3


def test_the_options_of_the_sandbox_hold(openai_client: openai.OpenAI) -> None:
    assert _create(openai_client, model="sandbox-embedding;usage=none").usage is None
    with pytest.raises(openai.RateLimitError) as caught:
        _create(openai_client, model="sandbox-embedding;fail=429;retry_after=7")
    assert caught.value.response.headers["retry-after"] == "7"


def test_an_empty_answer_has_no_vector(openai_client: openai.OpenAI) -> None:
    # The official package refuses an answer without vectors.
    with pytest.raises(ValueError, match="No embedding data"):
        _create(openai_client, model="sandbox-embedding;fail=empty")


@pytest.mark.parametrize("model", ["text-nothing", "sandbox-echo"])
def test_a_model_without_vectors_is_404(openai_client: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        _create(openai_client, model=model)
    assert caught.value.code == "model_not_found"


def test_the_embedding_model_answers_no_chat(openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        openai_client.chat.completions.create(model="sandbox-embedding", messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    "body",
    [
        {"model": None},
        {"input": None},
        {"input": ""},
        {"input": []},
        {"input": ["a", ""]},
        {"input": ["a", 1]},
        {"input": [["a"]]},
        {"input": {"text": "a"}},
        {"input": ["a"] * 2049},
        {"input": "a " * 8193},
        {"dimensions": 0},
        {"dimensions": 5000},
        {"encoding_format": "hex"},
        {"stream": True},
    ],
)
def test_bad_requests_are_400(sandbox_url: str, body: dict[str, Any]) -> None:
    whole = {"model": "sandbox-embedding", "input": "Hi", **body}
    answer = httpx2.post(f"{sandbox_url}/v1/embeddings", json=whole)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
