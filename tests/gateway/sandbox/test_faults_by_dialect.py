"""Every fault in every dialect, byte for byte over plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

TURN: Any = {"role": "user", "content": "Hello"}
SPOKEN = "Hello from the sandbox."  # five tokens, after which a fault comes


@dataclass(frozen=True)
class Dialect:
    """`text` reads what an event says; `ended` tells whether the stream ended well."""

    path: str
    body: dict[str, Any]
    text: Callable[[Any], str]
    ended: Callable[[str], bool]
    model_in_path: bool = False

    def request(self, url: str, model: str, *, stream: bool) -> dict[str, Any]:
        if self.model_in_path:
            method = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return {"url": f"{url}{self.path}/{model}:{method}", "json": self.body}
        return {"url": url + self.path, "json": {**self.body, "model": model, "stream": stream}}


def _gemini_text(event: Any) -> str:
    return "".join(part["text"] for part in event["candidates"][0]["content"].get("parts", []))


DIALECTS = {
    "chat": Dialect(
        "/v1/chat/completions",
        {"messages": [TURN]},
        lambda event: event["choices"][0]["delta"].get("content", ""),
        lambda sse: sse.endswith("data: [DONE]\n\n"),
    ),
    "responses": Dialect(
        "/v1/responses",
        {"input": [TURN]},
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        lambda sse: "event: response.completed\n" in sse,
    ),
    "messages": Dialect(
        "/v1/messages",
        {"messages": [TURN], "max_tokens": 100},
        lambda event: event.get("delta", {}).get("text", ""),
        lambda sse: "event: message_stop\n" in sse,
    ),
    "gemini": Dialect(
        "/v1beta/models",
        {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        _gemini_text,
        lambda sse: '"finishReason":"STOP"' in sse,
        model_in_path=True,
    ),
}


@pytest.fixture(params=DIALECTS.values(), ids=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Dialect:
    found: Dialect = request.param
    return found


def _read(url: str, dialect: Dialect, model: str, **options: Any) -> tuple[str, bool]:
    """What came of a stream, and whether the connection broke."""
    received = b""
    try:
        with httpx2.stream("POST", **dialect.request(url, model, stream=True), **options) as answer:
            assert answer.status_code == 200
            for chunk in answer.iter_bytes():
                received += chunk
    except httpx2.TransportError:
        return received.decode(), True
    return received.decode(), False


def _events(sse: str) -> Iterator[Any]:
    for line in sse.splitlines():
        if line.startswith("data: {"):
            try:
                yield json.loads(line[6:])
            except ValueError:
                return


def _said(dialect: Dialect, sse: str) -> str:
    return "".join(dialect.text(event) for event in _events(sse) if "error" not in event)


def test_a_stream_ends_well_without_a_fault(sandbox_url: str, dialect: Dialect) -> None:
    sse, broken = _read(sandbox_url, dialect, "sandbox-echo")
    assert (_said(dialect, sse), broken) == (f"{SPOKEN} You said: Hello", False)
    assert dialect.ended(sse)


@pytest.mark.parametrize("model", ["sandbox-cut", "sandbox-stall;stall_ms=1"])
def test_a_cut_stream_ends_without_an_end(sandbox_url: str, dialect: Dialect, model: str) -> None:
    sse, broken = _read(sandbox_url, dialect, model)
    assert (_said(dialect, sse), broken) == (SPOKEN, True)
    assert not dialect.ended(sse)


@pytest.mark.parametrize("after", [0, 2, 500])
def test_the_place_of_the_cut_can_be_chosen(sandbox_url: str, dialect: Dialect, after: int) -> None:
    sse, broken = _read(sandbox_url, dialect, f"sandbox-cut;words=9;after={after}")
    assert (len(_said(dialect, sse).split()), broken) == (min(after, 9), True)
    assert not dialect.ended(sse)


def test_hidden_thoughts_do_not_hide_the_cut(sandbox_url: str, dialect: Dialect) -> None:
    sse, broken = _read(sandbox_url, dialect, "sandbox-reasoning;reasoning=50;words=3;fail=cut;after=500")
    assert broken
    assert not dialect.ended(sse)


def test_a_stalled_stream_says_nothing_more(sandbox_url: str, dialect: Dialect) -> None:
    sse, broken = _read(sandbox_url, dialect, "sandbox-stall", timeout=0.3)
    assert (_said(dialect, sse), broken) == (SPOKEN, True)


def test_a_malformed_event_is_no_json(sandbox_url: str, dialect: Dialect) -> None:
    sse, broken = _read(sandbox_url, dialect, "sandbox-malformed")
    assert (_said(dialect, sse), broken) == (SPOKEN, False)
    with pytest.raises(json.JSONDecodeError):
        json.loads(sse.strip().split("data: ")[-1])


# What stands before the error, and the word in it.
ERRORS = {
    "chat": ("data: ", "type", "server_error"),
    "responses": ("event: error\ndata: ", "code", "server_error"),
    "messages": ("event: error\ndata: ", "type", "overloaded_error"),
    "gemini": ("\r\n\r\n", "status", "UNAVAILABLE"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_an_error_in_the_stream_has_the_vendors_shape(sandbox_url: str, name: str) -> None:
    before, field, word = ERRORS[name]
    sse, broken = _read(sandbox_url, DIALECTS[name], "sandbox-error-in-stream")
    assert (_said(DIALECTS[name], sse), broken) == (SPOKEN, False)
    assert not DIALECTS[name].ended(sse)
    last, _ = json.JSONDecoder().raw_decode(sse.rpartition(before)[2])
    assert last["error"][field] == word


def test_the_failed_response_comes_behind_the_error_and_is_numbered_on(sandbox_url: str) -> None:
    sse, _ = _read(sandbox_url, DIALECTS["responses"], "sandbox-error-in-stream")
    events = list(_events(sse))
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["status"] == "failed"
    assert events[-1]["response"]["error"]["code"] == "server_error"


def test_an_error_without_a_stream_is_500(sandbox_url: str, dialect: Dialect) -> None:
    answer = httpx2.post(**dialect.request(sandbox_url, "sandbox-error-in-stream", stream=False))
    assert answer.status_code == 500


def test_a_cut_answer_is_shorter_than_promised(sandbox_url: str, dialect: Dialect) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        httpx2.post(**dialect.request(sandbox_url, "sandbox-cut", stream=False))


def test_a_malformed_answer_is_no_json(sandbox_url: str, dialect: Dialect) -> None:
    answer = httpx2.post(**dialect.request(sandbox_url, "sandbox-malformed", stream=False))
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def _usage(body: Any) -> Any:
    return body.get("usage") or body.get("usageMetadata")


def test_an_empty_answer_says_and_counts_nothing(sandbox_url: str, dialect: Dialect) -> None:
    sse, broken = _read(sandbox_url, dialect, "sandbox-empty")
    assert (_said(dialect, sse), broken) == ("", False)
    assert dialect.ended(sse)
    body = httpx2.post(**dialect.request(sandbox_url, "sandbox-empty", stream=False)).json()
    assert not any(value for value in _usage(body).values() if isinstance(value, int))


def test_usage_can_be_left_out(sandbox_url: str, dialect: Dialect) -> None:
    body = httpx2.post(**dialect.request(sandbox_url, "sandbox-no-usage", stream=False)).json()
    assert _usage(body) is None
    sse, _ = _read(sandbox_url, dialect, "sandbox-no-usage")
    assert not any(_usage(event) or _usage(event.get("response", {})) for event in _events(sse))


def _error(url: str, name: str, model: str) -> tuple[httpx2.Response, Any]:
    answer = httpx2.post(**DIALECTS[name].request(url, model, stream=True))
    return answer, answer.json()["error"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "context_length_exceeded", "invalid_request_error"),
        (401, "invalid_api_key", "invalid_request_error"),
        (402, "invalid_request_error", "unknown_error"),
        (429, "rate_limit_exceeded", "requests"),
        (500, None, "server_error"),
        (529, "overloaded", "server_error"),
    ],
)
def test_a_status_is_answered_in_the_shape_of_responses(
    sandbox_url: str, status: int, code: str | None, kind: str
) -> None:
    answer, error = _error(sandbox_url, "responses", f"sandbox-fail-{status}")
    assert (answer.status_code, error["code"], error["type"]) == (status, code, kind)
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (503, "UNAVAILABLE"),
        (504, "DEADLINE_EXCEEDED"),
        (529, "UNKNOWN"),
    ],
)
def test_a_status_is_answered_in_the_gemini_shape(sandbox_url: str, status: int, word: str) -> None:
    answer, error = _error(sandbox_url, "gemini", f"sandbox-echo;fail={status}")
    assert (answer.status_code, error["code"], error["status"]) == (status, status, word)
    assert error["message"]


def test_gemini_says_in_the_body_when_to_come_back(sandbox_url: str) -> None:
    answer, error = _error(sandbox_url, "gemini", "sandbox-fail-429;retry_after=25")
    assert "retry-after" not in answer.headers
    assert error["details"] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "25s"}]


def test_faults_are_counted_and_begin_again_after_a_success(sandbox_url: str, dialect: Dialect) -> None:
    request = dialect.request(sandbox_url, "sandbox-echo;fail=503x2,500x1;first_ms=1", stream=False)
    assert [httpx2.post(**request).status_code for _ in range(5)] == [503, 503, 500, 200, 503]


def test_options_may_stand_in_the_header(sandbox_url: str, dialect: Dialect) -> None:
    sse, _ = _read(sandbox_url, dialect, "sandbox-fail-500", headers={"x-sandbox": "fail=500x0;words=3"})
    assert _said(dialect, sse) == "lorem ipsum dolor"


@pytest.mark.parametrize("name", DIALECTS)
def test_a_key_may_be_required(sandbox_url: str, name: str) -> None:
    request = DIALECTS[name].request(sandbox_url, "sandbox-echo;auth=required", stream=False)
    assert httpx2.post(**request).status_code == (403 if name == "gemini" else 401)
    for header in ("authorization", "x-api-key", "x-goog-api-key"):
        assert httpx2.post(**request, headers={header: "x"}).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses",
        "/v1/embeddings",
        "/v1beta/models/sandbox-echo:generateContent",
        "/v1beta/models/sandbox-echo:countTokens",
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"model": 1}',
        b'{"model": "sandbox-echo", "input": [1], "contents": [1]}',
        b'{"model": "sandbox-echo", "input": "x", "tools": 7, "contents": {"parts": 7}}',
        b'{"model": "sandbox-echo", "input": [{"role": "user", "content": [[]]}], "contents": [{"parts": [[]]}]}',
    ],
)
def test_a_body_that_is_no_request_is_400(sandbox_url: str, path: str, body: bytes) -> None:
    answer = httpx2.post(f"{sandbox_url}{path}", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
