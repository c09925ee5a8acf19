"""The OpenAI Responses dialect: write a response, an error or the envelope of a stream. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.sandbox import openai_wire
from gateway.sandbox.answers import Block, Reply
from gateway.sandbox.question import Question, Refused
from gateway.sandbox.responses_items import encrypted
from gateway.sandbox.responses_request import read
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

NAME = "openai_responses"
headers = openai_wire.headers
no_key = openai_wire.no_key
problem = openai_wire.problem

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_OVERFLOW = "Your input exceeds the context window of this model. Please adjust your input and try again."
_PREFIXES = {"reasoning": "rs", "text": "msg", "call": "fc"}


def fault(status: int, question: Question, retry_after: int | None) -> Refused:
    if status == 400:
        return Refused(400, _OVERFLOW, code="context_length_exceeded", param="input")
    return openai_wire.fault(status, question, retry_after)


def unknown_model(model: str) -> Refused:
    message = f"The requested model '{model[:80]}' does not exist."
    return Refused(400, message, code="model_not_found", param="model")


def whole(reply: Reply) -> dict[str, Any]:
    return _response(reply, _status(reply), _output(reply))


def _status(reply: Reply) -> str:
    if reply.answer.finish in _INCOMPLETE:
        return "incomplete"
    return "in_progress" if reply.answer.finish == "none" else "completed"


def _response(reply: Reply, status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    question, ended = reply.question, status in ("completed", "incomplete")
    reason = _INCOMPLETE.get(reply.answer.finish) if status == "incomplete" else None
    return {
        "id": f"resp_{reply.seed[:48]}",
        "object": "response",
        "created_at": openai_wire.CREATED,
        "status": status,
        "background": False,
        "completed_at": openai_wire.CREATED if status == "completed" else None,
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "instructions": None,
        "max_output_tokens": question.max_tokens,
        "max_tool_calls": None,
        "model": question.model,
        "output": output,
        "parallel_tool_calls": question.parallel,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": "medium" if question.reasoning else "none", "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": not question.sealed,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(reply) if ended and reply.usage else None,
        "user": None,
        "metadata": {},
    }


def _usage(reply: Reply) -> dict[str, Any]:
    output = reply.answer.output_tokens
    return {
        "input_tokens": reply.prompt.total,
        "input_tokens_details": {"cached_tokens": reply.prompt.cache_read},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reply.answer.reasoning_tokens},
        "total_tokens": reply.prompt.total + output,
    }


def _output(reply: Reply) -> list[dict[str, Any]]:
    last = len(reply.answer.blocks) - 1
    cut = _status(reply) == "incomplete"
    return [
        _item(reply, at, block, "incomplete" if cut and at == last else "completed")
        for at, block in enumerate(reply.answer.blocks)
    ]


def _item_id(reply: Reply, at: int, block: Block) -> str:
    return f"{'ctc' if block.custom else _PREFIXES[block.kind]}_{reply.seed[:46]}{at:02d}"


def _item(reply: Reply, at: int, block: Block, status: str) -> dict[str, Any]:
    """An item; without its content while it is in progress."""
    item_id, begun = _item_id(reply, at, block), status == "in_progress"
    content = "" if begun else block.content
    if block.kind == "text":
        parts = [] if begun else [_text_part(content)]
        return {"id": item_id, "type": "message", "status": status, "content": parts, "role": "assistant"}
    if block.kind == "reasoning":
        shown = reply.question.thoughts and not begun
        item = {"id": item_id, "type": "reasoning", "summary": [_summary_part(content)] if shown else []}
        if reply.question.sealed:
            # What comes with the beginning of an item is not yet what must be sent back, as with the vendor.
            item["encrypted_content"] = encrypted(f"{item_id} begun" if begun else item_id)
        return item
    call = {"call_id": f"call_{reply.seed[32:54]}{at:02d}", "name": block.name}
    if block.tool and block.tool.namespace:
        call["namespace"] = block.tool.namespace
    kind, payload = ("custom_tool_call", "input") if block.custom else ("function_call", "arguments")
    return {"id": item_id, "type": kind, "status": status, payload: content, **call}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _summary_part(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def frames(reply: Reply) -> Iterator[Frame]:
    """All events, numbered from 0; the last says how it ended, unless nothing ended it."""
    for number, (event, content) in enumerate(_events(reply)):
        kind = event["type"]
        yield Frame(sse({**event, "sequence_number": number}, kind), content)


def _events(reply: Reply) -> Iterator[tuple[dict[str, Any], bool]]:
    begun = _response(reply, "in_progress", [])
    yield {"type": "response.created", "response": begun}, False
    yield {"type": "response.in_progress", "response": begun}, False
    output = _output(reply)
    for at, (block, item) in enumerate(zip(reply.answer.blocks, output, strict=True)):
        added = _item(reply, at, block, "in_progress")
        yield {"type": "response.output_item.added", "output_index": at, "item": added}, False
        for name, fields, content in _block_events(reply, block):
            yield {"type": f"response.{name}", "item_id": item["id"], "output_index": at, **fields}, content
        yield {"type": "response.output_item.done", "output_index": at, "item": item}, False
    status = _status(reply)
    if status != "in_progress":
        yield {"type": f"response.{status}", "response": _response(reply, status, output)}, False


_BlockEvent = tuple[str, dict[str, Any], bool]


def _block_events(reply: Reply, block: Block) -> Iterator[_BlockEvent]:
    """The name of each event, its fields, and whether there is content inside."""
    if block.kind == "text":
        place = {"content_index": 0}
        yield "content_part.added", {**place, "part": _text_part("")}, False
        yield from _deltas("output_text", block, {**place, "logprobs": []})
        yield "output_text.done", {**place, "text": block.content, "logprobs": []}, False
        yield "content_part.done", {**place, "part": _text_part(block.content)}, False
    elif block.kind == "call":
        name, payload = (
            ("custom_tool_call_input", "input") if block.custom else ("function_call_arguments", "arguments")
        )
        yield from _deltas(name, block, {})
        yield f"{name}.done", {payload: block.content}, False
    elif reply.question.thoughts:
        place = {"summary_index": 0}
        yield "reasoning_summary_part.added", {**place, "part": _summary_part("")}, False
        yield from _deltas("reasoning_summary_text", block, place)
        yield "reasoning_summary_text.done", {**place, "text": block.content}, False
        yield "reasoning_summary_part.done", {**place, "part": _summary_part(block.content)}, False


def _deltas(name: str, block: Block, fields: dict[str, Any]) -> Iterator[_BlockEvent]:
    """Each with a field that hides its length from those who watch the network, as the vendor's have."""
    for piece in block.pieces:
        yield f"{name}.delta", {**fields, "delta": piece, "obfuscation": "x" * (16 - len(piece) % 16)}, True


def error_frame(reply: Reply, sent: int) -> Frame:
    """An error and, as the vendor does, the failed response behind it."""
    refused = openai_wire.fault(500, reply.question, None)
    error = {"type": "server_error", "code": "server_error", "message": refused.message, "param": None}
    failed = {
        **_response(reply, "failed", []),
        "error": {"code": "server_error", "message": refused.message},
    }
    first = sse({"type": "error", "sequence_number": sent, "error": error}, "error")
    last = {"type": "response.failed", "sequence_number": sent + 1, "response": failed}
    return Frame(first + sse(last, "response.failed"))


def broken_frame() -> Frame:
    return Frame(
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","output_index":0,"del\n\n'
    )
