"""Requests per minute, per key: a sliding window of two counters in one Lua call, with a local fallback."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

# The weight of the last minute falls as this one passes, so a burst across the boundary is still counted.
_SCRIPT = """
local limit = tonumber(ARGV[1])
local now = redis.call('TIME')
local t = tonumber(now[1]) + tonumber(now[2]) / 1000000
local minute = math.floor(t / 60)
local passed = t / 60 - minute
local current = tonumber(redis.call('HGET', KEYS[1], minute) or '0')
local previous = tonumber(redis.call('HGET', KEYS[1], minute - 1) or '0')
local used = previous * (1 - passed) + current
if used + 1 > limit then
  local wait
  if current + 1 <= limit and previous > 0 then
    wait = 60 * ((1 - (limit - 1 - current) / previous) - passed)
  else
    wait = 60 * (1 - passed) + 60 * math.max(0, 1 - (limit - 1) / math.max(current, 1))
  end
  return {0, 0, math.ceil(math.max(wait, 0.001) * 1000)}
end
redis.call('HINCRBY', KEYS[1], minute, 1)
if current == 0 then
  redis.call('HDEL', KEYS[1], minute - 2, minute - 3)
end
redis.call('EXPIRE', KEYS[1], 180)
return {1, math.floor(limit - used - 1), math.ceil(60000 * (1 - passed))}
"""


@dataclass(frozen=True, slots=True)
class RateDecision:
    """`reset_s` is when the window is free again; `retry_after_s` is set on a refusal, whole seconds, at least 1."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: float
    retry_after_s: int | None

    def headers(self) -> dict[str, str]:
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_s:.3g}s",
        }


class RateLimiter:
    """Counts in Redis; while that is away each process counts its own share."""

    def __init__(self, redis: Redis, *, processes: int = 1) -> None:
        self._redis = redis
        self._script = redis.register_script(_SCRIPT)
        self._processes = max(1, processes)
        self._away_until = 0.0
        self._local: dict[int, tuple[int, int, int]] = {}  # key id -> minute, current, previous

    async def take(self, organization_id: int, api_key_id: int, limit: int) -> RateDecision:
        """Count one request of this key if the limit allows it."""
        if time.monotonic() >= self._away_until:
            try:
                # Braces keep the keys of one organization in one cluster slot.
                allowed, remaining, wait_ms = await self._script(
                    keys=[f"r1:rpm:{{{organization_id}}}:{api_key_id}"], args=[limit]
                )
            except (RedisError, OSError, TimeoutError):
                self._away_until = time.monotonic() + 1.0
            else:
                return _decision(bool(allowed), limit, int(remaining), wait_ms / 1000)
        return self._take_local(api_key_id, limit, time.time())

    def _take_local(self, api_key_id: int, limit: int, now: float) -> RateDecision:
        share = max(1, limit // self._processes)
        minute = int(now // 60)
        passed = now / 60 - minute
        at, current, previous = self._local.get(api_key_id, (minute, 0, 0))
        if at != minute:
            previous, current = (current, 0) if at == minute - 1 else (0, 0)
        used = previous * (1 - passed) + current
        allowed = used + 1 <= share
        if len(self._local) > 100_000:
            self._local.clear()
        self._local[api_key_id] = (minute, current + int(allowed), previous)
        return _decision(allowed, limit, max(0, int(share - used - 1)), 60 * (1 - passed))


def _decision(allowed: bool, limit: int, remaining: int, wait_s: float) -> RateDecision:
    return RateDecision(allowed, limit, remaining, wait_s, None if allowed else max(1, math.ceil(wait_s)))
