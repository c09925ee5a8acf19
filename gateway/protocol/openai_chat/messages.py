"""Chat messages to turns."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from gateway.protocol import fields
from gateway.protocol.conversation import (
    NOTHING,
    Audio,
    Citation,
    File,
    Image,
    JsonObject,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocol.openai_chat.citations import read_annotations
from gateway.protocol.openai_chat.reasoning import beside_calls, read_reasoning
from gateway.protocol.problem import invalid

DIALECT = "openai_chat"
_ROLES = ("system", "developer", "user", "assistant")
_MESSAGE_FIELDS = frozenset(
    [
        "role",
        "content",
        "name",
        "refusal",
        "tool_calls",
        "function_call",
        "tool_call_id",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "cache_control",
    ]
)


def decode_messages(messages: list[JsonObject]) -> tuple[Turn, ...]:
    return tuple(_decode_message(message, f"messages[{index}].") for index, message in enumerate(messages))


def _decode_message(message: JsonObject, where: str) -> Turn:
    role = fields.required_text(message, "role", where)
    parts = decode_content(message, where)
    extras = fields.rest(message, _MESSAGE_FIELDS)
    name = fields.text(message, "name", where)
    cache = fields.cache_lifetime(message, where)
    if role in ("tool", "function"):
        call_id = fields.text(message, "tool_call_id", where)
        if call_id is None:
            # The legacy form has no ids; a function's name stands in for one on both sides.
            call_id = name or ""
        result = ToolResult(call_id=call_id, parts=_result_parts(parts), cache=cache)
        return Turn(role="tool", parts=(result,), name=name, extras=extras)
    if role not in _ROLES:
        raise invalid(f"'{where}role' is not a known role.", param=where + "role", code="invalid_value")
    if role == "assistant":
        content = _with_citations(parts, read_annotations(message.get("annotations")))
        rest = (*content, *_refusal(message, where), *decode_calls(message, where))
        parts = beside_calls(read_reasoning(message), rest)
    return Turn(role=cast(Role, role), parts=_with_cache(parts, cache), name=name, extras=extras)


def _result_parts(parts: tuple[Part, ...]) -> tuple[Text | Image | File | Audio | Opaque, ...]:
    return tuple(part for part in parts if isinstance(part, Text | Image | File | Audio | Opaque))


def _with_citations(parts: tuple[Part, ...], citations: tuple[Citation, ...]) -> tuple[Part, ...]:
    """Citations of a message belong to its text."""
    last = parts[-1] if parts else None
    if not citations or not isinstance(last, Text):
        return parts
    return (*parts[:-1], replace(last, citations=citations))


def _with_cache(parts: tuple[Part, ...], cache: str | None) -> tuple[Part, ...]:
    """A breakpoint on the message moves to its last text."""
    if cache is None or not parts or not isinstance(parts[-1], Text):
        return parts
    return (*parts[:-1], replace(parts[-1], cache=cache))


def _refusal(message: JsonObject, where: str) -> tuple[Part, ...]:
    refusal = fields.text(message, "refusal", where)
    return (Refusal(refusal),) if refusal else ()


def decode_content(message: JsonObject, where: str) -> tuple[Part, ...]:
    content = message.get("content")
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if content is None:
        return ()
    parts: list[Part] = []
    for index, item in enumerate(fields.objects(message, "content", where)):
        parts.append(_decode_part(item, f"{where}content[{index}]."))
    return tuple(parts)


def _decode_part(item: JsonObject, where: str) -> Part:
    kind = fields.required_text(item, "type", where)
    if kind == "text":
        return Text(fields.required_text(item, "text", where), cache=fields.cache_lifetime(item, where))
    if kind == "image_url":
        return _decode_image(item, where)
    # Mistral has plain text here, a URL or base64: only its own servers know which.
    if kind == "input_audio" and not isinstance(item.get("input_audio"), str):
        audio = fields.obj(item, "input_audio", where) or NOTHING
        where += "input_audio."
        return Audio(fields.required_text(audio, "data", where), fields.required_text(audio, "format", where))
    if kind == "file":
        return _decode_file(item, where)
    if kind == "refusal":
        return Refusal(fields.required_text(item, "refusal", where))
    if kind == "thinking":
        return Reasoning(text=thinking_text(item), origin=DIALECT)
    return Opaque(origin=DIALECT, kind=kind, value=item)


def _decode_image(item: JsonObject, where: str) -> Image:
    value = item.get("image_url")
    source = {"url": value} if isinstance(value, str) else fields.obj(item, "image_url", where) or NOTHING
    url = fields.required_text(source, "url", where + "image_url.")
    detail = fields.text(source, "detail", where + "image_url.")
    cache = fields.cache_lifetime(item, where)
    inline = fields.data_url(url)
    if inline is None:
        return Image(url=url, detail=detail, cache=cache)
    return Image(media_type=inline[0], data=inline[1], detail=detail, cache=cache)


def _decode_file(item: JsonObject, where: str) -> File:
    source = fields.obj(item, "file", where) or NOTHING
    where += "file."
    name = fields.text(source, "filename", where)
    file_id = fields.text(source, "file_id", where)
    data = fields.text(source, "file_data", where)
    cache = fields.cache_lifetime(item, where)
    inline = fields.data_url(data) if data else None
    if inline is not None:
        return File(media_type=inline[0], data=inline[1], file_id=file_id, name=name, cache=cache)
    if data and data.startswith(("http://", "https://")):
        return File(url=data, file_id=file_id, name=name, cache=cache)
    return File(data=data, file_id=file_id, name=name, cache=cache)


def thinking_text(item: JsonObject) -> str:
    """Mistral's thinking part: text, or a list of text parts."""
    value = item.get("thinking")
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "".join(str(piece.get("text") or "") for piece in value if isinstance(piece, dict))


def decode_calls(message: JsonObject, where: str) -> tuple[Part, ...]:
    calls: list[Part] = []
    for index, item in enumerate(fields.objects(message, "tool_calls", where)):
        calls.append(_decode_call(item, f"{where}tool_calls[{index}]."))
    legacy = fields.obj(message, "function_call", where)
    if legacy is not None:
        name = fields.required_text(legacy, "name", where + "function_call.")
        calls.append(ToolCall(id=name, name=name, arguments=_arguments(legacy, where + "function_call.")))
    return tuple(calls)


def _decode_call(item: JsonObject, where: str) -> Part:
    custom = fields.obj(item, "custom", where) if item.get("type") == "custom" else None
    if custom is not None:
        return ToolCall(
            id=fields.text(item, "id", where) or "",
            name=fields.required_text(custom, "name", where + "custom."),
            arguments=fields.text(custom, "input", where + "custom.") or "",
            custom=True,
        )
    function = fields.obj(item, "function", where)
    if function is None:
        return Opaque(origin=DIALECT, kind=fields.text(item, "type", where) or "tool_call", value=item)
    extras = fields.rest(item, ("id", "type", "function", "index"))
    return ToolCall(
        id=fields.text(item, "id", where) or "",
        name=fields.required_text(function, "name", where + "function."),
        arguments=_arguments(function, where + "function."),
        extras=extras,
        origin=DIALECT if extras else "",
    )


def _arguments(function: JsonObject, where: str) -> str:
    return fields.text(function, "arguments", where) or ""
