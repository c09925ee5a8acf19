"""Reasoning in chat messages, deltas and requests.

Three names are in use: ``reasoning_content`` (DeepSeek, xAI, Z.ai), ``reasoning`` (OpenRouter, Groq, Ollama) and
``reasoning_details`` beside it (OpenRouter), which holds signatures. We write the first, and the third where a
signature has to survive the caller's round trip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import Part, Reasoning, ReasoningControls

DIALECT = "openai_chat"
_FORMATS = {"anthropic-claude-v1": "anthropic_messages"}
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
    if len(known) == len(details):
        return tuple(known)
    return (Reasoning(text=text, origin=DIALECT, details=tuple(details)),)


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
    text, signature, data = entry.get("text"), entry.get("signature"), entry.get("data")
    if entry.get("type") == "reasoning.encrypted" and isinstance(data, str):
        return Reasoning(redacted=data, origin=origin)
    if isinstance(signature, str):
        return Reasoning(text=text if isinstance(text, str) else "", signature=signature, origin=origin)
    return None


def write_detail(piece: Reasoning, index: int = 0) -> dict[str, Any] | None:
    """The ``reasoning_details`` entry of a signed piece; None where there is nothing to bring back."""
    name = _FORMAT_OF.get(piece.origin)
    if name is None:
        return None
    if piece.redacted is not None:
        return {"type": "reasoning.encrypted", "data": piece.redacted, "format": name, "index": index}
    if piece.signature is None:
        return None
    return {
        "type": "reasoning.text",
        "text": piece.text,
        "signature": piece.signature,
        "format": name,
        "index": index,
    }


def write_reasoning(pieces: Sequence[Reasoning]) -> dict[str, Any]:
    """The message fields for reasoning; those with details of OpenRouter's own go back under its names."""
    text = "".join(piece.text for piece in pieces)
    kept = [entry for piece in pieces for entry in piece.details]
    if kept:
        return {"reasoning": text, "reasoning_details": kept} if text else {"reasoning_details": kept}
    message: dict[str, Any] = {"reasoning_content": text} if text else {}
    signed = [entry for index, piece in enumerate(pieces) if (entry := write_detail(piece, index)) is not None]
    if signed:
        message["reasoning_details"] = signed
    return message


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


def write_controls(controls: ReasoningControls, *, own: bool) -> dict[str, Any]:
    """``own``: the caller spoke chat, so its ``reasoning`` object may be written as it was."""
    if own and (controls.budget_tokens is not None or controls.extras or controls.enabled is True):
        wishes = fields.without_none(
            enabled=controls.enabled, effort=controls.effort, max_tokens=controls.budget_tokens
        )
        return {"reasoning": {**wishes, **controls.extras}}
    if controls.enabled is False:
        return {"reasoning_effort": "none"}
    effort = controls.effort
    if effort is None and controls.budget_tokens is not None:
        effort = _effort_of(controls.budget_tokens)
    if effort is None:
        return {}
    if not own and effort in ("xhigh", "max"):
        effort = "high"
    return {"reasoning_effort": effort}


def _effort_of(budget_tokens: int) -> str:
    if budget_tokens <= 2048:
        return "low"
    return "medium" if budget_tokens <= 8192 else "high"
