"""What processes tell each other about credit: it came in, it must not be spent any more, somebody is short of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from accounts.background import end_all

log = structlog.get_logger(__name__)

FUNDS = "r1:funds"  # payload: the organization whose wallet, plan or epoch changed
RECALL = "r1:recall"  # payload: the organization whose idle slices are wanted back

_AGAIN_S = 0.5


class CreditSignals:
    """Between `start` and `stop`. Without Redis nothing is heard: slices then end by their time and their epoch."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._listeners: dict[bytes, tuple[Callable[[int], None], ...]] = {}
        self._task: asyncio.Task[None] | None = None

    def on_funds(self, *listeners: Callable[[int], None]) -> None:
        """Called with the organization's id."""
        self._listeners[FUNDS.encode()] = listeners

    def on_recall(self, *listeners: Callable[[int], None]) -> None:
        """Called with the organization's id."""
        self._listeners[RECALL.encode()] = listeners

    async def start(self) -> None:
        self._task = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        if self._task is not None:
            await end_all((self._task,))

    async def recall(self, organization_id: int) -> None:
        """Ask every process, this one too, for the credit that it holds and does not need."""
        try:
            await self._redis.publish(RECALL, str(organization_id))
        except (RedisError, OSError, TimeoutError):
            self._tell(RECALL.encode(), organization_id)

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("credit_signals_not_heard", error_class=type(error).__name__)
            await asyncio.sleep(_AGAIN_S)

    async def _hear(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(FUNDS, RECALL)
            while True:
                message = await subscription.get_message(timeout=5.0)
                if message is None:
                    continue
                payload: bytes = message["data"]
                if payload.isdigit():
                    self._tell(message["channel"], int(payload))

    def _tell(self, channel: bytes, organization_id: int) -> None:
        for listener in self._listeners.get(channel, ()):
            listener(organization_id)
