"""Processes hear from each other, late ones too, and nonsense hurts nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gateway.gossip import STREAM, Gossip


class Word:
    topic = "word"

    def __init__(self) -> None:
        self.new: list[str] = []
        self.heard: list[str] = []

    def take_news(self, now: float) -> Any:
        new, self.new = self.new, []
        return new or None

    def hear(self, news: Any, told_at: float, now: float) -> None:
        assert told_at <= now
        self.heard += [word.upper() for word in news]


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, socket_timeout=2.0) as client:
        await client.delete(STREAM)
        yield client
        await client.delete(STREAM)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


async def test_news_reach_the_others_and_not_the_teller_and_those_who_come_late(redis: Redis) -> None:
    one, other, late = Word(), Word(), Word()
    first, second, third = (Gossip(redis, [word]) for word in (one, other, late))
    await first.start()
    await second.start()
    one.new = ["a"]
    await until(lambda: other.heard == ["A"])
    await third.start()
    assert late.heard == ["A"]  # before it serves
    late.new = ["b"]
    await until(lambda: one.heard == ["B"] and other.heard == ["A", "B"])
    for gossip in (first, second, third):
        await gossip.stop()


async def test_nothing_is_said_where_nothing_is_new(redis: Redis) -> None:
    await Gossip(redis, [Word()]).tell()
    assert await redis.xlen(STREAM) == 0


@pytest.mark.parametrize(
    "fields",
    [{"x": "y"}, {"p": "p", "t": "soon", "n": "{}"}, {"p": "p", "t": "1", "n": "[1]"}, {"p": "p", "t": "1", "n": "{"},
     {"p": "p", "t": "1", "n": '{"word": [1]}'}, {"p": "p", "t": "1", "n": '{"other": 1}'}],
)  # fmt: skip
async def test_nonsense_is_left_out_and_the_next_word_is_heard(redis: Redis, fields: dict[str, str]) -> None:
    word = Word()
    gossip = Gossip(redis, [word])
    await redis.xadd(STREAM, fields)  # type: ignore[arg-type]
    await redis.xadd(STREAM, {"p": "p", "t": str(time.time()), "n": '{"word": ["good"]}'})
    await gossip.start()
    await gossip.stop()
    assert word.heard == ["GOOD"]


async def test_without_redis_it_starts_and_stops() -> None:
    async with Redis.from_url("redis://127.0.0.1:9/0", socket_connect_timeout=0.1) as away:
        gossip = Gossip(away, [Word()])
        await gossip.start()
        await gossip.stop()
