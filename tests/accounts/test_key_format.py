from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.key_format import ALPHABET, PREFIX, generate, hash_key, looks_valid


def test_a_new_key_is_valid_and_unlike_any_other() -> None:
    keys = {generate() for _ in range(200)}
    assert len(keys) == 200
    assert all(looks_valid(key) and key.startswith("sk-ro-") for key in keys)


def test_a_key_holds_160_bits_even_when_its_checksum_is_known() -> None:
    random_length = len(generate()) - len(PREFIX) - 6
    assert len(ALPHABET) ** random_length > 2 ** (160 + 32)


def test_every_single_typing_error_is_noticed() -> None:
    key = generate()
    for place in range(len(key)):
        for other in ALPHABET:
            if other != key[place]:
                assert not looks_valid(key[:place] + other + key[place + 1 :])


@pytest.mark.parametrize("change", [lambda k: k + "A", lambda k: k[:-1], lambda k: k + "\n", lambda k: k.upper()])
def test_a_key_of_another_shape_is_refused(change: object) -> None:
    assert not looks_valid(change(generate()))  # type: ignore[operator]


@given(st.text())
def test_garbage_is_refused_and_never_raises(text: str) -> None:
    assert not looks_valid(text)
    assert not looks_valid(PREFIX + text)


def test_the_hash_depends_on_the_pepper() -> None:
    key = generate()
    assert hash_key(key, b"one") != hash_key(key, b"two")
    assert hash_key(key, b"one") == hash_key(key, b"one")
    assert len(hash_key(key, b"one")) == 32
