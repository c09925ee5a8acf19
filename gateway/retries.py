"""A client that sends a request again while the first still runs: the first is stopped.

The first is free only where it had sent no content, at most twice for the same body and so many times per key and day:
the counter that clients send along is their word alone. Bodies are compared by hash and only when a retry comes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.background import end_all
from gateway.exchange import Exchange
from gateway.redis_link import RedisAway, RedisLink, RedisRefused

log = structlog.get_logger(__name__)

HEADER = b"x-stainless-retry-count"  # both vendors' SDKs send it
CHANNEL = "r1:again"  # payload: api key id, hash of the body, id of the new request, whether the first may be free
MOST_FREE_PER_BODY = 2
MOST_FREE_PER_DAY = 100
_DAY_S = 86_400


class _Running:
    __slots__ = ("body", "exchange", "stop")

    def __init__(self, exchange: Exchange, body: bytes, stop: Callable[[], None]) -> None:
        self.exchange = exchange
        self.body = body
        self.stop = stop


class Retries:
    """The running requests of this process, between `start` and `stop`."""

    def __init__(self, redis: Redis, link: RedisLink) -> None:
        self._redis = redis
        self._link = link
        self._running: defaultdict[int, dict[str, _Running]] = defaultdict(dict)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._task is not None:
            await end_all((self._task,))

    def begin(self, api_key_id: int, exchange: Exchange, body: bytes, stop: Callable[[], None]) -> None:
        self._running[api_key_id][exchange.id] = _Running(exchange, body, stop)

    def end(self, api_key_id: int, request_id: str) -> None:
        running = self._running.get(api_key_id)
        if running is not None:
            running.pop(request_id, None)
            if not running:
                del self._running[api_key_id]

    async def supersede(self, api_key_id: int, organization_id: int, exchange: Exchange, body: bytes) -> None:
        """Stop the earlier requests with this body, here and in other processes."""
        body_hash = hashlib.sha256(body).hexdigest()
        is_free = await self._count(api_key_id, organization_id, body_hash)
        payload = f"{api_key_id}:{body_hash}:{exchange.id}:{int(is_free)}"
        self._stop_others(payload)
        try:
            self._link.tell("PUBLISH", CHANNEL, payload)
        except RedisAway:
            return

    async def _count(self, api_key_id: int, organization_id: int, body_hash: str) -> bool:
        """Whether the client may still be believed. Without Redis nothing is free."""
        day = datetime.now(UTC).strftime("%Y%m%d")
        per_body = f"r1:again:{{{organization_id}}}:{api_key_id}:{body_hash[:32]}"
        per_day = f"r1:again:{{{organization_id}}}:{api_key_id}:{day}"
        try:
            body_count, _, day_count, _ = await self._link.call_many(
                [
                    ("INCR", per_body),
                    ("EXPIRE", per_body, _DAY_S),
                    ("INCR", per_day),
                    ("EXPIRE", per_day, _DAY_S),
                ]
            )
        except (RedisAway, RedisRefused):
            return False
        return (
            isinstance(body_count, int)
            and isinstance(day_count, int)
            and body_count <= MOST_FREE_PER_BODY
            and day_count <= MOST_FREE_PER_DAY
        )

    def _stop_others(self, payload: str) -> None:
        key, body_hash, newer, is_free = payload.split(":")
        for request_id, running in list(self._running.get(int(key), {}).items()):
            if request_id >= newer or running.exchange.superseded:
                continue
            if hashlib.sha256(running.body).hexdigest() == body_hash:
                running.exchange.superseded = True
                running.exchange.waived = is_free == "1"
                running.stop()

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("retries_not_heard", error_class=type(error).__name__)
            await asyncio.sleep(0.5)

    async def _hear(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            while True:
                message = await subscription.get_message(timeout=5.0)
                if message is not None:
                    try:
                        self._stop_others(message["data"].decode())
                    except ValueError:
                        continue
