"""Turns to chat messages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

DIALECT = "openai_chat"
# Claude Code's first system block names its own version: noise to other makers, and poison to their prompt caches.
_BILLING_BLOCK = "x-anthropic-billing-header:"


def encode_turns(conversation: Conversation, dropped: list[str]) -> list[dict[str, Any]]:
    own = conversation.dialect in ("", DIALECT)
    messages: list[dict[str, Any]] = []
    for turn in conversation.turns:
        messages.extend(_encode_turn(turn, own, dropped))
    return messages


def _encode_turn(turn: Turn, own: bool, dropped: list[str]) -> Iterable[dict[str, Any]]:
    parts: Sequence[Part] = turn.parts
    if not own:
        parts = [part for part in parts if not (isinstance(part, Text) and part.text.startswith(_BILLING_BLOCK))]
        if turn.role == "system" and not parts:
            return
    results = [part for part in parts if isinstance(part, ToolResult)]
    if results:
        yield from _encode_results(results, turn, dropped)
        parts = [part for part in parts if not isinstance(part, ToolResult)]
        if not parts:
            return
    message: dict[str, Any] = {"role": "user" if turn.role == "tool" else turn.role}
    if turn.role == "assistant":
        message.update(_assistant_fields(parts, dropped))
    else:
        message["content"] = _content(parts, dropped, own=own)
    if turn.name is not None:
        message["name"] = turn.name
    if own:
        message.update(turn.extras)
    yield message


def _assistant_fields(parts: Sequence[Part], dropped: list[str]) -> dict[str, Any]:
    thoughts = [part for part in parts if isinstance(part, Reasoning)]
    ours = [part for part in thoughts if part.origin in ("", DIALECT)]
    if len(ours) < len(thoughts):
        dropped.append("reasoning")
    calls = [part for part in parts if isinstance(part, ToolCall)]
    refusal = "".join(part.text for part in parts if isinstance(part, Refusal))
    plain = [part for part in parts if not isinstance(part, Reasoning | ToolCall | Refusal)]
    odd_calls = [part for part in plain if isinstance(part, Opaque) and "function" not in part.value and _is_call(part)]
    plain = [part for part in plain if part not in odd_calls]
    content = _content(plain, dropped, own=True) if plain else None
    message: dict[str, Any] = {"content": content, **write_reasoning(ours)}
    if refusal:
        message["refusal"] = refusal
    encoded = [_encode_call(call) for call in calls] + [dict(part.value) for part in odd_calls]
    if encoded:
        message["tool_calls"] = encoded
    return message


def _is_call(part: Opaque) -> bool:
    """Whether this is a call of a kind that only chat knows (a custom tool's)."""
    return part.origin == DIALECT and part.kind in ("custom", "tool_call")


def _encode_call(call: ToolCall) -> dict[str, Any]:
    encoded: dict[str, Any] = {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if call.origin == DIALECT:
        encoded.update(call.extras)
    return encoded


def _encode_results(results: Sequence[ToolResult], turn: Turn, dropped: list[str]) -> Iterable[dict[str, Any]]:
    """One message for each result; what is not text follows the last of them, since a tool message holds only text."""
    media: list[Part] = []
    for result in results:
        texts = [part for part in result.parts if isinstance(part, Text)]
        media.extend(part for part in result.parts if not isinstance(part, Text))
        if result.is_error:
            texts = [Text("Error: "), *texts]
        content: Any = _content(texts, dropped, own=not result.is_error)
        if result.is_error and isinstance(content, list):
            content = "".join(part.text for part in texts)
        message = {"role": "tool", "tool_call_id": result.call_id, "content": content}
        if turn.role == "tool" and turn.name is not None:
            message["name"] = turn.name
        yield message
    if media:
        yield {"role": "user", "content": _content([Text("Attached to the tool results:"), *media], dropped, own=True)}


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
