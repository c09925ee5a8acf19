"""Content blocks to parts."""

from __future__ import annotations

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.citations import read_citations
from gateway.protocol.conversation import (
    NOTHING,
    File,
    Image,
    JsonObject,
    Opaque,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from gateway.protocol.envelope import is_sealed, unseal
from gateway.protocol.json_text import dump_text

DIALECT = "anthropic_messages"


def decode_content(source: JsonObject, name: str, where: str) -> tuple[Part, ...]:
    """A field that holds text or a list of blocks."""
    content = source.get(name)
    if isinstance(content, str):
        return (Text(content),) if content else ()
    blocks = fields.objects(source, name, where)
    return tuple(decode_block(block, f"{where}{name}[{index}].") for index, block in enumerate(blocks))


def decode_block(block: JsonObject, where: str) -> Part:
    kind = fields.required_text(block, "type", where)
    if kind == "text":
        return _decode_text(block, where)
    if kind == "tool_use":
        return _decode_call(block, where)
    if kind == "tool_result":
        return _decode_result(block, where)
    if kind == "thinking":
        return _decode_thinking(block, where)
    if kind == "redacted_thinking":
        return Reasoning(redacted=fields.required_text(block, "data", where), origin=DIALECT)
    if kind in ("image", "document"):
        return _decode_media(block, kind, where)
    return Opaque(origin=DIALECT, kind=kind, value=block)


def _decode_thinking(block: JsonObject, where: str) -> Reasoning:
    """Thinking without a signature is of another maker, and so is what we sealed."""
    text = fields.text(block, "thinking", where) or ""
    signature = fields.text(block, "signature", where)
    if not signature or is_sealed(signature):
        return unseal(signature, text) or Reasoning(text)
    return Reasoning(text, signature, origin=DIALECT)


def _decode_text(block: JsonObject, where: str) -> Text:
    extras = fields.rest(block, ("type", "text", "cache_control"))
    text = fields.required_text(block, "text", where)
    return Text(
        text,
        citations=read_citations(block.get("citations"), len(text)),
        cache=fields.cache_lifetime(block, where),
        extras=extras,
        origin=DIALECT if extras else "",
    )


def _decode_call(block: JsonObject, where: str) -> ToolCall:
    extras = fields.rest(block, ("type", "id", "name", "input", "cache_control"))
    return ToolCall(
        id=fields.required_text(block, "id", where),
        name=fields.required_text(block, "name", where),
        arguments=dump_text(fields.obj(block, "input", where) or {}),
        cache=fields.cache_lifetime(block, where),
        extras=extras,
        origin=DIALECT if extras else "",
    )


def _decode_result(block: JsonObject, where: str) -> ToolResult:
    parts = decode_content(block, "content", where)
    return ToolResult(
        call_id=fields.required_text(block, "tool_use_id", where),
        parts=tuple(part for part in parts if isinstance(part, Text | Image | File | Opaque)),
        is_error=fields.flag(block, "is_error", where) or False,
        cache=fields.cache_lifetime(block, where),
    )


def _decode_media(block: JsonObject, kind: str, where: str) -> Part:
    source = fields.obj(block, "source", where) or NOTHING
    where += "source."
    form = fields.text(source, "type", where)
    cache = fields.cache_lifetime(block, where)
    url = fields.required_text(source, "url", where) if form == "url" else None
    data = fields.required_text(source, "data", where) if form in ("base64", "text") else None
    media_type = fields.text(source, "media_type", where)
    if form not in ("url", "base64", "text"):
        return Opaque(origin=DIALECT, kind=kind, value=block)
    if kind == "image":
        return Image(url=url, data=data, media_type=media_type, cache=cache)
    extras = fields.rest(block, ("type", "source", "title", "cache_control"))
    return File(
        url=url,
        data=data if form == "base64" else None,
        text=data if form == "text" else None,
        media_type=media_type if form == "base64" else None,
        name=fields.text(block, "title", where),
        cache=cache,
        extras=extras,
        origin=DIALECT if extras else "",
    )
