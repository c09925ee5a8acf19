from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.dialects import CODECS, codec_of
from gateway.protocol.failures import decode_failure, failure_in_stream
from gateway.protocol.problem import STATUS_OF, Problem, UpstreamFailure

SHAPES: list[tuple[str, int, Any, str, str]] = [
    # (what, status, body, kind, code)
    (
        "OpenAI, bad key",
        401,
        {"error": {"message": "Incorrect API key provided: sk-abc", "code": "invalid_api_key"}},
        "credential",
        "invalid_api_key",
    ),
    (
        "OpenAI, quota",
        429,
        {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
        "credit",
        "insufficient_quota",
    ),
    (
        "OpenAI, rate",
        429,
        {"error": {"message": "Rate limit", "type": "requests", "code": "rate_limit_exceeded"}},
        "rate_limited",
        "rate_limit_exceeded",
    ),
    (
        "OpenAI, context",
        400,
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
        "context_length",
        "context_length_exceeded",
    ),
    (
        "OpenAI, model",
        404,
        {"error": {"message": "no", "code": "model_not_found"}},
        "not_found",
        "model_not_found",
    ),
    (
        "Anthropic, overloaded",
        529,
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        "overloaded",
        "overloaded_error",
    ),
    (
        "Anthropic, too long",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"},
        },
        "context_length",
        "invalid_request_error",
    ),
    (
        "Anthropic, no credit",
        400,
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access"},
        },
        "credit",
        "invalid_request_error",
    ),
    (
        "Gemini, bad key",
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "API key not valid.",
                    "status": "INVALID_ARGUMENT",
                    "details": [{"reason": "API_KEY_INVALID"}],
                }
            }
        ],
        "credential",
        "invalid_argument",
    ),
    (
        "Mistral, flat",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "param": None, "code": "1500"},
        "not_found",
        "",
    ),
    ("Mistral, detail", 401, {"detail": "Unauthorized"}, "credential", ""),
    (
        "xAI",
        400,
        {"code": "invalid-argument", "error": "Incorrect API key provided: xa***"},
        "credential",
        "invalid_argument",
    ),
    (
        "Groq",
        400,
        {"error": {"message": "failed", "type": "invalid_request_error", "code": "tool_use_failed"}},
        "bad_request",
        "tool_use_failed",
    ),
    (
        "OpenRouter, wrapped",
        400,
        {
            "error": {
                "code": 400,
                "message": "Provider returned error",
                "metadata": {"raw": "maximum context length is 8 tokens"},
            }
        },
        "context_length",
        "",
    ),
    (
        "Perplexity",
        401,
        {"error": {"message": "no", "type": "invalid_api_key", "code": 401}},
        "credential",
        "invalid_api_key",
    ),
    ("Azure", 401, {"error": {"code": "401", "message": "Access denied"}}, "credential", ""),
    (
        "Azure, filter",
        400,
        {
            "error": {
                "code": "content_filter",
                "message": "filtered",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        "content_policy",
        "content_filter",
    ),
    ("Cohere", 404, {"message": "model not found"}, "not_found", ""),
    ("Ollama", 404, {"error": "model 'x' not found"}, "not_found", ""),
    ("xAI, policy", 403, {"error": "Content violates usage guidelines."}, "content_policy", ""),
    (
        "api_error with a 401",
        401,
        {"error": {"type": "api_error", "message": "Unauthorized"}},
        "credential",
        "api_error",
    ),
    ("a page", 502, "<html>Bad gateway</html>", "server_error", ""),
    ("nothing", 500, "", "server_error", ""),
    ("payment", 402, {}, "credit", ""),
    ("busy", 503, {"error": None}, "overloaded", ""),
    ("too large", 413, {}, "bad_request", ""),
    ("odd", 302, {}, "server_error", ""),
]


def as_bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES]
)
def test_every_shape_of_refusal_is_understood(status: int, body: Any, kind: str, code: str) -> None:
    for codec in CODECS.values():
        failure = codec.decode_failure(status, {}, as_bytes(body))
        assert (failure.status, failure.kind, failure.code) == (status, kind, code)


@pytest.mark.parametrize(
    ("status", "headers", "body", "seconds"),
    [
        (429, {"retry-after": "7"}, {}, 7),
        (429, {"retry-after": "0.2"}, {}, 1),
        (429, {"retry-after-ms": "1500", "retry-after": "9"}, {}, 2),
        (503, {"retry-after": "9999999"}, {}, 86400),
        (429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
        (429, {"retry-after": "-1"}, {}, None),
        (429, {"retry-after": "nan"}, {}, None),
        (400, {"retry-after": "7"}, {}, None),
        (429, {}, {"error": {"details": [{"retryDelay": "24.5s"}]}}, 25),
        (429, {}, {"error": {"details": [{"retryDelay": "soon"}, None]}}, None),
    ],
)
def test_the_wait_is_whole_seconds(status: int, headers: dict[str, str], body: Any, seconds: int | None) -> None:
    assert decode_failure(status, headers, as_bytes(body)).retry_after_s == seconds


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"error": {"message": "x", "type": "invalid_request_error", "status_code": 400}}, "bad_request"),
        ({"error": {"code": 400, "message": "Token limit reached"}}, "context_length"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "overloaded"),
        ({"type": "error", "error": {"type": "rate_limit_error", "message": "x"}}, "rate_limited"),
        ({"error": {"code": "429", "message": "x"}}, "rate_limited"),
        ({"response": {"error": {"code": "server_error", "message": "x"}}}, "server_error"),
        ([{"error": {"code": 503, "status": "UNAVAILABLE"}}], "overloaded"),
        ({"error": "something"}, "server_error"),
        ([], "server_error"),
        (None, "server_error"),
    ],
)
def test_an_error_in_a_stream_is_understood(value: Any, kind: str) -> None:
    failure = failure_in_stream(value)
    assert (failure.status, failure.kind) == (200, kind)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429, 500, 503, 529])
def test_a_provider_s_trouble_is_never_the_caller_s_fault(status: int) -> None:
    failure = decode_failure(status, {}, as_bytes({"error": {"message": "key sk-proj-abcdefgh is wrong"}}))
    problem = failure.as_problem()
    assert problem.status in (502, 503)
    assert "sk-proj" not in problem.message


def test_the_caller_s_mistake_is_told_in_the_provider_s_words_without_secrets() -> None:
    body = {"error": {"message": "Bad image for org-abcdef123 with key sk-****wxyz, see https://x.example/y"}}
    problem = decode_failure(400, {}, as_bytes(body)).as_problem()
    assert problem.status == 400
    assert problem.message.startswith("Bad image for […] with key […]")
    assert "org-abc" not in problem.message
    assert "https" not in problem.message


def test_a_failure_does_not_show_its_message() -> None:
    assert "secret prompt" not in repr(UpstreamFailure(400, "bad_request", message="secret prompt"))
    assert UpstreamFailure(400, "bad_request").as_problem().message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "details", "status", "metadata", "raw", "retryDelay"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, st.integers(300, 599))
def test_no_body_breaks_the_reading_of_a_failure(value: Any, status: int) -> None:
    decode_failure(status, {}, as_bytes(value)).as_problem()
    failure_in_stream(value).as_problem()


@pytest.mark.parametrize("kind", sorted(STATUS_OF))
def test_every_problem_has_its_shape_in_both_dialects(kind: Any) -> None:
    problem = Problem(kind=kind, message="No.", details={"scope": "wallet"})
    chat = json.loads(codec_of("openai_chat").encode_problem(problem, "req-1"))
    assert set(chat) == {"error"}
    assert {"message", "type", "param", "code", "scope"} == set(chat["error"])
    assert chat["error"]["message"] == "No."
    messages = json.loads(codec_of("anthropic_messages").encode_problem(problem, "req-1"))
    assert messages["type"] == "error"
    assert messages["request_id"] == "req-1"
    assert messages["error"]["message"] == "No."
    assert messages["error"]["details"] == {"scope": "wallet"}


def test_no_credit_is_said_in_the_words_that_clients_know() -> None:
    problem = Problem(kind="payment_required", message="Top up.")
    assert problem.status == 402
    assert json.loads(codec_of("openai_chat").encode_problem(problem, ""))["error"]["code"] == "insufficient_quota"
    assert json.loads(codec_of("anthropic_messages").encode_problem(problem, ""))["error"]["type"] == "billing_error"
