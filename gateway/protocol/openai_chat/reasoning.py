"""Reasoning in chat messages, deltas and requests.

Three names are in use: ``reasoning_content`` (DeepSeek, xAI, Z.ai), ``reasoning`` (OpenRouter, Groq, Ollama) and
``reasoning_details`` beside it (OpenRouter), which holds signatures. We write the first, and the third where a
signature has to survive the caller's round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import Part, Reasoning, ReasoningControls, ToolCall
from gateway.protocol.envelope import unseal
from gateway.protocol.quirks.controls import effort_of, is_silent
from gateway.protocol.quirks.quirks import Quirks

DIALECT = "openai_chat"
_FORMATS = {
    "anthropic-claude-v1": "anthropic_messages",
    "openai-responses-v1": "openai_responses",
    "google-gemini-v1": "gemini_generate",
}
_FORMAT_OF = {origin: name for name, origin in _FORMATS.items()}
_CONTROLS = frozenset(("enabled", "effort", "max_tokens"))


def read_reasoning(message: Mapping[str, Any]) -> tuple[Part, ...]:
    """The reasoning of an assistant message or delta; signed pieces of other dialects get their form back."""
    text = reasoning_text(message)
    details = message.get("reasoning_details")
    if not isinstance(details, list) or not details:
        return (Reasoning(text=text, origin=DIALECT),) if text else ()
    pieces = [_signed_piece(entry) for entry in details]
    known = [piece for piece in pieces if piece is not None]
    if len(known) < len(details):
        return (Reasoning(text=text, origin=DIALECT, details=tuple(details)),)
    return tuple(_with_text(_joined(known), text))


def reasoning_text(message: Mapping[str, Any]) -> str:
    for name in ("reasoning_content", "reasoning"):
        value = message.get(name)
        if isinstance(value, str) and value:
            return value
    return ""


def _signed_piece(entry: Any) -> Reasoning | None:
    if not isinstance(entry, Mapping):
        return None
    origin = _FORMATS.get(str(entry.get("format")))
    if origin is None:
        return None
    text, signature, data = _string(entry, "text"), _string(entry, "signature"), _string(entry, "data")
    opened = unseal(signature or data, text)
    if opened is not None:
        return opened
    if entry.get("type") == "reasoning.encrypted" and data:
        if origin == "gemini_generate":
            return Reasoning(signature=data, origin=origin, id=_string(entry, "id"))
        return Reasoning(redacted=data, origin=origin, id=_string(entry, "id"))
    if entry.get("type") == "reasoning.summary" and _string(entry, "summary"):
        return Reasoning(text=_string(entry, "summary"), origin=origin)
    if "signature" in entry and isinstance(entry["signature"], str):
        return Reasoning(text=text, signature=signature, origin=origin)
    # Gemini signs its calls, OpenAI its items: there the text itself has no signature.
    return Reasoning(text=text, origin=origin) if text and origin != "anthropic_messages" else None


def _joined(pieces: Sequence[Reasoning]) -> list[Reasoning]:
    """An item's summary and its encrypted content are one piece."""
    joined: list[Reasoning] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and piece.origin == last.origin == "openai_responses" and last.redacted is None:
            text = "\n\n".join(text for text in (last.text, piece.text) if text)
            joined[-1] = Reasoning(text=text, redacted=piece.redacted, origin=piece.origin, id=piece.id)
        else:
            joined.append(piece)
    return joined


def _with_text(pieces: list[Reasoning], text: str) -> list[Reasoning]:
    """Where no signed piece holds the text that stands beside them, it comes first."""
    if not text or any(piece.text for piece in pieces):
        return pieces
    first = pieces[0]
    if first.origin == "openai_responses" and first.redacted is not None:
        return [Reasoning(text=text, redacted=first.redacted, origin=first.origin, id=first.id), *pieces[1:]]
    if first.redacted is not None:
        return pieces
    return [Reasoning(text=text, origin=first.origin), *pieces]


def beside_calls(reasoning: Sequence[Part], others: Sequence[Part]) -> tuple[Part, ...]:
    """Reasoning before the rest, and each signature that names a call before that call."""
    calls = {part.id for part in others if isinstance(part, ToolCall)}
    named = {piece.id: piece for piece in reasoning if isinstance(piece, Reasoning) and _signs_a_call(piece, calls)}
    parts: list[Part] = [piece for piece in reasoning if not _signs_a_call(piece, calls)]
    for part in others:
        if isinstance(part, ToolCall) and part.id in named:
            parts.append(named[part.id])
        parts.append(part)
    return tuple(parts)


def _signs_a_call(piece: Part, calls: set[str]) -> bool:
    return isinstance(piece, Reasoning) and piece.origin == "gemini_generate" and bool(piece.id) and piece.id in calls


def _string(source: Mapping[str, Any], name: str) -> str:
    value = source.get(name)
    return value if isinstance(value, str) else ""


def write_details(piece: Reasoning, index: int = 0, call_id: str = "") -> list[dict[str, Any]]:
    """The ``reasoning_details`` entries of a signed piece; none where there is nothing to bring back.

    ``call_id`` is the id of the call that a signature without text belongs to.
    """
    name = _FORMAT_OF.get(piece.origin)
    if name is None or (piece.redacted is None and piece.signature is None):
        return []
    common = {"format": name, "index": index}
    if piece.origin == "openai_responses" and piece.redacted is not None:
        summary = {"type": "reasoning.summary", "summary": piece.text, **common}
        item = {"type": "reasoning.encrypted", "data": piece.redacted, **common}
        named = {**item, "id": piece.id} if piece.id else item
        return [summary, named] if piece.text else [named]
    if piece.redacted is not None:
        return [{"type": "reasoning.encrypted", "data": piece.redacted, **common}]
    if piece.origin == "gemini_generate" and not piece.text:
        item = {"type": "reasoning.encrypted", "data": piece.signature, **common}
        return [{**item, "id": call_id} if call_id else item]
    return [{"type": "reasoning.text", "text": piece.text, "signature": piece.signature, **common}]


def write_reasoning(parts: Sequence[Part], name: str = "reasoning_content") -> dict[str, Any]:
    """The message fields for the reasoning among the parts; OpenRouter's own details go back under its names."""
    pieces = [part for part in parts if isinstance(part, Reasoning)]
    text = "".join(piece.text for piece in pieces)
    kept = [entry for piece in pieces for entry in piece.details]
    if kept:
        return {"reasoning": text, "reasoning_details": kept} if text else {"reasoning_details": kept}
    message: dict[str, Any] = {name: text} if text else {}
    signed = details_of(parts)
    if signed:
        message["reasoning_details"] = signed
    return message


def details_of(parts: Sequence[Part]) -> list[dict[str, Any]]:
    """The entries for all signed pieces; a signature without text is said to be that of the call after it."""
    entries: list[dict[str, Any]] = []
    index = 0
    for part, after in pairwise((*parts, None)):
        if not isinstance(part, Reasoning):
            continue
        written = write_details(part, index, after.id if isinstance(after, ToolCall) else "")
        entries.extend(written)
        index += 1
    return entries


def read_controls(body: Mapping[str, Any]) -> ReasoningControls:
    """``reasoning_effort`` (OpenAI) or the ``reasoning`` object (OpenRouter); effort "none" means off."""
    wishes = fields.obj(body, "reasoning") or {}
    effort = fields.text(body, "reasoning_effort") or fields.text(wishes, "effort", "reasoning.")
    enabled = fields.flag(wishes, "enabled", "reasoning.")
    budget = fields.integer(wishes, "max_tokens", "reasoning.", least=0)
    if effort == "none":
        return ReasoningControls(enabled=False, extras=fields.rest(wishes, _CONTROLS))
    return ReasoningControls(
        enabled=enabled, effort=effort, budget_tokens=budget, extras=fields.rest(wishes, _CONTROLS)
    )


def write_controls(
    controls: ReasoningControls, *, own: bool, quirks: Quirks, model: str
) -> tuple[dict[str, Any], bool]:
    """The fields, and whether the host could be told. ``own``: the caller spoke chat, with words of its own."""
    if quirks.controls is not None:
        written = quirks.controls(controls, model)
        return dict(written or {}), written is not None or is_silent(controls)
    if own and (controls.budget_tokens is not None or controls.extras or controls.enabled is True):
        wishes = fields.without_none(
            enabled=controls.enabled, effort=controls.effort, max_tokens=controls.budget_tokens
        )
        return {"reasoning": {**wishes, **controls.extras}}, True
    if controls.enabled is False:
        return {"reasoning_effort": "none"}, True
    effort = effort_of(controls)
    if effort is None:
        return {}, True
    if not own and effort in ("xhigh", "max"):
        effort = "high"
    return {"reasoning_effort": effort}, True
