"""The catalogue as each gateway process holds it: a snapshot in memory, refreshed in the background.

A change is announced on `r1:catalogue`; a look at the version every few seconds finds what an announcement missed.
While PostgreSQL is away the last snapshot stays in use.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from accounts.background import end_all
from routing.policy.candidate import ONE, Catalogue, DeploymentInfo, ModelInfo
from routing.snapshot import read_catalogue, read_version

__all__ = ["CHANNEL", "Catalogue", "CatalogueSnapshots", "DeploymentInfo", "ModelInfo"]

CHANNEL = "r1:catalogue"
EMPTY = Catalogue(models={}, aliases={}, withdrawn={})
log = logging.getLogger(__name__)


class CatalogueSnapshots:
    """Keeps `current` fresh between `start` and `stop`. Pool and Redis client stay the caller's.

    `markup` is the factor on prices where no markup rule is in force.
    """

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection[Any]],
        redis: Redis,
        *,
        credential_keys: Sequence[str],
        markup: Decimal = ONE,
        check_every_s: float = 5.0,
    ) -> None:
        self._pool = pool
        self._redis = redis
        self._keys = tuple(credential_keys)
        self._markup = markup
        self._check_every_s = check_every_s
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.current: Catalogue = EMPTY

    async def start(self) -> None:
        """Reads the first snapshot (an empty one when PostgreSQL is away) and begins to watch."""
        await self._refresh_or_keep()
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]

    async def stop(self) -> None:
        await end_all(self._tasks)
        self._tasks = []

    async def refresh(self) -> bool:
        """Reads the catalogue again if its version moved. True when `current` is a new one."""
        async with self._pool.connection() as connection:
            if await read_version(connection) == self.current.version:
                return False
            self.current = await read_catalogue(connection, self._keys, self._markup)
        return True

    async def _refresh_or_keep(self) -> None:
        try:
            await self.refresh()
        except Exception as error:  # whatever is wrong with the store, requests go on with the last snapshot
            log.warning("catalogue_refresh_failed", extra={"error_class": type(error).__name__})

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._check_every_s)
            self._changed.clear()
            await self._refresh_or_keep()

    async def _listen(self) -> None:
        while True:
            try:
                await self._take_announcements()
            except Exception as error:  # Redis is away: the version check goes on alone
                log.warning("catalogue_subscription_lost", extra={"error_class": type(error).__name__})
            await asyncio.sleep(1.0)

    async def _take_announcements(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
            await subscription.subscribe(CHANNEL)
            self._changed.set()  # something may have changed before we were listening
            async for _ in subscription.listen():
                self._changed.set()
