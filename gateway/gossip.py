"""What gateway processes tell each other about the last half second: small news in one Redis stream.

No request waits for it. A process that starts hears what was said in the last minutes; while Redis is away each goes by
what it sees itself, and tells the rest later.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4

import orjson
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.background import end_all

log = structlog.get_logger(__name__)

STREAM = "r1:gossip"
TELL_EVERY_S = 0.5
LISTEN_S = 0.5  # below the client's own time-out
REMEMBERED_S = 600.0
MOST_ENTRIES = 20_000
_HEARD_AT_ONCE = 500
_TRY_AGAIN_S = 1.0
_TROUBLE = (RedisError, OSError)


class Part(Protocol):
    """Something whose knowledge is shared. News must be JSON, and safe to hear late."""

    topic: str

    def take_news(self, now: float) -> Any:
        """What was learnt since the last time; None for nothing. `now` in seconds since 1970."""

    def hear(self, news: Any, told_at: float, now: float) -> None:
        """What another process learnt until `told_at`. May raise LookupError, TypeError or ValueError on nonsense."""


class Gossip:
    """One per process, between `start` and `stop`. The Redis client stays the caller's."""

    def __init__(self, redis: Redis, parts: Sequence[Part]) -> None:
        self._redis = redis
        self._parts = {part.topic: part for part in parts}
        self._me = uuid4().hex[:12]
        self._heard = b"0"
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._heard = b"%d-0" % int((time.time() - REMEMBERED_S) * 1000)
        with contextlib.suppress(*_TROUBLE, TimeoutError):
            async with asyncio.timeout(2):  # what is not heard by then is heard while serving
                while await self._listen(None) == _HEARD_AT_ONCE:
                    pass
        self._tasks = [asyncio.create_task(self._talk()), asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        await end_all(self._tasks)
        self._tasks = []

    async def tell(self) -> None:
        """Say what is new, if anything is. Raises RedisError."""
        now = time.time()
        news = {topic: said for topic, part in self._parts.items() if (said := part.take_news(now)) is not None}
        if news:
            message: dict[Any, Any] = {"p": self._me, "t": b"%.3f" % now, "n": orjson.dumps(news)}
            await self._redis.xadd(STREAM, message, maxlen=MOST_ENTRIES, approximate=True)

    async def _talk(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            try:
                await self.tell()
            except _TROUBLE as error:  # these news are lost to the others, not to us
                log.warning("gossip_not_told", error_class=type(error).__name__)
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _follow(self) -> None:
        while True:
            try:
                await self._listen(int(LISTEN_S * 1000))
            except _TROUBLE as error:
                log.warning("gossip_not_heard", error_class=type(error).__name__)
                await asyncio.sleep(_TRY_AGAIN_S)

    async def _listen(self, wait_ms: int | None) -> int:
        """Take in what was said since; returns how many entries."""
        answer: Any = await self._redis.xread({STREAM: self._heard}, count=_HEARD_AT_ONCE, block=wait_ms)
        entries = answer[0][1] if answer else []
        for entry_id, fields in entries:
            self._heard = entry_id
            if fields.get(b"p") != self._me.encode():
                self._take_in(fields)
        return len(entries)

    def _take_in(self, fields: dict[bytes, bytes]) -> None:
        """Nonsense is left out: a newer process may say more than we know."""
        now = time.time()
        try:
            told_at = min(float(fields[b"t"]), now)
            for topic, news in orjson.loads(fields[b"n"]).items():
                part = self._parts.get(topic)
                if part is not None:
                    part.hear(news, told_at, now)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            log.warning("gossip_not_understood", error_class=type(error).__name__)
