"""Which deployments and credentials are left alone just now, for pages: from what gateway processes tell each other.

The breakers themselves are in the memory of those processes. Never fails.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import redis
import structlog

from routing.live_health import redis_client
from routing.policy.breaker import LONGEST_HOLD_S

STREAM: Final = "r1:gossip"  # entries have the news as JSON in `n`: {"health": {"b": [[kind, id, open until], …]}}
_MOST_ENTRIES: Final = 4_000  # looked at in one go; with more processes than that is for, the oldest are not seen
log = structlog.get_logger(__name__)

Key = tuple[str, int]  # "deployment" or "credential", and its id


class Listener:
    """Remembers what was said, so that a page which looks every few seconds reads only what is new."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard = ""  # the id of the newest entry
        self._until: dict[Key, float] = {}

    def open_until(self) -> Mapping[Key, datetime]:
        """Those that are open, and until when. Half-open ones are not among them."""
        now = time.time()
        with self._lock:
            try:
                self._listen(now)
            except (redis.RedisError, OSError) as error:
                log.warning("breakers_not_read", error=type(error).__name__)
            self._until = {key: until for key, until in self._until.items() if until > now}
            return {key: datetime.fromtimestamp(until, UTC) for key, until in self._until.items()}

    def _listen(self, now: float) -> None:
        oldest = f"{int((now - LONGEST_HOLD_S) * 1000)}"
        since = f"({self._heard}" if self._heard and self._heard > oldest else oldest
        newest_first: list[Any] = redis_client().xrevrange(STREAM, "+", since, count=_MOST_ENTRIES)  # type: ignore[assignment]
        for entry_id, fields in reversed(newest_first):
            self._heard = entry_id.decode()
            for kind, number, until in _changes(fields.get(b"n", b"")):
                self._until[kind, number] = min(until, now + LONGEST_HOLD_S)


def _changes(text: bytes) -> Iterable[tuple[str, int, float]]:
    """Opened until then, or 0 for closed. Nonsense is left out: a newer process may say more than we know."""
    try:
        news: Any = orjson.loads(text)
        return [(str(kind), int(number), float(until)) for kind, number, until in news["health"]["b"]]
    except (LookupError, TypeError, ValueError):
        return []


listener: Final = Listener()
