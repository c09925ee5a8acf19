"""Requests per minute: one Lua call in Valkey, and the local share while that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.limits import RateLimiter


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_a_key_gets_its_limit_and_then_a_wait(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    decisions = [await limiter.take(1, 7, 3) for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions[:3]] == [2, 1, 0]
    assert decisions[3].retry_after_s is not None and 1 <= decisions[3].retry_after_s <= 120


async def test_keys_do_not_share_a_limit(redis: Redis) -> None:
    limiter = RateLimiter(redis)
    assert (await limiter.take(1, 1, 1)).allowed
    assert (await limiter.take(1, 2, 1)).allowed
    assert not (await limiter.take(1, 1, 1)).allowed


async def test_two_processes_count_together(redis: Redis) -> None:
    one, two = RateLimiter(redis), RateLimiter(redis)
    decisions = await asyncio.gather(*[limiter.take(1, 9, 10) for limiter in (one, two) for _ in range(10)])
    assert sum(decision.allowed for decision in decisions) == 10


async def test_without_redis_each_process_allows_its_share() -> None:
    away = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    limiter = RateLimiter(away, processes=2)
    decisions = [await limiter.take(1, 5, 10) for _ in range(8)]
    assert sum(decision.allowed for decision in decisions) in (5, 6)  # six where the minute turns meanwhile
    assert not decisions[-1].allowed
    await away.aclose()
