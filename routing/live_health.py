"""How deployments are doing, for pages: what the gateway's processes last wrote down. Never fails."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import redis
import structlog
from django.conf import settings

from routing.policy.vitals import Vitals

KEY = "r1:health:latest"  # a hash: deployment id -> JSON list in the order of the fields of Vitals
log = structlog.get_logger(__name__)


def read_vitals() -> Mapping[int, Vitals]:
    """By deployment id; empty while no process has written, or Redis is away."""
    try:
        stored: Mapping[Any, Any] = redis_client().hgetall(KEY)
    except (redis.RedisError, OSError) as error:
        log.warning("health_not_read", error=type(error).__name__)
        return {}
    found = ((_number(key), _vitals(value)) for key, value in stored.items())
    return {key: vitals for key, vitals in found if key is not None and vitals is not None}


def _number(key: bytes) -> int | None:
    return int(key) if key.isdigit() else None


def _vitals(text: bytes) -> Vitals | None:
    """A shorter list of an older process gets defaults, what a newer one added is left out."""
    try:
        fields: Any = json.loads(text)
        return Vitals(*fields[: len(Vitals._fields)])
    except (ValueError, TypeError):
        return None


@functools.lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)
