"""The OpenAI Chat Completions dialect: read and check a request, write a reply, a stream or an error. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.sandbox.answers import Answer, Block, Reply
from gateway.sandbox.openai_request import read
from gateway.sandbox.question import Question, Refused
from gateway.sandbox.wire import Frame, sse

__all__ = [
    "NAME",
    "broken_frame",
    "error_frame",
    "fault",
    "frames",
    "headers",
    "no_key",
    "problem",
    "read",
    "unknown_model",
    "whole",
]

NAME = "openai_chat"
CREATED = 1767225600  # 2026-01-01: the same request has the same answer, its time included

# status -> message, type, code. Some quote a key, an organization or a prompt size, as the vendors' own do.
_FAULTS: dict[int, tuple[str, str, str | None]] = {
    400: (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in {tokens} tokens. "
        "Please reduce the length of the messages.",
        "invalid_request_error",
        "context_length_exceeded",
    ),
    401: ("Incorrect API key provided: sk-sandb****************5eed.", "invalid_request_error", "invalid_api_key"),
    402: ("Insufficient Balance", "unknown_error", "invalid_request_error"),
    403: ("Project org-sandbox5eed does not have access to this model.", "invalid_request_error", "permission_denied"),
    404: ("The model does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"),
    413: ("Request entity too large.", "invalid_request_error", None),
    429: (
        "Rate limit reached in organization org-sandbox5eed on requests per min (RPM): Limit 3, Used 3.",
        "requests",
        "rate_limit_exceeded",
    ),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
    529: ("Overloaded", "server_error", "overloaded"),
}
_TYPES = {400: "invalid_request_error", 401: "invalid_request_error", 404: "invalid_request_error"}


def fault(status: int, question: Question, retry_after: int | None) -> Refused:
    message, _, code = _FAULTS.get(status, (f"The sandbox was asked to fail with {status}.", "", None))
    tokens = sum(part.tokens for part in question.segments) + 8192
    return Refused(status, message.format(tokens=tokens), code=code, retry_after=retry_after)


def unknown_model(model: str) -> Refused:
    message = f"The model `{model[:80]}` does not exist or you do not have access to it."
    return Refused(404, message, code="model_not_found")


def no_key() -> Refused:
    return Refused(401, "You didn't provide an API key.", code="invalid_api_key")


def problem(refused: Refused, seed: str) -> dict[str, Any]:
    kind = _TYPES.get(refused.status)
    if kind is None:
        kind = _FAULTS[refused.status][1] if refused.status in _FAULTS else _kind_of(refused.status)
    return {"error": {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}}


def _kind_of(status: int) -> str:
    return "server_error" if status >= 500 else "invalid_request_error"


def headers(seed: str) -> dict[str, str]:
    return {"x-request-id": f"req_{seed[:32]}", "openai-processing-ms": "1", "openai-version": "2020-10-01"}


def whole(reply: Reply) -> dict[str, Any]:
    choices = [
        {"index": at, "message": _message(reply, at), "logprobs": None, "finish_reason": _finish(reply.answer)}
        for at in range(reply.question.choices)
    ]
    body = _envelope(reply, "chat.completion", choices)
    if reply.usage:
        body["usage"] = _usage(reply)
    return body


def _envelope(reply: Reply, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{reply.seed[:29]}",
        "object": kind,
        "created": CREATED,
        "model": reply.question.model,
        "system_fingerprint": "fp_sandbox",
        "choices": choices,
    }


def _message(reply: Reply, choice: int) -> dict[str, Any]:
    blocks = reply.answer.blocks
    text = "".join(block.content for block in blocks if block.kind == "text")
    reasoning = "".join(block.content for block in blocks if block.kind == "reasoning")
    calls = [block for block in blocks if block.kind == "call"]
    message: dict[str, Any] = {"role": "assistant", "content": text or None, "refusal": None}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [
            {"id": _call_id(reply, choice, at), **_call(call, call.content)} for at, call in enumerate(calls)
        ]
    return message


def _call(block: Block, content: str) -> dict[str, Any]:
    if block.custom:
        return {"type": "custom", "custom": {"name": block.name, "input": content}}
    return {"type": "function", "function": {"name": block.name, "arguments": content}}


def _call_id(reply: Reply, choice: int, at: int) -> str:
    return f"call_{reply.seed[32:52]}{choice:02d}{at:02d}"


def _finish(answer: Answer) -> str | None:
    return {"none": None, "stop_sequence": "stop"}.get(answer.finish, answer.finish)


def _usage(reply: Reply) -> dict[str, Any]:
    output = reply.answer.output_tokens * reply.question.choices
    return {
        "prompt_tokens": reply.prompt.total,
        "completion_tokens": output,
        "total_tokens": reply.prompt.total + output,
        "prompt_tokens_details": {"cached_tokens": reply.prompt.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.answer.reasoning_tokens * reply.question.choices,
            "audio_tokens": 0,
        },
    }


def frames(reply: Reply) -> Iterator[Frame]:
    """Roles, then the pieces of all choices in turn, the finish of each, the usage if asked for, [DONE]."""
    with_usage = reply.usage and reply.question.stream_usage
    choices = range(reply.question.choices)
    for choice in choices:
        yield _chunk(reply, choice, {"role": "assistant", "content": "", "refusal": None}, None, with_usage)
    for delta, content in _deltas(reply):
        for choice in choices:
            yield _chunk(reply, choice, _with_call_id(reply, choice, delta), None, with_usage, content=content)
    finish = _finish(reply.answer)
    if finish is not None:
        for choice in choices:
            yield _chunk(reply, choice, {}, finish, with_usage)
    if with_usage:
        yield Frame(sse({**_envelope(reply, "chat.completion.chunk", []), "usage": _usage(reply)}))
    yield Frame(b"data: [DONE]\n\n")


def _deltas(reply: Reply) -> Iterator[tuple[dict[str, Any], bool]]:
    calls = 0
    for block in reply.answer.blocks:
        if block.kind != "call":
            key = "content" if block.kind == "text" else "reasoning_content"
            yield from (({key: piece}, True) for piece in block.pieces)
            continue
        yield {"tool_calls": [{"index": calls, **_call(block, "")}]}, False
        kind, payload = ("custom", "input") if block.custom else ("function", "arguments")
        yield from (({"tool_calls": [{"index": calls, kind: {payload: p}}]}, True) for p in block.pieces)
        calls += 1


def _with_call_id(reply: Reply, choice: int, delta: dict[str, Any]) -> dict[str, Any]:
    """The id comes only with the first delta of a call, and differs from choice to choice."""
    if "tool_calls" not in delta or "type" not in delta["tool_calls"][0]:
        return delta
    start = delta["tool_calls"][0]
    return {"tool_calls": [{**start, "id": _call_id(reply, choice, start["index"])}]}


def _chunk(
    reply: Reply, choice: int, delta: dict[str, Any], finish: str | None, with_usage: bool, *, content: bool = False
) -> Frame:
    body = _envelope(
        reply, "chat.completion.chunk", [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    )
    if with_usage:
        body["usage"] = None  # as the vendor does in all chunks but the last, once usage was asked for
    return Frame(sse(body), content)


def error_frame(reply: Reply, sent: int) -> Frame:
    message, kind, code = _FAULTS[500]
    return Frame(sse({"error": {"message": message, "type": kind, "param": None, "code": code}}))


def broken_frame() -> Frame:
    return Frame(
        b'data: {"id":"chatcmpl-broken","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"con\n\n'
    )
