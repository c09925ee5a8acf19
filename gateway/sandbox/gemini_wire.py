"""The Gemini dialect: write a reply, a stream with CRLF line ends, or an error. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.sandbox.answers import Block, Reply
from gateway.sandbox.gemini_request import read
from gateway.sandbox.question import Question, Refused
from gateway.sandbox.seals import seal
from gateway.sandbox.wire import Frame

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

NAME = "gemini_generate"

_FINISHES = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "none": None,
}
# Some quote a key or a project, as the vendor's own do.
_FAULTS: dict[int, str] = {
    400: "The input token count ({tokens}) exceeds the maximum number of tokens allowed (8192).",
    401: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential.",
    403: "Permission denied: Consumer 'projects/sandbox5eed' has been suspended.",
    404: "models/sandbox is not found for API version v1beta, or is not supported for generateContent.",
    429: "You exceeded your current quota, please check your plan and billing details. Quota exceeded for project "
    "sandbox5eed.",
    499: "The operation was cancelled.",
    500: "An internal error has occurred. Please retry.",
    503: "The model is overloaded. Please try again later.",
    504: "The request timed out. Please try again.",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def fault(status: int, question: Question, retry_after: int | None) -> Refused:
    tokens = sum(part.tokens for part in question.segments) + 8192
    message = _FAULTS.get(status, f"The sandbox was asked to fail with {status}.")
    return Refused(status, message.format(tokens=tokens), retry_after=retry_after)


def unknown_model(model: str) -> Refused:
    message = (
        f"models/{model[:80]} is not found for API version v1beta, or is not supported for generateContent. Call "
        "ListModels to see the list of available models and their supported methods."
    )
    return Refused(404, message)


def no_key() -> Refused:
    message = (
        "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
        "other form of API consumer identity to call this API."
    )
    return Refused(403, message)


def problem(refused: Refused, seed: str) -> dict[str, Any]:
    error: dict[str, Any] = {
        "code": refused.status,
        "message": refused.message,
        "status": _STATUSES.get(refused.status, "UNKNOWN"),
    }
    if refused.retry_after is not None:
        # The vendor says in the body when to come back, not in a header.
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{refused.retry_after}s"}
        error["details"] = [delay]
    return {"error": error}


def headers(seed: str) -> dict[str, str]:
    return {"server-timing": "gfet4t7; dur=1", "vary": "Origin, X-Origin, Referer"}


def whole(reply: Reply) -> dict[str, Any]:
    blocks = reply.answer.blocks
    parts = [part for at, block in enumerate(blocks) for part in _whole_parts(reply, at, block)]
    return _chunk(reply, parts, _finish(reply), reply.answer.output_tokens)


def _whole_parts(reply: Reply, at: int, block: Block) -> Iterator[dict[str, Any]]:
    """The parts of a block. The signature stands on the first call, else on the last text."""
    if block.kind == "reasoning":
        if reply.question.thoughts:
            yield {"text": block.content, "thought": True}
        return
    part = _call_part(block) if block.kind == "call" else {"text": block.content}
    if part is not None:
        yield {**part, **_signature(reply)} if _is_first_spoken(reply, at) else part


def _is_first_spoken(reply: Reply, at: int) -> bool:
    """Only one block of text is ever there, and it stands alone."""
    return all(block.kind == "reasoning" for block in reply.answer.blocks[:at])


def _signature(reply: Reply) -> dict[str, str]:
    return {"thoughtSignature": seal(reply.seed)} if reply.answer.reasoning_tokens else {}


def _call_part(block: Block) -> dict[str, Any] | None:
    """None for a call that the limit cut: the vendor shows only whole ones."""
    try:
        arguments = json.loads(block.content)
    except ValueError:
        return None
    return {"functionCall": {"name": block.name, "args": arguments}}


def _finish(reply: Reply) -> str | None:
    return _FINISHES[reply.answer.finish]


def _chunk(reply: Reply, parts: list[dict[str, Any]], finish: str | None, output: int) -> dict[str, Any]:
    """`output` is how many tokens have been made so far, the reasoning included."""
    content: dict[str, Any] = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    candidate: dict[str, Any] = {"content": content}
    if finish is not None:
        candidate["finishReason"] = finish
    body: dict[str, Any] = {"candidates": [{**candidate, "index": at} for at in range(reply.question.choices)]}
    if reply.usage:
        body["usageMetadata"] = _usage(reply, output)
    return {**body, "modelVersion": reply.question.model, "responseId": reply.seed[:23]}


def _usage(reply: Reply, output: int) -> dict[str, Any]:
    """Running totals. The thoughts are counted beside the text, never inside; what is zero is left out."""
    times = reply.question.choices
    thoughts = min(output, reply.answer.reasoning_tokens)
    text = (output - thoughts) * times
    usage: dict[str, Any] = {"promptTokenCount": reply.prompt.total}
    if text:
        usage["candidatesTokenCount"] = text
    usage["totalTokenCount"] = reply.prompt.total + output * times
    if reply.prompt.cache_read:
        usage["cachedContentTokenCount"] = reply.prompt.cache_read
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.prompt.cache_read}]
    usage["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.prompt.total}]
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts * times
    return usage


def frames(reply: Reply) -> Iterator[Frame]:
    """A chunk for each piece, a call in one; the last has the finish and, after thoughts, their signature."""
    signature = _signature(reply)
    for part, made in _parts(reply):
        if "functionCall" in part:
            part, signature = {**part, **signature}, {}
        yield _frame(_chunk(reply, [part], None, made), content=True)
    finish = _finish(reply)
    if finish is not None:
        parts = [{"text": "", **signature}] if reply.answer.blocks else []
        yield _frame(_chunk(reply, parts, finish, reply.answer.output_tokens))


def _parts(reply: Reply) -> Iterator[tuple[dict[str, Any], int]]:
    """What is shown, piece by piece, each with the number of tokens made up to it."""
    made = 0
    for block in reply.answer.blocks:
        if block.kind == "call":
            made += len(block.pieces)
            part = _call_part(block)
            if part is not None:
                yield part, made
            continue
        for piece in block.pieces:
            made += 1
            if block.kind == "text":
                yield {"text": piece}, made
            elif reply.question.thoughts:
                yield {"text": piece, "thought": True}, made


def _frame(body: dict[str, Any], *, content: bool = False) -> Frame:
    return Frame(b"data: " + orjson.dumps(body) + b"\r\n\r\n", content)


def error_frame(reply: Reply, sent: int) -> Frame:
    """A bare object over several lines, in the middle of the events and none itself, as the vendor sends it."""
    body = problem(Refused(503, _FAULTS[503]), reply.seed)
    return Frame(json.dumps(body, indent=2).encode() + b"\n")


def broken_frame() -> Frame:
    return Frame(b'data: {"candidates": [{"content": {"parts": [{"te\r\n\r\n')
