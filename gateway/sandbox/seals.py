"""Sealed reasoning: what the sandbox gives away with its thoughts and wants back unchanged. Pure.

A seal carries a label, so that it can be told whether it came back in its own place.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

_DIGEST = 16


def seal(label: str, *, urlsafe: bool = False) -> str:
    sealed = _digest(label.encode()) + label.encode()
    return (base64.urlsafe_b64encode(sealed) if urlsafe else base64.b64encode(sealed)).decode()


def opened(sealed: bytes) -> str | None:
    """The label; None where the sandbox did not make this seal."""
    digest, label = sealed[:_DIGEST], sealed[_DIGEST:]
    return label.decode("utf-8", "replace") if digest == _digest(label) else None


def from_base64(text: object) -> bytes | None:
    """The bytes of base64 in either alphabet, with or without its padding; None where it is none."""
    if not isinstance(text, str):
        return None
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _digest(label: bytes) -> bytes:
    return hashlib.sha256(b"router-one-sandbox-seal:" + label).digest()[:_DIGEST]
