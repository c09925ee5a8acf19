"""The web side's cache: Redis, and while Redis is away the memory of this process.

Log-in limits count in it. Without a second place they would either not hold during an outage, or refuse everybody.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.locmem import LocMemCache
from django_redis.cache import RedisCache
from django_redis.exceptions import ConnectionInterrupted
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

REST_S = 2.0  # after a failure Redis is left alone for so long, so that pages do not wait for time-outs again and again


class FallbackCache(RedisCache):  # type: ignore[misc]
    """Only what the product uses falls back; anything else raises as usual."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        # The name is shared by the threads of a process: each thread has its own cache object.
        self._memory = LocMemCache("fallback", {"OPTIONS": {"MAX_ENTRIES": 10_000}})

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("add", super().add, args, kwargs)

    def get(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("get", super().get, args, kwargs)

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("set", super().set, args, kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("delete", super().delete, args, kwargs)

    def incr(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("incr", super().incr, args, kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._either("touch", super().touch, args, kwargs)

    def _either(self, name: str, ask: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if time.monotonic() >= _Outage.until:
            try:
                return ask(*args, **kwargs)
            except (ConnectionInterrupted, RedisError, OSError) as error:
                _Outage.until = time.monotonic() + REST_S
                log.warning("cache_unreachable", error=type(error).__name__)
        return getattr(self._memory, name)(*args, **kwargs)


class _Outage:
    """Of this process; monotonic seconds."""

    until = 0.0
