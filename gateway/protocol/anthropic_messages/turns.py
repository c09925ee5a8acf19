"""Turns to a system field and messages of this dialect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.message_list import SYSTEM_ROLES, Messages
from gateway.protocol.anthropic_messages.seals import seal_block
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
from gateway.protocol.problem import invalid
from gateway.protocol.quirks.messages import MessagesQuirks
from gateway.protocol.tool_names import call_as_function

_ODD_ID = re.compile(r"[^a-zA-Z0-9_-]")

Block = dict[str, Any]


def encode_turns(
    conversation: Conversation, quirks: MessagesQuirks, dropped: list[str]
) -> tuple[list[Block], list[dict[str, Any]]]:
    """(system blocks, messages). Leading system turns become the system field, later ones stay in their place."""
    turns = list(conversation.turns)
    own = conversation.dialect == DIALECT
    leading = _leading(turns, own)
    writer = _Writer(quirks, dropped)
    system = [block for turn in turns[:leading] for block in writer.parts(turn.parts)]
    messages = Messages(own=own, keeps_system=own or quirks.system_between == "all")
    for turn in turns[leading:]:
        messages.add(turn, writer.parts(turn.parts))
    if not messages.list and system:
        # A request of system text alone is good at other makers; here it needs something said by the user.
        return [], [{"role": "user", "content": system}]
    return system, messages.list


def _leading(turns: Sequence[Turn], own: bool) -> int:
    count = 0
    for turn in turns[: 1 if own else len(turns)]:
        if turn.role not in SYSTEM_ROLES:
            break
        count += 1
    return count


class _Writer:
    """Blocks for one host; what cannot be carried is named in ``dropped``."""

    def __init__(self, quirks: MessagesQuirks, dropped: list[str]) -> None:
        self._quirks = quirks
        self._dropped = dropped

    def parts(self, parts: Iterable[Part]) -> list[Block]:
        return [block for part in parts if (block := self._part(part)) is not None]

    def _part(self, part: Part) -> Block | None:
        """One block, or None where there is nothing to send."""
        if isinstance(part, Text | Refusal):
            return _encode_text(part)
        if isinstance(part, Image):
            return {"type": "image", "source": _source(part), **fields.cache_control(part.cache)}
        if isinstance(part, File):
            return self._file(part)
        if isinstance(part, ToolCall):
            return _encode_call(part)
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Reasoning):
            return self._reasoning(part)
        if isinstance(part, Audio):
            self._dropped.append("audio")
            return None
        return self._opaque(part)

    def _opaque(self, part: Opaque) -> Block | None:
        if part.kind == "compaction_trigger":
            raise invalid(
                "This model cannot compact a conversation. Ask for a summary in a message instead.",
                param="input",
                code="unsupported_value",
            )
        if part.origin == DIALECT and part.kind not in self._quirks.without_blocks:
            return dict(part.value)
        self._dropped.append(part.kind)
        return None

    def _file(self, part: File) -> Block | None:
        title = {"title": part.name} if part.name is not None else {}
        extras = part.extras if part.origin == DIALECT else {}
        more = {**title, **extras, **fields.cache_control(part.cache)}
        takes_documents = "document" not in self._quirks.without_blocks
        if part.text is not None:
            if not takes_documents:
                text = f"{part.name}\n\n{part.text}" if part.name else part.text
                return {"type": "text", "text": text, **fields.cache_control(part.cache)}
            return {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": part.text},
                **more,
            }
        if part.data is None and part.url is None:
            # A file stored at another maker cannot be had from here.
            self._dropped.append("file_id")
            return None
        if not takes_documents:
            self._dropped.append("file")
            return None
        return {"type": "document", "source": _source(part), **more}

    def _result(self, part: ToolResult) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": plain_id(part.call_id)}
        content = self.parts(part.parts)
        if content:
            block["content"] = content
        if part.is_error:
            block["is_error"] = True
        return {**block, **fields.cache_control(part.cache)}

    def _reasoning(self, part: Reasoning) -> Block | None:
        """Thinking that another maker signed is of no use here, nor is it worth a word."""
        if part.origin == DIALECT and (part.redacted or part.signature):
            if part.redacted and "redacted_thinking" in self._quirks.without_blocks:
                return None
            return seal_block(part)
        if self._quirks.checks_signatures or not part.text:
            return None
        return {"type": "thinking", "thinking": part.text, "signature": ""}


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


def _encode_call(part: ToolCall) -> Block:
    extras = part.extras if part.origin == DIALECT else {}
    call = part if part.origin == DIALECT else call_as_function(part)
    return {
        "type": "tool_use",
        "id": plain_id(call.id),
        "name": call.name,
        "input": arguments_object(call.arguments),
        **extras,
        **fields.cache_control(part.cache),
    }


def plain_id(call_id: str) -> str:
    """Ids of other makers may hold characters that are refused here; a call and its result change alike."""
    return _ODD_ID.sub("_", call_id) or "call_0"


def arguments_object(arguments: str) -> dict[str, Any]:
    """The input of a call. Arguments need not be JSON: what was cut off is passed as it is, not completed."""
    value = load_lenient(arguments) if arguments else {}
    if isinstance(value, dict):
        return value
    return {} if value is None and arguments.strip() == "null" else {"_raw": arguments}
