"""Thinking blocks whose signature is our seal: opened for the provider that made them, left out for all others.

A caller of this dialect keeps thinking of other makers in blocks that we signed, or left unsigned where the maker
gave no signature. Anthropic refuses both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.anthropic_messages.citations import is_ours
from gateway.protocol.conversation import Reasoning
from gateway.protocol.envelope import is_sealed, seal, unseal

DIALECT = "anthropic_messages"


def seal_block(piece: Reasoning) -> dict[str, Any]:
    """The block for a caller; the thinking of another maker has a seal as its signature."""
    if piece.origin == DIALECT and piece.redacted is not None:
        return {"type": "redacted_thinking", "data": piece.redacted}
    return {"type": "thinking", "thinking": piece.text, "signature": signature_of(piece)}


def signature_of(piece: Reasoning) -> str:
    if piece.origin == DIALECT:
        return piece.signature or ""
    return seal(piece) if piece.origin else ""


def open_seals(body: dict[str, Any], *, keep_text: bool = False) -> bool:
    """Replaces ``messages`` where a seal stands in them; the objects of the caller are left as they are.

    ``keep_text``: the host takes thinking that nobody signed. Returns whether thinking was left out.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not any(map(_needs_work, messages)):
        return False
    kept: list[Any] = []
    lost = False
    for message in messages:
        if not _needs_work(message):
            kept.append(message)
            continue
        blocks = [_opened(block, keep_text) for block in message["content"]]
        lost = lost or None in blocks
        blocks = [block for block in blocks if block is not None]
        if blocks:
            kept.append({**message, "content": blocks})
    body["messages"] = kept
    return lost


def _needs_work(message: Any) -> bool:
    content = message.get("content") if isinstance(message, Mapping) else None
    return isinstance(content, list) and any(_is_made_here(block) for block in content)


def _is_made_here(block: Any) -> bool:
    if not isinstance(block, Mapping):
        return False
    if block.get("type") == "thinking":
        signature = block.get("signature")
        return signature == "" or is_sealed(signature)
    citations = block.get("citations")
    return isinstance(citations, list) and any(map(is_ours, citations))


def _opened(block: Any, keep_text: bool) -> Any:
    """The block for the provider, None for one that it could not read."""
    if not _is_made_here(block):
        return block
    if block.get("type") != "thinking":
        return _without_our_citations(block)
    text = block.get("thinking")
    piece = unseal(block.get("signature"), text if isinstance(text, str) else "")
    if piece is not None and piece.origin == DIALECT:
        return seal_block(piece)
    return {"type": "thinking", "thinking": text, "signature": ""} if keep_text and text else None


def _without_our_citations(block: Mapping[str, Any]) -> dict[str, Any]:
    kept = [value for value in block["citations"] if not is_ours(value)]
    rest = {name: value for name, value in block.items() if name != "citations"}
    return {**rest, "citations": kept} if kept else rest
