"""Parts of a caller's contents as parts of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import (
    Audio,
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
from gateway.protocol.gemini_generate.names import DIALECT, camel
from gateway.protocol.gemini_generate.seals import open_signature
from gateway.protocol.json_text import dump_text

_AUDIO = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mp3": "mp3", "audio/mpeg": "mp3"}
# Only Google can read these addresses.
_STORED = ("gs://", "https://generativelanguage.googleapis.com/")
_PLAIN_KEYS = ("result", "output")


def decode_parts(items: list[JsonObject], where: str, calls: CallIds, turn: int) -> tuple[Part, ...]:
    parts: list[Part] = []
    for index, item in enumerate(items):
        add_part(parts, camel(item), f"{where}[{index}].", calls, f"call_{turn}_{index}")
    return tuple(parts)


def add_part(parts: list[Part], item: dict[str, Any], where: str, calls: CallIds, made_up: str) -> None:
    signature = fields.text(item, "thoughtSignature", where) or ""
    text = fields.text(item, "text", where)
    if fields.flag(item, "thought", where) and (text is not None or signature):
        add_thought(parts, text or "", signature)
        return
    value: Part | None
    if text is not None:
        value = Text(text) if text or not signature else None
    elif "functionCall" in item:
        value = _decode_call(fields.obj(item, "functionCall", where) or {}, where + "functionCall.", calls, made_up)
    elif "functionResponse" in item:
        value = _decode_result(
            fields.obj(item, "functionResponse", where) or {}, where + "functionResponse.", calls, made_up
        )
    else:
        value = _decode_media(item, where)
    add_signed(parts, value, signature)


def add_thought(parts: list[Part], text: str, signature: str) -> None:
    """A sealed piece replaces the unsigned thoughts before it that hold its text in pieces."""
    opened = open_signature(signature, text) if signature else None
    if opened is None:
        parts.append(Reasoning(text, signature or None, origin=DIALECT))
        return
    if not text:
        _drop_pieces(parts, opened.text)
    parts.append(opened)


def _drop_pieces(parts: list[Part], text: str) -> None:
    start = len(parts)
    while start and isinstance(piece := parts[start - 1], Reasoning) and piece.signature is None:
        start -= 1
    if start < len(parts) and "".join(part.text for part in parts[start:] if isinstance(part, Reasoning)) == text:
        del parts[start:]


def add_signed(parts: list[Part], part: Part | None, signature: str) -> None:
    """A part after its signature; an opaque part keeps its own."""
    if signature and not isinstance(part, Opaque):
        parts.append(open_signature(signature) or Reasoning(signature=signature, origin=DIALECT))
    if part is not None:
        parts.append(part)


@dataclass(frozen=True, slots=True)
class _OpenCall:
    id: str
    name: str
    made_up: bool


class CallIds:
    """Calls that wait for their results. Where one of the two has no id, they are matched by name and in order."""

    def __init__(self) -> None:
        self._open: list[_OpenCall] = []

    def add(self, call: _OpenCall) -> None:
        self._open.append(call)

    def answer(self, call_id: str | None, name: str, made_up: str) -> str:
        if call_id:
            # Some clients make up an id for the result of a call that had none.
            found = self._first(lambda call: call.id == call_id) or self._first(
                lambda call: call.made_up and call.name == name
            )
        else:
            found = self._first(lambda call: call.name == name) or self._first(lambda call: True)
        if found is None:
            return call_id or made_up
        self._open.remove(found)
        return found.id

    def _first(self, fits: Callable[[_OpenCall], bool]) -> _OpenCall | None:
        return next((call for call in self._open if fits(call)), None)


def _decode_call(call: JsonObject, where: str, calls: CallIds, made_up: str) -> ToolCall:
    call = camel(call)
    name = fields.required_text(call, "name", where)
    given = fields.text(call, "id", where)
    arguments = dump_text(fields.obj(call, "args", where) or {})
    calls.add(_OpenCall(given or made_up, name, made_up=not given))
    return ToolCall(given or made_up, name, arguments, origin=DIALECT if given else "")


def _decode_result(result: JsonObject, where: str, calls: CallIds, made_up: str) -> ToolResult:
    result = camel(result)
    name = fields.required_text(result, "name", where)
    call_id = calls.answer(fields.text(result, "id", where), name, made_up)
    response = fields.obj(result, "response", where) or {}
    is_error = list(response) == ["error"]
    parts: list[Any] = [Text(_response_text(response))] if response else []
    for index, item in enumerate(fields.objects(result, "parts", where)):
        parts.append(_decode_media(camel(item), f"{where}parts[{index}]."))
    return ToolResult(call_id, tuple(parts), is_error=is_error)


def _response_text(response: JsonObject) -> str:
    """What a tool said; an object that holds more than one plain text stays JSON."""
    if len(response) == 1:
        ((name, value),) = response.items()
        if isinstance(value, str) and (name in _PLAIN_KEYS or name == "error"):
            return value
    return dump_text(response)


def _decode_media(item: JsonObject, where: str) -> Image | File | Audio | Opaque:
    if "inlineData" in item:
        value = camel(fields.obj(item, "inlineData", where) or {})
        return inline(
            fields.required_text(value, "data", where + "inlineData."),
            fields.text(value, "mimeType", where + "inlineData.") or "",
            fields.text(value, "displayName", where + "inlineData."),
        )
    if "fileData" in item:
        value = camel(fields.obj(item, "fileData", where) or {})
        url = fields.required_text(value, "fileUri", where + "fileData.")
        media_type = fields.text(value, "mimeType", where + "fileData.")
        if not url.startswith(_STORED):
            if (media_type or "").startswith("image/"):
                return Image(url=url, media_type=media_type)
            return File(url=url, media_type=media_type)
    return opaque(item)


def inline(data: str, media_type: str, name: str | None = None) -> Image | File | Audio:
    if media_type.startswith("image/"):
        return Image(data=data, media_type=media_type)
    if media_type in _AUDIO:
        return Audio(data, _AUDIO[media_type])
    return File(data=data, media_type=media_type or None, name=name)


def opaque(item: JsonObject) -> Opaque:
    kind = next((name for name in item if name not in ("thought", "thoughtSignature")), "part")
    return Opaque(origin=DIALECT, kind=kind, value=item)
