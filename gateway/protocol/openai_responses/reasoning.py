"""Reasoning items and wishes.

An item holds a summary that may be shown, and ``encrypted_content`` that only its maker can read. The reasoning of
other makers travels in that field too, sealed (``gateway/protocol/envelope.py``). Open models give their thoughts in
plain text, in ``content``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import JsonObject, Reasoning, ReasoningControls
from gateway.protocol.envelope import is_sealed, seal, unseal

DIALECT = "openai_responses"
# Between the parts of a summary, which are paragraphs with a heading each.
PARAGRAPH = "\n\n"
# Wishes for what is shown of the reasoning, and for which of it is sent again, are kept by every translation: what
# the upstream shows is shown, and what comes back is passed on.
_CONTROLS = frozenset(("effort", "summary", "generate_summary", "context", "enabled", "max_tokens"))


def read_item(item: Mapping[str, Any]) -> Reasoning | None:
    """The piece in a reasoning item, in its maker's form; None for a seal that is no longer whole."""
    token = item.get("encrypted_content")
    text = _joined(item.get("summary")) or _joined(item.get("content"))
    if is_sealed(token):
        return unseal(token, text)
    if not isinstance(token, str) or not token:
        return Reasoning(text=text)
    item_id = item.get("id")
    return Reasoning(text=text, redacted=token, origin=DIALECT, id=item_id if isinstance(item_id, str) else "")


def _joined(parts: Any) -> str:
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return PARAGRAPH.join(text for text in texts if isinstance(text, str))


def write_item(piece: Reasoning, item_id: str) -> dict[str, Any]:
    """The item for a caller. A piece that has another id keeps it in a seal: id and content belong together."""
    item: dict[str, Any] = {"id": item_id, "type": "reasoning", "summary": summary_of(piece.text)}
    if piece.signature is None and piece.redacted is None:
        return item
    is_native = piece.origin == DIALECT and piece.id in ("", item_id) and piece.signature is None
    item["encrypted_content"] = piece.redacted if is_native else seal(piece, with_text=True)
    return item


def summary_of(text: str) -> list[dict[str, Any]]:
    return [{"type": "summary_text", "text": text}] if text else []


def write_input(piece: Reasoning) -> dict[str, Any] | None:
    """The item for a provider; None where it could make nothing of it."""
    if piece.origin != DIALECT or piece.redacted is None:
        return None
    item = {"type": "reasoning", "summary": summary_of(piece.text), "encrypted_content": piece.redacted}
    return {"id": piece.id, **item} if piece.id else item


def native_item(item: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An item of the caller's as its provider gave it; None for one that the provider cannot resolve.

    Nothing is stored at the provider, so an item with nothing but its id and summary leads nowhere.
    """
    token = item.get("encrypted_content")
    if not is_sealed(token):
        return item if token or item.get("content") else None
    piece = unseal(token)
    return write_input(piece) if piece is not None else None


def read_controls(source: JsonObject) -> ReasoningControls:
    wishes = fields.obj(source, "reasoning") or {}
    effort = fields.text(wishes, "effort", "reasoning.")
    enabled = fields.flag(wishes, "enabled", "reasoning.")
    if effort == "none":
        enabled, effort = False, None
    return ReasoningControls(
        enabled=enabled,
        effort=effort,
        budget_tokens=fields.integer(wishes, "max_tokens", "reasoning.", least=0),
        extras=fields.rest(wishes, _CONTROLS),
    )


def write_controls(controls: ReasoningControls) -> dict[str, Any]:
    """The ``reasoning`` object; empty for the model's own default."""
    if controls.enabled is False:
        return {"effort": "none"}
    wishes: dict[str, Any] = {}
    effort = controls.effort
    if effort is None and controls.budget_tokens is not None:
        effort = _effort_of(controls.budget_tokens)
    if effort is not None:
        # The words above "high" are known to few models.
        wishes["effort"] = "high" if effort in ("xhigh", "max") else effort
    if controls.enabled:
        # Who turns thinking on by name expects to see some of it.
        wishes["summary"] = "auto"
    return wishes


def _effort_of(budget_tokens: int) -> str:
    if budget_tokens <= 2048:
        return "low"
    return "medium" if budget_tokens <= 8192 else "high"
