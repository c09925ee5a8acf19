"""Thought signatures: Gemini's own, or our seal around another maker's in their place (base64 of the seal)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.protocol.conversation import Reasoning
from gateway.protocol.envelope import PREFIX, seal, unseal
from gateway.protocol.gemini_generate.names import DIALECT

# The beginning of every seal, as base64.
_HEAD = base64.b64encode(PREFIX.encode()).decode()[:4]


def write_signature(piece: Reasoning) -> str:
    """The signature for a caller; "" where there is none. A seal holds the text too: callers join and cut thoughts."""
    if piece.origin == DIALECT:
        return piece.signature or ""
    if not piece.origin or (piece.signature is None and piece.redacted is None):
        return ""
    return base64.b64encode(seal(piece, with_text=True).encode()).decode()


def bare_signature(signature: str) -> dict[str, Any]:
    """The part of a signature that stands alone: before another one, or at the end."""
    return {"text": "", "thoughtSignature": signature}


def may_be_sealed(signature: str) -> bool:
    return signature.startswith(_HEAD)


def open_signature(signature: str, text: str = "") -> Reasoning | None:
    """The sealed piece; None for a signature of Gemini's own."""
    if not may_be_sealed(signature):
        return None
    try:
        token = base64.b64decode(signature, validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
    return unseal(token, text)
