"""Whole Messages replies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.citations import read_citations, write_citations
from gateway.protocol.anthropic_messages.seals import seal_block
from gateway.protocol.anthropic_messages.turns import arguments_object, plain_id
from gateway.protocol.anthropic_messages.usage import read_usage, write_usage
from gateway.protocol.anthropic_messages.words import read_finish, write_finish
from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import JsonObject, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.json_text import dump, dump_text, load_reply, unreadable_reply
from gateway.protocol.reply import Choice, Reply
from gateway.protocol.tool_names import ToolNames


def string(source: Mapping[str, Any], name: str) -> str:
    """The field if it is text, else ""."""
    value = source.get(name)
    return value if isinstance(value, str) else ""


def explanation_of(source: Mapping[str, Any]) -> str:
    """Why the provider refused, in the words that it has for the user; "" for an answer."""
    details = source.get("stop_details")
    return string(details, "explanation") if isinstance(details, Mapping) else ""


def stop_details(reason: str, explanation: str) -> dict[str, Any]:
    """The field ``stop_details``, to be merged in; empty for an answer that is no refusal."""
    if reason != "refusal":
        return {}
    return {"stop_details": {"type": "refusal", "category": None, "explanation": explanation or None}}


def tier_of(usage: Any) -> str | None:
    return (string(usage, "service_tier") or None) if isinstance(usage, Mapping) else None


def decode_reply(body: bytes) -> Reply:
    source = load_reply(body)
    content = source.get("content")
    if not isinstance(content, list):
        raise unreadable_reply()
    parts = tuple(_decode_block(block) for block in content if isinstance(block, dict))
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    native = string(source, "stop_reason")
    explanation = explanation_of(source)
    if explanation:
        parts = (*parts, Refusal(explanation))
    choice = Choice(
        index=0,
        parts=parts,
        finish=read_finish(native, has_calls=has_calls) if native else None,
        native_finish=native,
        stop_sequence=string(source, "stop_sequence") or None,
    )
    return Reply(
        choices=(choice,),
        usage=read_usage(source.get("usage")),
        upstream_id=string(source, "id"),
        upstream_model=string(source, "model"),
        service_tier=tier_of(source.get("usage")),
    )


def _decode_block(block: JsonObject) -> Part:
    kind = string(block, "type")
    if kind == "text":
        text = string(block, "text")
        extras = {"citations": block["citations"]} if block.get("citations") else {}
        citations = read_citations(block.get("citations"), len(text))
        return Text(text, extras=extras, origin=DIALECT if extras else "", citations=citations)
    if kind == "tool_use":
        arguments = block.get("input")
        text = dump_text(arguments) if isinstance(arguments, dict) else "{}"
        return ToolCall(string(block, "id"), string(block, "name"), text)
    if kind == "thinking":
        return Reasoning(string(block, "thinking"), signature=string(block, "signature") or None, origin=DIALECT)
    if kind == "redacted_thinking":
        return Reasoning(redacted=string(block, "data"), origin=DIALECT)
    return Opaque(origin=DIALECT, kind=kind, value=block)


def encode_reply(reply: Reply, context: ReplyContext) -> bytes:
    """One message from the first choice; this dialect has no others."""
    choice = reply.choices[0] if reply.choices else Choice(0, (), None)
    has_calls = any(isinstance(part, ToolCall) for part in choice.parts)
    usage = write_usage(reply.usage.usage, context.extra_usage) if reply.usage else estimated_usage(context)
    if reply.service_tier is not None:
        usage["service_tier"] = reply.service_tier
    names = ToolNames.of(context.conversation)
    parts = [names.restore(part) if isinstance(part, ToolCall) else part for part in choice.parts]
    blocks = [_encode_block(part, order, context) for order, part in enumerate(parts)]
    reason = write_finish(choice.finish, has_calls=has_calls, stop_sequence=choice.stop_sequence)
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal))
    return dump(
        {
            "id": context.response_id,
            "type": "message",
            "role": "assistant",
            "model": context.model,
            "content": [block for block in blocks if block is not None],
            "stop_reason": reason,
            "stop_sequence": choice.stop_sequence,
            **stop_details(reason, refusal),
            "usage": usage,
        }
    )


def estimated_usage(context: ReplyContext) -> dict[str, Any]:
    """Some clients break without a usage object, so there always is one."""
    return {"input_tokens": context.input_tokens, "output_tokens": 0, **context.extra_usage}


def _encode_block(part: Part, order: int, context: ReplyContext) -> dict[str, Any] | None:
    if isinstance(part, Text):
        extras = part.extras if part.origin == DIALECT else write_citations(part.citations)
        return {"type": "text", "text": part.text, **extras} if part.text else None
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, ToolCall):
        call_id = plain_id(part.id) if part.id else made_up_id(context, order)
        return {"type": "tool_use", "id": call_id, "name": part.name, "input": arguments_object(part.arguments)}
    if isinstance(part, Reasoning):
        return seal_block(part)
    if isinstance(part, Opaque) and part.origin == DIALECT:
        return dict(part.value)
    return None


def made_up_id(context: ReplyContext, order: int) -> str:
    """An id for a call whose provider gave none: the caller needs one to answer it."""
    return f"toolu_{plain_id(context.response_id)}_{order}"
