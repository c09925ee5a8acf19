"""How the sandbox counts tokens, and what it remembers of prompts: keyed hashes, never text.

The rule: a token is a run of up to eight letters and digits, or one sign, or one Chinese, Japanese or Korean
character, with the white space around it. A message adds 4, an image 85, a sound or a file 100.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

MESSAGE_TOKENS = 4
IMAGE_TOKENS = 85
ATTACHMENT_TOKENS = 100
LEAST_CACHED = 64  # a shorter prefix is never cached, and what is cached comes in steps of this size

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
_PIECE = re.compile(rf"\s*(?:[{_CJK}]|(?:(?![{_CJK}])\w){{1,8}}|[^\w\s])(?:\s+\Z)?|\s+\Z")


def pieces(text: str) -> tuple[str, ...]:
    """The tokens of a text; joined they are the text again."""
    return tuple(_PIECE.findall(text))


def count(text: str) -> int:
    return sum(1 for _ in _PIECE.finditer(text))


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the prompt in order. `mark` is the life of a cache breakpoint behind it: "5m", "1h" or None."""

    digest: bytes
    tokens: int
    mark: str | None = None


def segment(text: str, *, extra_tokens: int = 0, mark: str | None = None) -> Segment:
    return Segment(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(),
        count(text) + extra_tokens,
        mark,
    )


@dataclass(frozen=True, slots=True)
class PromptTokens:
    """`total` is the whole prompt; what was read from and written to the cache is inside it."""

    total: int
    cache_read: int = 0
    cache_write: int = 0
    cache_write_long: int = 0

    @property
    def uncached(self) -> int:
        return self.total - self.cache_read - self.cache_write - self.cache_write_long

    def times(self, factor: int) -> PromptTokens:
        """The same prompt, said to be so many times as long."""
        if factor == 1:
            return self
        return PromptTokens(
            self.total * factor, self.cache_read * factor, self.cache_write * factor, self.cache_write_long * factor
        )


def prompt_tokens(segments: Sequence[Segment], cached: Decimal | None = None) -> PromptTokens:
    """The prompt without a memory; `cached` is the share that a script wants reported as read."""
    total = sum(part.tokens for part in segments)
    return PromptTokens(total, cache_read=int(total * cached) if cached is not None else 0)


class PromptMemory:
    """Which prompt prefixes were sent before, as a bounded set of keyed hashes, oldest out first."""

    def __init__(self, key: bytes, size: int = 4096) -> None:
        self._key = key
        self._size = size
        self._known: OrderedDict[bytes, None] = OrderedDict()

    def meet_automatic(self, scope: str, segments: Sequence[Segment]) -> PromptTokens:
        """Cache as the OpenAI dialect does: unasked, the longest prefix that is known, in whole steps."""
        chain = self._chain(scope, segments)
        read = max((tokens for digest, tokens in chain if digest in self._known), default=0)
        for digest, tokens in chain:
            if tokens >= LEAST_CACHED:
                self._learn(digest)
        return PromptTokens(sum(part.tokens for part in segments), cache_read=read - read % LEAST_CACHED)

    def meet_marked(self, scope: str, segments: Sequence[Segment]) -> PromptTokens:
        """Cache as the Anthropic dialect does: up to the marked parts only; reading and writing are told apart."""
        total = sum(part.tokens for part in segments)
        last = max((at for at, part in enumerate(segments) if part.mark), default=-1)
        chain = self._chain(scope, segments)[: last + 1]
        if not chain or chain[-1][1] < LEAST_CACHED:
            return PromptTokens(total)
        read = max((tokens for digest, tokens in chain if digest in self._known), default=0)
        written = {"5m": 0, "1h": 0}
        reached = read
        for (digest, tokens), part in zip(chain, segments, strict=False):
            if part.mark and tokens >= LEAST_CACHED:
                self._learn(digest)
                if tokens > reached:
                    written[part.mark] += tokens - reached
                    reached = tokens
        return PromptTokens(total, read, written["5m"], written["1h"])

    def _chain(self, scope: str, segments: Sequence[Segment]) -> list[tuple[bytes, int]]:
        """The digest and the size of each prefix."""
        digest, tokens, chain = scope.encode(), 0, []
        for part in segments:
            digest = hashlib.blake2b(digest + part.digest, key=self._key, digest_size=16).digest()
            tokens += part.tokens
            chain.append((digest, tokens))
        return chain

    def _learn(self, digest: bytes) -> None:
        self._known[digest] = None
        self._known.move_to_end(digest)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
