"""Faults that the sandbox makes on purpose, as the official packages see them."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest

HELLO: Any = [{"role": "user", "content": "Hello"}]


def _chat(client: openai.OpenAI, model: str, **body: Any) -> Any:
    return client.chat.completions.create(model=model, messages=HELLO, **body)


def _message(client: anthropic.Anthropic, model: str, **body: Any) -> Any:
    return client.messages.create(model=model, messages=HELLO, max_tokens=100, **body)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 429, 500, 529])
def test_a_status_is_answered_in_the_openai_shape(openai_client: openai.OpenAI, status: int, stream: bool) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        _chat(openai_client, f"sandbox-fail-{status}", stream=stream)
    assert caught.value.status_code == status
    assert caught.value.type
    assert caught.value.response.headers.get("retry-after") == ("1" if status == 429 else None)
    if status == 400:
        assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_a_status_is_answered_in_the_anthropic_shape(
    anthropic_client: anthropic.Anthropic, status: int, kind: str
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        _message(anthropic_client, f"sandbox-fail-{status}")
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.response.headers.get("retry-after") == ("1" if status == 429 else None)


def test_faults_are_counted_and_begin_again_after_a_success(openai_client: openai.OpenAI) -> None:
    statuses = []
    for _ in range(8):
        try:
            _chat(openai_client, "sandbox-echo;fail=500x2,429", user="counted")
        except openai.APIStatusError as error:
            statuses.append(error.status_code)
    assert statuses == [500, 500, *[429] * 6]
    seen = []
    for _ in range(4):
        try:
            seen.append(_chat(openai_client, "sandbox-echo;fail=503x1", user="again").choices[0].finish_reason)
        except openai.APIStatusError as error:
            seen.append(error.status_code)
    assert seen == [503, "stop", 503, "stop"]


def test_a_retry_of_the_official_package_gets_through(openai_client: openai.OpenAI) -> None:
    client = openai_client.with_options(max_retries=2)
    assert _chat(client, "sandbox-echo;fail=500x1;retry_after=0", user="retry").choices[0].finish_reason == "stop"


def test_the_header_overrules_the_name(openai_client: openai.OpenAI) -> None:
    answer = _chat(openai_client, "sandbox-fail-500;words=9", extra_headers={"x-sandbox": "fail=500x0;words=3"})
    assert answer.choices[0].message.content == "lorem ipsum dolor"


@pytest.mark.parametrize(
    "option", ["colour=red", "fail=200", "fail=500y", "words=-1", "cached=2", "cached=nan", "words"]
)
def test_an_option_that_it_does_not_know_is_400(openai_client: openai.OpenAI, option: str) -> None:
    with pytest.raises(openai.BadRequestError, match="Sandbox"):
        _chat(openai_client, f"sandbox-echo;{option}")


def test_a_key_may_be_required(sandbox_url: str) -> None:
    body = {"model": "sandbox-echo;auth=required", "messages": HELLO}
    statuses = [
        httpx2.post(f"{sandbox_url}/v1/chat/completions", json=body, headers=headers).status_code
        for headers in ({}, {"authorization": "Bearer x"}, {"x-api-key": "x"})
    ]
    assert statuses == [401, 200, 200]


def _read(client: openai.OpenAI, model: str, **body: Any) -> tuple[str, str | None]:
    """The text that arrived before the stream broke, and the error's class."""
    text = ""
    try:
        for chunk in _chat(client, model, stream=True, **body):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
    except (openai.APIError, httpx2.HTTPError, json.JSONDecodeError) as error:
        return text, type(error).__name__
    return text, None


def test_a_cut_stream_ends_without_an_end(openai_client: openai.OpenAI) -> None:
    text, error = _read(openai_client, "sandbox-cut")
    assert text == "Hello from the sandbox."
    assert error is not None


@pytest.mark.parametrize("after", [0, 2])
def test_the_place_of_the_cut_can_be_chosen(sandbox_url: str, after: int) -> None:
    body = {"model": f"sandbox-cut;after={after};words=9", "messages": HELLO, "stream": True}
    received = b""
    with (
        pytest.raises(httpx2.RemoteProtocolError),
        httpx2.stream("POST", f"{sandbox_url}/v1/chat/completions", json=body) as answer,
    ):
        for chunk in answer.iter_bytes():
            received += chunk
    deltas = [json.loads(line[6:])["choices"][0] for line in received.split(b"\n") if line.startswith(b"data: ")]
    assert sum(bool(one["delta"].get("content")) for one in deltas) == after
    assert not any(one["finish_reason"] for one in deltas)


def test_a_cut_answer_is_shorter_than_promised(sandbox_url: str) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(f"{sandbox_url}/v1/chat/completions", json={"model": "sandbox-cut", "messages": HELLO})


def test_an_error_in_the_stream_raises_in_both_packages(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    assert _read(openai_client, "sandbox-error-in-stream") == ("Hello from the sandbox.", "APIError")
    with pytest.raises(anthropic.APIStatusError) as caught:
        list(_message(anthropic_client, "sandbox-error-in-stream", stream=True))
    assert caught.value.type == "overloaded_error"


def test_a_malformed_event_is_no_json(openai_client: openai.OpenAI) -> None:
    assert _read(openai_client, "sandbox-malformed") == ("Hello from the sandbox.", "JSONDecodeError")


def test_a_stalled_stream_says_nothing_more(openai_client: openai.OpenAI) -> None:
    text, error = _read(openai_client, "sandbox-stall", timeout=0.3)
    assert text == "Hello from the sandbox."
    assert error is not None


def test_a_stall_ends_when_its_time_is_over(openai_client: openai.OpenAI) -> None:
    text, error = _read(openai_client, "sandbox-stall;stall_ms=1;after=1")
    assert text == "Hello"
    assert error is not None


def test_an_empty_answer_has_no_usage_to_pay_for(
    openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic
) -> None:
    answer = _chat(openai_client, "sandbox-empty")
    assert answer.choices[0].message.content is None
    assert answer.usage.total_tokens == 0
    message = _message(anthropic_client, "sandbox-empty")
    assert message.content == []
    assert (message.usage.input_tokens, message.usage.output_tokens) == (0, 0)
    assert _read(openai_client, "sandbox-empty") == ("", None)


def test_an_answer_may_have_no_finish(openai_client: openai.OpenAI) -> None:
    chunks = list(_chat(openai_client, "sandbox-echo;finish=none", stream=True))
    assert not any(choice.finish_reason for chunk in chunks for choice in chunk.choices)


def test_usage_can_be_left_out(openai_client: openai.OpenAI, anthropic_client: anthropic.Anthropic) -> None:
    assert _chat(openai_client, "sandbox-no-usage").usage is None
    chunks = list(_chat(openai_client, "sandbox-no-usage", stream=True, stream_options={"include_usage": True}))
    assert not any(chunk.usage for chunk in chunks)
    events = list(_message(anthropic_client, "sandbox-no-usage", stream=True))
    assert events[-1].type == "message_stop"
    assert events[0].message.usage is None


def test_a_client_that_leaves_a_stalled_stream_does_not_hold_the_sandbox(
    sandbox_url: str, openai_client: openai.OpenAI
) -> None:
    for _ in range(5):
        assert _read(openai_client, "sandbox-stall", timeout=0.1)[1] is not None
    assert httpx2.get(f"{sandbox_url}/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/images", 404), ("HEAD", "/healthz", 200)],
)
def test_other_paths_and_methods_are_refused(sandbox_url: str, method: str, path: str, status: int) -> None:
    assert httpx2.request(method, f"{sandbox_url}{path}").status_code == status


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"model": 1}', b'{"model": "sandbox-echo", "messages": [1]}']
)
def test_a_body_that_is_no_request_is_400(sandbox_url: str, path: str, body: bytes) -> None:
    answer = httpx2.post(f"{sandbox_url}{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
