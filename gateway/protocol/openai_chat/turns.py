"""Turns to chat messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import (
    Audio,
    Conversation,
    File,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocol.openai_chat.reasoning import write_reasoning
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.tool_names import call_as_function, flat_name

DIALECT = "openai_chat"
# Claude Code's first system block names its own version: noise to other makers, and poison to their prompt caches.
_BILLING_BLOCK = "x-anthropic-billing-header:"


def encode_turns(conversation: Conversation, dropped: list[str], quirks: Quirks = STANDARD) -> list[dict[str, Any]]:
    own = conversation.dialect in ("", DIALECT)
    writer = _Writer(own=own, keeps_cache=own or quirks.cache_hints, quirks=quirks, tools=bool(conversation.tools))
    messages: list[dict[str, Any]] = []
    for turn in conversation.turns:
        messages.extend(_encode_turn(turn, writer, dropped))
    return messages


@dataclass(frozen=True, slots=True)
class _Writer:
    """``own``: the caller spoke chat. ``tools``: tools are offered in this request."""

    own: bool
    keeps_cache: bool
    quirks: Quirks
    tools: bool


def _encode_turn(turn: Turn, writer: _Writer, dropped: list[str]) -> Iterable[dict[str, Any]]:
    parts: Sequence[Part] = turn.parts
    if not writer.own:
        parts = [part for part in parts if not (isinstance(part, Text) and part.text.startswith(_BILLING_BLOCK))]
        if turn.role == "system" and not parts:
            return
    results = [part for part in parts if isinstance(part, ToolResult)]
    if results:
        yield from _encode_results(results, turn, dropped, keeps_cache=writer.keeps_cache)
        parts = [part for part in parts if not isinstance(part, ToolResult)]
        if not parts:
            return
    message: dict[str, Any] = {"role": "user" if turn.role == "tool" else turn.role}
    if turn.role == "assistant":
        message.update(_assistant_fields(parts, writer, dropped))
    else:
        message["content"] = _content(parts, dropped, own=writer.keeps_cache)
    if not writer.own and not (message["content"] or message.get("tool_calls") or message.get("refusal")):
        # Nothing of it could be carried, and an empty message is refused.
        return
    if turn.name is not None:
        message["name"] = turn.name
    if writer.own:
        message.update(turn.extras)
    yield message


def _assistant_fields(parts: Sequence[Part], writer: _Writer, dropped: list[str]) -> dict[str, Any]:
    quirks = writer.quirks
    calls = [part for part in parts if isinstance(part, ToolCall)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    plain = [part for part in parts if not isinstance(part, Reasoning | ToolCall | Refusal)]
    odd_calls = [part for part in plain if isinstance(part, Opaque) and "function" not in part.value and _is_call(part)]
    plain = [part for part in plain if part not in odd_calls]
    content: Any = _content(plain, dropped, own=writer.keeps_cache) if plain else None
    thoughts = [part for part in parts if not isinstance(part, Reasoning) or _comes_back(part, writer)]
    message: dict[str, Any] = {"content": content}
    if quirks.reasoning_field == "content":
        message["content"] = _with_thinking(content, thoughts)
    elif quirks.reasoning_field:
        message.update(_reasoning_fields(thoughts, writer))
    if refusal:
        message["refusal"] = refusal
    encoded = [_encode_call(call, quirks) for call in calls] + [dict(part.value) for part in odd_calls]
    if encoded:
        message["tool_calls"] = encoded
    return message


def _comes_back(piece: Reasoning, writer: _Writer) -> bool:
    """Old reasoning of another maker is worth nothing to most, and its signature nothing to anybody else."""
    if writer.quirks.reasoning_back == "with_tools":
        return writer.tools
    signed = piece.signature is not None or piece.redacted is not None
    return piece.origin in ("", DIALECT) or (writer.quirks.signed_details and signed)


def _reasoning_fields(parts: Sequence[Part], writer: _Writer) -> dict[str, Any]:
    quirks = writer.quirks
    if quirks.signed_details:
        return write_reasoning(parts, quirks.reasoning_field)
    plain = [part if not isinstance(part, Reasoning) else _unsigned(part) for part in parts]
    return write_reasoning(plain, quirks.reasoning_field)


def _unsigned(piece: Reasoning) -> Reasoning:
    return piece if piece.origin in ("", DIALECT) else Reasoning(text=piece.text)


def _with_thinking(content: Any, parts: Sequence[Part]) -> Any:
    """Mistral's form: the reasoning is the first part of the content."""
    text = "".join(part.text for part in parts if isinstance(part, Reasoning))
    if not text:
        return content
    rest = [{"type": "text", "text": content}] if isinstance(content, str) and content else content or []
    return [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}, *rest]


def _is_call(part: Opaque) -> bool:
    """Whether this is a call of a kind that only chat knows."""
    return part.origin == DIALECT and part.kind in ("custom", "tool_call")


def _encode_call(call: ToolCall, quirks: Quirks) -> dict[str, Any]:
    if call.custom and quirks.custom_tools:
        name = flat_name(call.name, call.namespace)
        return {"id": call.id, "type": "custom", "custom": {"name": name, "input": call.arguments}}
    call = call_as_function(call)
    encoded: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if call.origin == DIALECT:
        encoded.update(call.extras)
    return encoded


def _encode_results(
    results: Sequence[ToolResult], turn: Turn, dropped: list[str], *, keeps_cache: bool
) -> Iterable[dict[str, Any]]:
    """One message for each result; what is not text follows the last of them, since a tool message holds only text."""
    media: list[Part] = []
    for result in results:
        texts = [part for part in result.parts if isinstance(part, Text)]
        media.extend(part for part in result.parts if not isinstance(part, Text))
        if result.is_error:
            texts = [Text("Error: "), *texts]
        content: Any = _content(texts, dropped, own=keeps_cache and not result.is_error)
        if result.is_error and isinstance(content, list):
            content = "".join(part.text for part in texts)
        message = {"role": "tool", "tool_call_id": result.call_id, "content": content}
        if turn.role == "tool" and turn.name is not None:
            message["name"] = turn.name
        yield message
    if media:
        yield {
            "role": "user",
            "content": _content([Text("Attached to the tool results:"), *media], dropped, own=keeps_cache),
        }


def _content(parts: Sequence[Part], dropped: list[str], *, own: bool) -> str | list[dict[str, Any]]:
    """Plain text where one text is all there is, else a list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].text and not (own and parts[0].cache):
        return parts[0].text
    encoded = [encode_part(part, dropped, own=own) for part in parts]
    return [item for item in encoded if item is not None]


def encode_part(part: Part, dropped: list[str], *, own: bool = True) -> dict[str, Any] | None:
    """A content part, or None (and its name in ``dropped``) where chat has none for it."""
    cache = fields.cache_control(getattr(part, "cache", None)) if own else {}
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **cache}
    if isinstance(part, Image):
        url = part.url if part.data is None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
        return {"type": "image_url", "image_url": fields.without_none(url=url, detail=part.detail), **cache}
    if isinstance(part, Audio):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    if isinstance(part, File):
        return _encode_file(part, dict(cache))
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    if isinstance(part, Opaque) and part.origin == DIALECT:
        return dict(part.value)
    dropped.append(part.kind if isinstance(part, Opaque) else type(part).__name__.lower())
    return None


def _encode_file(part: File, cache: dict[str, Any]) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text, **cache}
    data = part.url
    if part.data is not None:
        data = f"data:{part.media_type};base64,{part.data}" if part.media_type else part.data
    source = fields.without_none(filename=part.name, file_data=data, file_id=part.file_id)
    if part.data is not None and part.name is None and part.file_id is None and part.media_type == "application/pdf":
        # OpenAI refuses inline data without a name.
        source["filename"] = "document.pdf"
    return {"type": "file", "file": source, **cache}
