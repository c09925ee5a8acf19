"""Turns to instructions and input items."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
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
from gateway.protocol.openai_responses.content import DIALECT
from gateway.protocol.openai_responses.reasoning import write_input

Item = dict[str, Any]
# Claude Code's first system block names its own version: noise to other makers, and poison to their prompt caches.
_BILLING_BLOCK = "x-anthropic-billing-header:"
_LONGEST_ID = 64


def encode_turns(conversation: Conversation, dropped: list[str]) -> tuple[str, list[Item]]:
    """(instructions, input). Leading system texts are the instructions, later ones stay in their place."""
    turns = [_without_noise(turn) for turn in conversation.turns]
    count = _leading(turns)
    instructions = "\n\n".join(part.text for turn in turns[:count] for part in turn.parts if isinstance(part, Text))
    writer = _Writer(own=conversation.dialect == DIALECT, dropped=dropped)
    items = [item for turn in turns[count:] for item in writer.write(turn)]
    if not items and instructions:
        # A request of system text alone is good at other makers; here there must be something to answer.
        return "", [_message("user", [{"type": "input_text", "text": instructions}])]
    return instructions, items


def _without_noise(turn: Turn) -> Turn:
    if turn.role != "system":
        return turn
    kept = [part for part in turn.parts if not (isinstance(part, Text) and part.text.startswith(_BILLING_BLOCK))]
    return Turn(role=turn.role, parts=tuple(kept), name=turn.name, extras=turn.extras)


def _leading(turns: Sequence[Turn]) -> int:
    count = 0
    for turn in turns:
        is_text = all(isinstance(part, Text) for part in turn.parts)
        if turn.role not in ("system", "developer") or not is_text:
            break
        count += 1
    return count


def _message(role: str, content: list[Item]) -> Item:
    return {"type": "message", "role": role, "content": content}


class _Writer:
    """Knows which calls were of custom tools: their results are items of another kind."""

    def __init__(self, *, own: bool, dropped: list[str]) -> None:
        self._own = own
        self._dropped = dropped
        self._custom: set[str] = set()

    def write(self, turn: Turn) -> Iterator[Item]:
        if turn.role == "assistant":
            yield from self._assistant(turn.parts)
            return
        role = {"tool": "user", "system": "developer"}.get(turn.role, turn.role)
        waiting: list[Item] = []
        for part in turn.parts:
            item = self._item(part)
            if item is None:
                waiting.extend(self._content(part))
                continue
            if waiting:
                yield _message(role, waiting)
                waiting = []
            yield item
        if waiting:
            yield _message(role, waiting)

    def _item(self, part: Part) -> Item | None:
        """The part as an item of its own; None for the content of a message."""
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Opaque) and part.origin == DIALECT and not part.kind.startswith("input_"):
            return dict(part.value)
        return None

    def _assistant(self, parts: Sequence[Part]) -> Iterator[Item]:
        items: list[Item] = []
        for part in parts:
            said = _said(part)
            if said is not None and items and items[-1].get("type") == "message":
                items[-1]["content"].append(said)
            elif said is not None:
                items.append(_message("assistant", [said]))
            else:
                items.extend(self._made(part))
        while items and items[-1]["type"] == "reasoning":
            # Reasoning that nothing follows is refused.
            items.pop()
        yield from items

    def _made(self, part: Part) -> Iterator[Item]:
        if isinstance(part, ToolCall):
            yield self._call(part)
        elif isinstance(part, Reasoning):
            item = write_input(part)
            if item is not None:
                yield item
        elif isinstance(part, Opaque) and part.origin == DIALECT:
            yield dict(part.value)
        elif not isinstance(part, Text | Refusal):
            self._dropped.append(_name_of(part))

    def _call(self, call: ToolCall) -> Item:
        named = {"call_id": short_id(call.id), "name": call.name}
        if call.namespace:
            named["namespace"] = call.namespace
        extras = call.extras if call.origin == DIALECT else {}
        if call.custom:
            self._custom.add(call.id)
            return {"type": "custom_tool_call", **named, "input": call.arguments, **extras}
        return {"type": "function_call", **named, "arguments": call.arguments or "{}", **extras}

    def _result(self, result: ToolResult) -> Item:
        parts: list[Part] = list(result.parts)
        if result.is_error:
            parts = [Text("Error:"), *parts]
        content = [item for part in parts for item in self._content(part)]
        texts = [item["text"] for item in content if item["type"] == "input_text"]
        output: Any = content
        if len(texts) == len(content) and (len(texts) < 2 or result.is_error):
            output = " ".join(texts)
        kind = "custom_tool_call_output" if result.call_id in self._custom else "function_call_output"
        return {"type": kind, "call_id": short_id(result.call_id), "output": output}

    def _content(self, part: Part) -> Iterator[Item]:
        """The input part, if there is one; else its name is noted."""
        cache = self._cache(getattr(part, "cache", None))
        if isinstance(part, Text | Refusal):
            if part.text:
                yield {"type": "input_text", "text": part.text, **cache}
        elif isinstance(part, Image):
            url = part.url if part.data is None else f"data:{part.media_type or 'image/png'};base64,{part.data}"
            yield {"type": "input_image", "image_url": url, "detail": part.detail or "auto", **cache}
        elif isinstance(part, File):
            yield {**_file(part, self._own), **cache}
        elif isinstance(part, Audio):
            yield {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        elif isinstance(part, Opaque) and part.origin == DIALECT:
            yield dict(part.value)
        elif not isinstance(part, Reasoning):
            self._dropped.append(_name_of(part))

    def _cache(self, lifetime: str | None) -> Item:
        """Hints are for callers who know them to be taken: OpenAI's older models refuse the field."""
        if lifetime is None or not self._own:
            return {}
        return {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h" if lifetime == "1h" else "30m"}}


def _said(part: Part) -> Item | None:
    if isinstance(part, Text) and part.text:
        return {"type": "output_text", "text": part.text}
    if isinstance(part, Refusal) and part.text:
        return {"type": "refusal", "refusal": part.text}
    return None


def _file(part: File, own: bool) -> Item:
    if part.text is not None:
        return {"type": "input_text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    data, name = part.data, part.name
    if data is not None:
        media_type = part.media_type or "application/pdf"
        data = f"data:{media_type};base64,{data}"
        # Inline data is refused without a name.
        name = name or ("document.pdf" if media_type == "application/pdf" else "document")
    given = fields.without_none(filename=name, file_data=data, file_url=part.url, file_id=part.file_id)
    if part.url is not None and not own:
        # A file by its address needs no name, and may be refused with one.
        given.pop("filename", None)
    return {"type": "input_file", **given}


def _name_of(part: Part) -> str:
    return part.kind if isinstance(part, Opaque) else type(part).__name__.lower()


def short_id(call_id: str) -> str:
    """OpenAI takes ids of up to 64 characters; a call and its result change alike."""
    if len(call_id) <= _LONGEST_ID:
        return call_id
    return f"{call_id[: _LONGEST_ID - 9]}_{zlib.crc32(call_id.encode('utf-8', 'replace')):08x}"
