"""The Anthropic Messages dialect: write a reply, a stream or an error. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway.sandbox.answers import Block, Reply
from gateway.sandbox.anthropic_request import read, signature_of
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

NAME = "anthropic_messages"

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "stop_sequence": "stop_sequence",
    "none": None,
}
# Some quote a key or an organization, as the vendor's own do.
_FAULTS: dict[int, str] = {
    400: "prompt is too long: {tokens} tokens > 8192 maximum",
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the API of organization org-sandbox5eed.",
    403: "Your API key sk-sandbox-5eed does not have permission to use the specified resource.",
    404: "model: not found",
    413: "Request exceeds the maximum size",
    429: "This request would exceed the rate limit of your organization (org-sandbox5eed) of 3 requests per minute.",
    500: "Internal server error",
    503: "Service unavailable",
    504: "Request timed out",
    529: "Overloaded",
}
_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def fault(status: int, question: Question, retry_after: int | None) -> Refused:
    tokens = sum(part.tokens for part in question.segments) + 8192
    message = _FAULTS.get(status, f"The sandbox was asked to fail with {status}.")
    return Refused(status, message.format(tokens=tokens), retry_after=retry_after)


def unknown_model(model: str) -> Refused:
    return Refused(404, f"model: {model[:80]}")


def no_key() -> Refused:
    return Refused(401, "x-api-key header is required")


def problem(refused: Refused, seed: str) -> dict[str, Any]:
    kind = _TYPES.get(refused.status, "invalid_request_error" if refused.status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": _request_id(seed)}


def headers(seed: str) -> dict[str, str]:
    return {"request-id": _request_id(seed), "anthropic-organization-id": "org-sandbox5eed"}


def _request_id(seed: str) -> str:
    return f"req_{seed[:24]}"


def whole(reply: Reply) -> dict[str, Any]:
    content = [_block(reply, at, block, empty=False) for at, block in enumerate(reply.answer.blocks)]
    message = _message(reply, content)
    message["stop_reason"], message["stop_sequence"] = _stop_reason(reply), reply.answer.stop_sequence
    if reply.usage:
        message["usage"] = _usage(reply)
    return message


def _message(reply: Reply, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": f"msg_{reply.seed[:24]}",
        "type": "message",
        "role": "assistant",
        "model": reply.question.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
    }


def _stop_reason(reply: Reply) -> str | None:
    return _STOP_REASONS[reply.answer.finish]


def _block(reply: Reply, at: int, block: Block, *, empty: bool) -> dict[str, Any]:
    if block.kind == "text":
        return {"type": "text", "text": "" if empty else block.content}
    if block.kind == "reasoning":
        signature = "" if empty else signature_of(block.content)
        return {"type": "thinking", "thinking": "" if empty else block.content, "signature": signature}
    arguments = {} if empty else _arguments(block)
    return {"type": "tool_use", "id": f"toolu_{reply.seed[32:54]}{at:02d}", "name": block.name, "input": arguments}


def _arguments(block: Block) -> Any:
    """Arguments cut by the limit are no JSON; the vendor then has an empty object."""
    try:
        return json.loads(block.content)
    except ValueError:
        return {}


def _usage(reply: Reply) -> dict[str, Any]:
    prompt = reply.prompt
    return {
        "input_tokens": prompt.uncached,
        "cache_creation_input_tokens": prompt.cache_write + prompt.cache_write_long,
        "cache_read_input_tokens": prompt.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": prompt.cache_write,
            "ephemeral_1h_input_tokens": prompt.cache_write_long,
        },
        "output_tokens": reply.answer.output_tokens,
        "output_tokens_details": {"thinking_tokens": reply.answer.reasoning_tokens},
        "service_tier": "standard",
    }


def frames(reply: Reply) -> Iterator[Frame]:
    """The message's start, each block with its start, deltas and stop, the message's delta and stop."""
    message = _message(reply, [])
    if reply.usage:
        # The vendor's first figure for the output is a placeholder.
        message["usage"] = {**_usage(reply), "output_tokens": min(1, reply.answer.output_tokens)}
        del message["usage"]["output_tokens_details"]
    yield _event("message_start", message=message)
    for at, block in enumerate(reply.answer.blocks):
        yield from _block_frames(reply, at, block)
    finish: dict[str, Any] = {"stop_reason": _stop_reason(reply), "stop_sequence": reply.answer.stop_sequence}
    if reply.answer.finish != "none":
        if reply.usage:
            yield _event("message_delta", delta=finish, usage=_final_usage(reply))
        else:
            yield _event("message_delta", delta=finish)
    yield _event("message_stop")


def _final_usage(reply: Reply) -> dict[str, Any]:
    usage = _usage(reply)
    keys = (
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
        "output_tokens_details",
    )
    return {key: usage[key] for key in keys}


def _block_frames(reply: Reply, at: int, block: Block) -> Iterator[Frame]:
    yield _event("content_block_start", index=at, content_block=_block(reply, at, block, empty=True))
    if at == 0:
        yield _event("ping")
    for piece in block.pieces:
        yield _event("content_block_delta", content=True, index=at, delta=_delta(block, piece))
    if block.kind == "reasoning":
        delta = {"type": "signature_delta", "signature": signature_of(block.content)}
        yield _event("content_block_delta", index=at, delta=delta)
    yield _event("content_block_stop", index=at)


def _delta(block: Block, piece: str) -> dict[str, Any]:
    if block.kind == "text":
        return {"type": "text_delta", "text": piece}
    if block.kind == "reasoning":
        return {"type": "thinking_delta", "thinking": piece}
    return {"type": "input_json_delta", "partial_json": piece}


def _event(kind: str, *, content: bool = False, **fields: Any) -> Frame:
    return Frame(sse({"type": kind, **fields}, kind), content)


def error_frame(reply: Reply, sent: int) -> Frame:
    return _event("error", error={"type": "overloaded_error", "message": _FAULTS[529]})


def broken_frame() -> Frame:
    return Frame(
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_del\n\n'
    )
