"""Turns to a system field and messages of this dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT
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
from gateway.protocol.json_text import load_lenient

_ODD_ID = re.compile(r"[^a-zA-Z0-9_-]")

Block = dict[str, Any]


def encode_turns(conversation: Conversation, dropped: list[str]) -> tuple[list[Block], list[dict[str, Any]]]:
    """(system blocks, messages). Leading system turns become the system field, later ones stay in their place."""
    turns = list(conversation.turns)
    own = conversation.dialect == DIALECT
    leading = _leading(turns, own)
    system = [block for turn in turns[:leading] for block in encode_parts(turn.parts, dropped)]
    messages = _Messages(own)
    for turn in turns[leading:]:
        messages.add(turn, encode_parts(turn.parts, dropped))
    if not messages.list and system:
        # A request of system text alone is good at other makers; here it needs something said by the user.
        return [], [{"role": "user", "content": system}]
    return system, messages.list


def _leading(turns: Sequence[Turn], own: bool) -> int:
    count = 0
    for turn in turns[: 1 if own else len(turns)]:
        if turn.role not in ("system", "developer"):
            break
        count += 1
    return count


class _Messages:
    """Joins what has to stand in one message: all results of one assistant turn, and the text after them."""

    def __init__(self, own: bool) -> None:
        self.list: list[dict[str, Any]] = []
        self._own = own
        self._after_results = False

    def add(self, turn: Turn, blocks: list[Block]) -> None:
        if not blocks and not self._own:
            return
        role = "assistant" if turn.role == "assistant" else "user"
        if self._own and turn.role == "system":
            role = "system"
        if self._after_results and turn.role in ("tool", "user"):
            self.list[-1]["content"].extend(blocks)
        else:
            self.list.append({"role": role, "content": blocks, **(turn.extras if self._own else {})})
        self._after_results = turn.role == "tool"


def encode_parts(parts: Iterable[Part], dropped: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        block = _encode_part(part, dropped)
        if block is not None:
            blocks.append(block)
    return blocks


def _encode_part(part: Part, dropped: list[str]) -> Block | None:
    """One block, or None where there is nothing to send; what cannot be carried is named in ``dropped``."""
    if isinstance(part, Text | Refusal):
        return _encode_text(part)
    if isinstance(part, Image):
        return {"type": "image", "source": _source(part), **fields.cache_control(part.cache)}
    if isinstance(part, File):
        return _encode_file(part, dropped)
    if isinstance(part, ToolCall):
        return _encode_call(part)
    if isinstance(part, ToolResult):
        return _encode_result(part, dropped)
    if isinstance(part, Reasoning):
        return _encode_reasoning(part, dropped)
    if isinstance(part, Opaque) and part.origin == DIALECT:
        return dict(part.value)
    dropped.append("audio" if isinstance(part, Audio) else part.kind)
    return None


def _encode_text(part: Text | Refusal) -> Block | None:
    """Empty text is refused by the API, so it is left out."""
    if not part.text:
        return None
    if isinstance(part, Refusal):
        return {"type": "text", "text": part.text}
    extras = part.extras if part.origin == DIALECT else {}
    return {"type": "text", "text": part.text, **extras, **fields.cache_control(part.cache)}


def _source(part: Image | File) -> dict[str, Any]:
    if part.data is not None:
        fallback = "image/png" if isinstance(part, Image) else "application/pdf"
        return {"type": "base64", "media_type": part.media_type or fallback, "data": part.data}
    return {"type": "url", "url": part.url}


def _encode_file(part: File, dropped: list[str]) -> Block | None:
    if part.text is not None:
        source: dict[str, Any] = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.data is None and part.url is None:
        # A file stored at another maker cannot be had from here.
        dropped.append("file_id")
        return None
    else:
        source = _source(part)
    extras = part.extras if part.origin == DIALECT else {}
    title = {"title": part.name} if part.name is not None else {}
    return {"type": "document", "source": source, **title, **extras, **fields.cache_control(part.cache)}


def _encode_call(part: ToolCall) -> Block:
    extras = part.extras if part.origin == DIALECT else {}
    return {
        "type": "tool_use",
        "id": plain_id(part.id),
        "name": part.name,
        "input": arguments_object(part.arguments),
        **extras,
        **fields.cache_control(part.cache),
    }


def _encode_result(part: ToolResult, dropped: list[str]) -> Block:
    block: Block = {"type": "tool_result", "tool_use_id": plain_id(part.call_id)}
    content = encode_parts(part.parts, dropped)
    if content:
        block["content"] = content
    if part.is_error:
        block["is_error"] = True
    return {**block, **fields.cache_control(part.cache)}


def _encode_reasoning(part: Reasoning, dropped: list[str]) -> Block | None:
    if part.origin != DIALECT:
        dropped.append("reasoning")
        return None
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    block: Block = {"type": "thinking", "thinking": part.text}
    if part.signature is not None:
        block["signature"] = part.signature
    return block


def plain_id(call_id: str) -> str:
    """Ids of other makers may hold characters that are refused here; a call and its result change alike."""
    return _ODD_ID.sub("_", call_id) or "call_0"


def arguments_object(arguments: str) -> dict[str, Any]:
    """The input of a call. Arguments need not be JSON: what was cut off is passed as it is, not completed."""
    value = load_lenient(arguments) if arguments else {}
    if isinstance(value, dict):
        return value
    return {} if value is None and arguments.strip() == "null" else {"_raw": arguments}
