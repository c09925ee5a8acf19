"""Conversations return to the deployment that holds their prompt cache.

What is remembered is a keyed hash of how a conversation begins and a deployment's id, in memory and for minutes only.
Processes tell each other through `gateway.gossip`.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

KEPT_S = 300.0  # as long as most providers keep an unused prompt cache
LEAST_PROMPT_TOKENS = 1024  # shorter prompts are not cached by anybody
MOST_KEPT = 100_000
_PREFIX_CHARACTERS = 4096
_MOST_FIRST = 4  # turns, and parts of a turn
_DIGEST_BYTES = 12
_BEGINNINGS = ("system", "instructions")  # before the turns, where a dialect has them apart
_TURNS = ("messages", "input", "contents")

Place = tuple[str, int]


class Affinity:
    """One per process."""

    topic = "affinity"

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper[:64]
        self._places: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._news: dict[str, int] = {}

    def key(self, project_id: int, source: Mapping[str, Any], session: str = "") -> str:
        """The hash of a conversation's beginning, the same for all its turns; of its session where it names one."""
        digest = blake2b(digest_size=_DIGEST_BYTES, key=self._pepper, person=b"affinity")
        digest.update(b"%d" % project_id)
        for text in (session,) if session else _beginning(source):
            digest.update(text[:_PREFIX_CHARACTERS].encode("utf-8", "surrogatepass"))
            digest.update(b"\0")
        return digest.hexdigest()

    def hash_session(self, session: str) -> str:
        """What may be kept of the name that a caller gave to a session."""
        data = session.encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=_DIGEST_BYTES, key=self._pepper, person=b"session").hexdigest()

    def place(self, key: str) -> int | None:
        """The deployment that answered it last."""
        known = self._places.get(key)
        if known is None or known[1] < time.monotonic():
            return None
        return known[0]

    def answered(self, key: str, deployment_id: int) -> None:
        self._put(key, deployment_id)
        self._news[key] = deployment_id

    def take_news(self, now: float) -> list[Place] | None:
        """What this process learnt since it was last asked."""
        news, self._news = self._news, {}
        return list(news.items()) or None

    def hear(self, news: Iterable[Place], told_at: float, now: float) -> None:
        """What another process learnt."""
        for key, deployment_id in news:
            self._put(str(key), int(deployment_id), KEPT_S - (now - told_at))

    def _put(self, key: str, deployment_id: int, kept_s: float = KEPT_S) -> None:
        self._places[key] = (deployment_id, time.monotonic() + kept_s)
        self._places.move_to_end(key)
        if len(self._places) > MOST_KEPT:
            self._places.popitem(last=False)


def _beginning(source: Mapping[str, Any]) -> Iterable[str]:
    for name in _BEGINNINGS:
        yield from _texts(source.get(name))
    for name in _TURNS:
        turns = source.get(name)
        if isinstance(turns, str):
            yield turns
        elif isinstance(turns, list):
            for turn in turns[:_MOST_FIRST]:
                if isinstance(turn, dict):
                    yield from _texts(turn.get("content") or turn.get("parts"))
                    if turn.get("role") == "user":
                        break  # what follows was not there yet when it began


def _texts(content: object) -> Iterable[str]:
    """The texts of one turn's content, whichever way its dialect writes them."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content[:_MOST_FIRST]:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
