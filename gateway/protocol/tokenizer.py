"""Tokens of a text by the o200k vocabulary, which the package ships, without any network.

Counting runs at some 10 to 20 MB a second and holds the interpreter, so a long text is counted by samples: what this
costs has a bound, whatever the caller sent. Loading the vocabulary takes most of a second, once in a process; a
server calls ``load`` before its first request.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol

# Texts up to here are counted whole, in about 5 ms; of longer ones as much is counted, in slices.
WHOLE_CHARACTERS = 64 * 1024
_SLICES = 16


class Vocabulary(Protocol):
    def count(self, text: str) -> int: ...


@cache
def load() -> Vocabulary | None:
    """The vocabulary; None on a machine for which the package is not made."""
    try:
        from bpe_openai._bindings import tokenizer_for_encoding

        vocabulary: Vocabulary = tokenizer_for_encoding("o200k_base")
    except Exception:  # a failed estimate must not fail a request, whatever the reason
        return None
    return vocabulary


def count(text: str) -> int | None:
    """Tokens of the text, for a long one about; None where they cannot be counted."""
    vocabulary = load()
    if vocabulary is None:
        return None
    try:
        if len(text) <= WHOLE_CHARACTERS:
            return vocabulary.count(_clean(text))
        return _by_samples(text, vocabulary)
    except Exception:  # as above
        return None


def _by_samples(text: str, vocabulary: Vocabulary) -> int:
    size = WHOLE_CHARACTERS // _SLICES
    step = (len(text) - size) / (_SLICES - 1)
    slices = (text[round(number * step) : round(number * step) + size] for number in range(_SLICES))
    counted = sum(vocabulary.count(_clean(piece)) for piece in slices)
    return round(counted * len(text) / (size * _SLICES))


def _clean(text: str) -> str:
    """Without lone surrogates, which JSON may hold and no tokenizer takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
