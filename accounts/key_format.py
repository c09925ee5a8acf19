"""The written form of a customer's key: `sk-ro-`, 34 random characters, 6 characters of checksum."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
import zlib

PREFIX = "sk-ro-"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase  # base62
_RANDOM_LENGTH = 34  # 202 bits; more than 160 stay secret when the last four (checksum) are shown
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


def generate() -> str:
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(_RANDOM_LENGTH))
    return body + _checksum(body)


def looks_valid(raw: str) -> bool:
    """Form and checksum only: sorts out typing errors and garbage without asking anybody."""
    if _FORM.fullmatch(raw) is None:
        return False
    return raw[-_CHECKSUM_LENGTH:] == _checksum(raw[:-_CHECKSUM_LENGTH])


def hash_key(raw: str, pepper: bytes) -> bytes:
    """32 bytes. Keyed, so that a stolen table says nothing without the pepper."""
    return hmac.digest(pepper, raw.encode(), hashlib.sha256)


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
