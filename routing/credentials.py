"""Our keys at providers, encrypted at rest with Fernet. The first key encrypts, all of them decrypt."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class CredentialUnreadable(Exception):
    """None of the keys opens the stored secret: a key was dropped before `rotate_credentials` ran."""


def _box(keys: Sequence[str]) -> MultiFernet:
    if not keys:
        raise ValueError("at least one credential key is needed")
    return MultiFernet([Fernet(key.encode()) for key in keys])


def encrypt(secret: str, keys: Sequence[str]) -> bytes:
    """The secret as a token to store."""
    return _box(keys).encrypt(secret.encode())


def decrypt(token: bytes | memoryview, keys: Sequence[str]) -> str:
    """The secret of a stored token. Raises CredentialUnreadable."""
    try:
        return _box(keys).decrypt(bytes(token)).decode()
    except InvalidToken:
        raise CredentialUnreadable("no key opens this credential") from None


def rotate(token: bytes | memoryview, keys: Sequence[str]) -> bytes:
    """The same secret under the first key. Raises CredentialUnreadable."""
    try:
        return _box(keys).rotate(bytes(token))
    except InvalidToken:
        raise CredentialUnreadable("no key opens this credential") from None
