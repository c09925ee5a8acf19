"""Whole replies: body to reply and back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.protocol.anthropic_messages.turns import arguments_object
from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Citation, JsonObject, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.gemini_generate.citations import count_searches, read_citations, write_citations
from gateway.protocol.gemini_generate.names import DIALECT, inner, listed, string
from gateway.protocol.gemini_generate.parts import add_signed, inline, opaque
from gateway.protocol.gemini_generate.seals import bare_signature, write_signature
from gateway.protocol.gemini_generate.usage import read_usage, tier_of, write_usage
from gateway.protocol.gemini_generate.words import BLOCKED, read_finish, write_finish
from gateway.protocol.json_text import dump, dump_text, load_reply, unreadable_reply
from gateway.protocol.reply import Choice, FinishReason, Reply
from gateway.protocol.tool_names import ToolNames, call_as_function


def decode_reply(body: bytes) -> Reply:
    """Raises ProtocolError of kind upstream when the body is not a reply of this dialect."""
    source = load_reply(body)
    if not any(name in source for name in ("candidates", "promptFeedback", "usageMetadata")):
        raise unreadable_reply()
    candidates = listed(source, "candidates")
    choices = tuple(_decode_candidate(item, order) for order, item in enumerate(candidates))
    blocked = block_reason(source)
    if not choices and blocked:
        choices = (Choice(0, (), FinishReason.CONTENT_FILTER, native_finish=blocked),)
    searches = sum(count_searches(item) for item in candidates)
    return Reply(
        choices=choices,
        usage=read_usage(source.get("usageMetadata"), searches),
        upstream_id=string(source, "responseId"),
        upstream_model=string(source, "modelVersion"),
        service_tier=tier_of(source.get("usageMetadata")),
    )


def block_reason(source: JsonObject) -> str:
    """The native finish of a prompt that was blocked; "" for one that was not."""
    reason = string(inner(source, "promptFeedback"), "blockReason")
    return BLOCKED + reason if reason else ""


def index_of(candidate: JsonObject, order: int = 0) -> int:
    index = candidate.get("index")
    return index if type(index) is int and index >= 0 else order


def _decode_candidate(candidate: JsonObject, order: int) -> Choice:
    parts: list[Part] = []
    for item in listed(inner(candidate, "content"), "parts"):
        read_part(parts, item)
    native = string(candidate, "finishReason")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    return Choice(
        index=index_of(candidate, order),
        parts=_with_citations(parts, candidate),
        finish=read_finish(native, has_calls=has_calls) if native else None,
        native_finish=native,
    )


def read_part(parts: list[Part], item: JsonObject) -> None:
    """Adds a part of a provider's answer, after its signature."""
    signature = string(item, "thoughtSignature")
    text = item.get("text")
    if item.get("thought") is True and isinstance(text, str):
        if text or signature:
            parts.append(Reasoning(text, signature or None, origin=DIALECT))
    elif isinstance(text, str):
        add_signed(parts, Text(text) if text else None, signature)
    elif isinstance(item.get("functionCall"), dict):
        call = item["functionCall"]
        name, call_id = string(call, "name"), string(call, "id")
        arguments = dump_text(inner(call, "args"))
        add_signed(parts, ToolCall(call_id, name, arguments), signature)
    elif isinstance(item.get("inlineData"), dict):
        value = item["inlineData"]
        add_signed(parts, inline(string(value, "data"), string(value, "mimeType")), signature)
    elif item:
        parts.append(opaque(item))


def _with_citations(parts: list[Part], candidate: JsonObject) -> tuple[Part, ...]:
    """Offsets count the whole text, so texts that were cut are joined where there are sources."""
    text = "".join(part.text for part in parts if isinstance(part, Text))
    citations = read_citations(candidate, text)
    if not citations or not text:
        return tuple(parts)
    first = next(place for place, part in enumerate(parts) if isinstance(part, Text))
    rest = [part for part in parts[first + 1 :] if not isinstance(part, Text)]
    return (*parts[:first], Text(text, citations=citations), *rest)


def encode_reply(reply: Reply, context: ReplyContext) -> bytes:
    usage = write_usage(reply.usage.usage, context.extra_usage) if reply.usage else estimated_usage(context)
    if reply.service_tier is not None:
        usage["serviceTier"] = reply.service_tier
    return dump(
        {
            "candidates": [_encode_choice(choice, context) for choice in reply.choices],
            "usageMetadata": usage,
            "modelVersion": context.model,
            "responseId": context.response_id,
        }
    )


def estimated_usage(context: ReplyContext) -> dict[str, Any]:
    return {
        "promptTokenCount": context.input_tokens,
        "totalTokenCount": context.input_tokens,
        **context.extra_usage,
    }


def _encode_choice(choice: Choice, context: ReplyContext) -> dict[str, Any]:
    text = ""
    citations: list[Citation] = []
    for part in choice.parts:
        if isinstance(part, Text):
            citations.extend(_shifted(citation, len(text)) for citation in part.citations)
            text += part.text
    return {
        "content": {"role": "model", "parts": _encode_parts(choice.parts, context)},
        "finishReason": write_finish(choice.finish),
        "index": choice.index,
        **write_citations(citations, text),
    }


def _shifted(citation: Citation, size: int) -> Citation:
    if citation.start is None or citation.end is None:
        return citation
    return replace(citation, start=citation.start + size, end=citation.end + size)


def _encode_parts(parts: tuple[Part, ...], context: ReplyContext) -> list[dict[str, Any]]:
    names = ToolNames.of(context.conversation)
    written: list[dict[str, Any]] = []
    pending = ""
    for order, part in enumerate(parts):
        if isinstance(part, Reasoning) and part.origin == DIALECT and not part.text:
            if pending and part.signature:
                written.append(bare_signature(pending))
            pending = part.signature or pending
            continue
        wire = _encode_part(part, made_up_id(context, order), names)
        if wire is None:
            continue
        if pending and "thoughtSignature" not in wire:
            wire["thoughtSignature"] = pending
            pending = ""
        written.append(wire)
    return [*written, bare_signature(pending)] if pending else written


def _encode_part(part: Part, call_id: str, names: ToolNames) -> dict[str, Any] | None:
    if isinstance(part, Text | Refusal):
        return {"text": part.text} if part.text else None
    if isinstance(part, ToolCall):
        return encode_call(part, call_id, names)
    if isinstance(part, Reasoning):
        return encode_thought(part)
    return dict(part.value) if isinstance(part, Opaque) and part.origin == DIALECT else None


def encode_thought(piece: Reasoning) -> dict[str, Any] | None:
    signature = write_signature(piece)
    if not piece.text and not signature:
        return None
    thought: dict[str, Any] = {"text": piece.text, "thought": True}
    return {**thought, "thoughtSignature": signature} if signature else thought


def encode_call(call: ToolCall, made_up: str, names: ToolNames) -> dict[str, Any]:
    """Arguments that are no JSON object stand under ``_raw``, as the model wrote them."""
    plain = call_as_function(call)
    tool = names.find(plain.name)
    return {
        "functionCall": {
            "id": plain.id or made_up,
            "name": plain.name if tool is None else tool.name,
            "args": arguments_object(plain.arguments),
        }
    }


def made_up_id(context: ReplyContext, order: int) -> str:
    """An id for a call whose provider gave none."""
    return f"call_{context.response_id}_{order}"
