"""Signed reasoning of one dialect, carried through a caller who speaks another one.

The gateway keeps nothing between requests, so the caller carries the signature: sealed into the field in which its
own dialect has signatures. When it comes back it is opened, and goes only to the dialect that made it. A seal is no
secret: it holds what the caller was shown, and a signature that only its maker can check.
"""

from __future__ import annotations

import base64
import binascii

from gateway.protocol.conversation import Reasoning
from gateway.protocol.json_text import dump, load_lenient

PREFIX = "r1."
_FIELDS = {"o": "origin", "s": "signature", "r": "redacted", "t": "text", "i": "id"}


def seal(piece: Reasoning, *, with_text: bool = False) -> str:
    """A token of URL-safe characters; ``with_text`` where the field's own text may not come back unchanged."""
    values = {short: getattr(piece, name) for short, name in _FIELDS.items() if with_text or short != "t"}
    body = dump({short: value for short, value in values.items() if value})
    return PREFIX + base64.urlsafe_b64encode(body).decode().rstrip("=")


def is_sealed(token: object) -> bool:
    return isinstance(token, str) and token.startswith(PREFIX)


def unseal(token: object, text: str = "") -> Reasoning | None:
    """The piece that was sealed, None for anything else. ``text`` is used where the seal holds none."""
    if not isinstance(token, str) or not token.startswith(PREFIX):
        return None
    body = token[len(PREFIX) :]
    try:
        value = load_lenient(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        return None
    found = {name: value[short] for short, name in _FIELDS.items() if short in value}
    if not found.get("origin"):
        return None
    return Reasoning(**{"text": text, **found})
