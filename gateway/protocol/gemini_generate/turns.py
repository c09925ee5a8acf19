"""Turns as contents: the roles take turns, and all results of a step come right after its calls."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable
from typing import Any

from gateway.protocol.anthropic_messages.host import reminder
from gateway.protocol.anthropic_messages.turns import arguments_object
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
)
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.gemini_generate.seals import bare_signature
from gateway.protocol.json_text import dump_text, load_lenient
from gateway.protocol.problem import invalid
from gateway.protocol.tool_names import call_as_function, flat_name

# Documented by Google for calls that another model made: the signature is not checked.
UNCHECKED_SIGNATURE = "skip_thought_signature_validator"
_SYSTEM = ("system", "developer")
_WRAPPED = ("result", "output", "error")

Wire = dict[str, Any]


def encode_turns(
    conversation: Conversation, dropped: list[str], *, signed_calls: bool, media_in_results: bool
) -> tuple[list[Wire], list[Wire]]:
    """(parts of the system instruction, contents). ``signed_calls``: the model refuses calls without signature."""
    turns = list(conversation.turns)
    leading = next((place for place, turn in enumerate(turns) if turn.role not in _SYSTEM), len(turns))
    writer = _Writer(conversation, dropped, media_in_results)
    system = [part for turn in turns[:leading] for part in writer.parts(turn.parts)]
    contents = _Contents(writer)
    for turn in turns[leading:]:
        parts = writer.parts(turn.parts)
        if turn.role in _SYSTEM:
            parts = [{"text": reminder(part["text"])} if "text" in part else part for part in parts]
        contents.add("model" if turn.role == "assistant" else "user", parts)
    if not contents.list:
        return [], [{"role": "user", "parts": system or [{"text": ""}]}]
    if signed_calls:
        sign_calls(contents.list)
    return system, contents.list


def sign_calls(contents: list[Any]) -> None:
    """Gives each step of the current turn a signature where its first call has none. Replaces what it changes."""
    for place in range(len(contents) - 1, -1, -1):
        content = contents[place]
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list):
            return
        kinds = [_kind(part) for part in parts]
        if content.get("role") != "model":
            if "functionResponse" not in kinds:
                return
            continue
        if "functionCall" not in kinds:
            continue
        first = kinds.index("functionCall")
        if not any(name in parts[first] for name in ("thoughtSignature", "thought_signature")):
            signed = {**parts[first], "thoughtSignature": UNCHECKED_SIGNATURE}
            contents[place] = {**content, "parts": [*parts[:first], signed, *parts[first + 1 :]]}


def _kind(part: Any) -> str:
    if not isinstance(part, dict):
        return ""
    if "functionCall" in part or "function_call" in part:
        return "functionCall"
    return "functionResponse" if "functionResponse" in part or "function_response" in part else ""


class _Contents:
    def __init__(self, writer: _Writer) -> None:
        self.list: list[Wire] = []
        self._writer = writer

    def add(self, role: str, parts: list[Wire]) -> None:
        if not parts:
            return
        if not self.list or self.list[-1]["role"] != role:
            self.list.append({"role": role, "parts": []})
        known = self.list[-1]["parts"]
        known.extend(parts)
        if role == "user":
            known.sort(key=self._writer.place)


class _Writer:
    """Parts for the wire; what cannot be carried is named in ``dropped``."""

    def __init__(self, conversation: Conversation, dropped: list[str], media_in_results: bool) -> None:
        self._own = conversation.dialect == DIALECT
        self._dropped = dropped
        self._media_in_results = media_in_results
        # Call id -> (name, whether the id came from Gemini); in the order of the calls.
        self._calls: dict[str, tuple[str, bool]] = {}
        self._places: dict[int, int] = {}

    def place(self, part: Wire) -> int:
        """Results first, in the order of their calls, for without ids Gemini tells them apart by it."""
        return self._places.get(id(part), 1_000_000)

    def parts(self, parts: Iterable[Part]) -> list[Wire]:
        written: list[Wire] = []
        signature = ""
        for part in parts:
            if isinstance(part, Reasoning):
                thought, following = self._reasoning(part)
                if signature and following:
                    written.append(bare_signature(signature))
                written.extend(thought)
                signature = following or signature
                continue
            made = self._part(part)
            if made and signature:
                made[0] = {**made[0], "thoughtSignature": signature}
                signature = ""
            if not isinstance(part, ToolCall):
                written.extend(made)
                continue
            if "thoughtSignature" not in made[0] and written and written[-1].get("thought") is True:
                # Cut out of a stream, a call's signature stands at the end of the thoughts before it.
                moved = written[-1].pop("thoughtSignature", "")
                made = [{**made[0], "thoughtSignature": moved}] if moved else made
            written.extend(made)
        return [*written, bare_signature(signature)] if signature else written

    def _reasoning(self, part: Reasoning) -> tuple[list[Wire], str]:
        """(a thought, the signature of the part after it). Other makers' reasoning is of no use here."""
        if part.origin != DIALECT:
            return [], ""
        if not part.text:
            return [], part.signature or ""
        thought: Wire = {"text": part.text, "thought": True}
        if part.signature:
            thought["thoughtSignature"] = part.signature
        return [thought], ""

    def _part(self, part: Part) -> list[Wire]:
        if isinstance(part, Text | Refusal):
            return [{"text": part.text}] if part.text else []
        if isinstance(part, ToolCall):
            return [self._call(part)]
        if isinstance(part, ToolResult):
            return self._result(part)
        if isinstance(part, Opaque):
            return self._opaque(part)
        return [] if isinstance(part, Reasoning) else self._media(part)

    def _call(self, part: ToolCall) -> Wire:
        call = call_as_function(part)
        theirs = self._own and part.origin == DIALECT
        self._calls[part.id] = (call.name, theirs)
        named = {"id": part.id} if theirs else {}
        return {"functionCall": {**named, "name": call.name, "args": arguments_object(call.arguments)}}

    def _result(self, part: ToolResult) -> list[Wire]:
        name, theirs = self._calls.get(part.call_id, (flat_name(part.call_id), False))
        text = "\n".join(item.text for item in part.parts if isinstance(item, Text))
        media = [wire for item in part.parts if not isinstance(item, Text) for wire in self._part(item)]
        answer: Wire = {"name": name, "response": _response(text, part.is_error)}
        if theirs:
            answer = {"id": part.call_id, **answer}
        wire: Wire = {"functionResponse": answer}
        if media and self._media_in_results:
            answer["parts"] = media
            media = []
        order = list(self._calls)
        self._places[id(wire)] = order.index(part.call_id) if part.call_id in self._calls else len(order)
        return [wire, *media]

    def _media(self, part: Image | File | Audio) -> list[Wire]:
        if isinstance(part, Audio):
            return [_inline(part.data, f"audio/{part.format}")]
        if isinstance(part, File) and part.text is not None:
            return [{"text": f"{part.name}\n\n{part.text}" if part.name else part.text}]
        fallback = "image/png" if isinstance(part, Image) else "application/pdf"
        if part.data is not None:
            return [_inline(part.data, part.media_type or fallback)]
        if part.url is not None:
            guessed = mimetypes.guess_type(part.url.split("?")[0])[0]
            return [{"fileData": {"mimeType": part.media_type or guessed or fallback, "fileUri": part.url}}]
        self._dropped.append("file_id")
        return []

    def _opaque(self, part: Opaque) -> list[Wire]:
        if part.kind == "compaction_trigger":
            raise invalid(
                "This model cannot compact a conversation. Ask for a summary in a message instead.",
                param="input",
                code="unsupported_value",
            )
        if part.origin == DIALECT:
            return [dict(part.value)]
        self._dropped.append(part.kind)
        return []


def _inline(data: str, media_type: str) -> Wire:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _response(text: str, is_error: bool) -> Wire:
    """An object as it is, where that loses nothing; else the text under a name."""
    if is_error:
        return {"error": text}
    value = load_lenient(text)
    if (
        isinstance(value, dict)
        and value
        and dump_text(value) == text
        and not (len(value) == 1 and next(iter(value)) in _WRAPPED)
    ):
        return value
    return {"result": text}
