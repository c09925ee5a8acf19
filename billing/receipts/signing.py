"""Signatures under receipts: Ed25519 over the canonical JSON of everything but the signature itself.

Keys and signatures are written in lower-case hexadecimal: unlike base64 it has one spelling for one value.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from billing.receipts.document import Json, canonical

ALGORITHM: Final = "Ed25519"
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class BadSignature(ValueError):
    """The receipt is not as it was signed, or not signed with that key."""


class Signer:
    """Signs with one private key, 32 bytes in hexadecimal. Raises ValueError for anything else."""

    def __init__(self, private_key: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(_key_bytes(private_key))
        self.public_key = self._key.public_key().public_bytes_raw().hex()

    def sign(self, document: Mapping[str, Any]) -> Json:
        """The document with `algorithm`, `public_key`, `key_id` and `signature`."""
        signed = {
            **document,
            "algorithm": ALGORITHM,
            "public_key": self.public_key,
            "key_id": key_id_of(self.public_key),
        }
        return {**signed, "signature": self._key.sign(canonical(signed)).hex()}


def key_id_of(public_key: str) -> str:
    """The name of a public key, which follows from the key: the start of its SHA-256."""
    return hashlib.sha256(_key_bytes(public_key)).hexdigest()[:16]


def check_signature(document: Mapping[str, Any], public_key: str) -> None:
    """Raises BadSignature unless the document is exactly what the owner of `public_key` signed."""
    rest = {name: value for name, value in document.items() if name != "signature"}
    signature = document.get("signature")
    if rest.get("algorithm") != ALGORITHM or not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise BadSignature("there is no Ed25519 signature in it")
    if rest.get("public_key") != public_key or rest.get("key_id") != key_id_of(public_key):
        raise BadSignature("it names another key")
    try:
        Ed25519PublicKey.from_public_bytes(_key_bytes(public_key)).verify(bytes.fromhex(signature), canonical(rest))
    except InvalidSignature:
        raise BadSignature("the signature does not fit: something has been changed") from None


def key_list(current: str | None, old: Iterable[str]) -> Json:
    """The document in which public keys are published, the current one first. Raises ValueError for what is no key."""
    keys = ([current] if current else []) + [key for key in old if key != current]
    return {
        "keys": [
            {"key_id": key_id_of(key), "algorithm": ALGORITHM, "public_key": key, "current": key == current}
            for key in keys
        ]
    }


def _key_bytes(text: str) -> bytes:
    if not _KEY.fullmatch(text):
        raise ValueError("a key is 64 lower-case hexadecimal digits")
    return bytes.fromhex(text)
