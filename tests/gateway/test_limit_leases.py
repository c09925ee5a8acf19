"""Requests a minute taken some at a time: rarely asked for, never past the limit, and given back."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from accounts.caller import Caller
from gateway.limit_decision import RateDecision
from gateway.limits import Limiter
from gateway.redis_link import RedisLink
from tests.gateway.own_valkey import OwnValkey

BUSY = Caller(1, 1, 1, 3_000, None, project_requests_per_minute=100_000)
Open = Callable[[], Awaitable[Limiter]]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnValkey]:
    own = OwnValkey()
    yield own
    own.close()


@pytest.fixture
async def link(server: OwnValkey) -> AsyncIterator[RedisLink]:
    link = RedisLink(server.url)
    await link.start()
    await link.call("FLUSHALL")
    seconds = int((await link.call("TIME"))[0]) % 60
    if seconds > 52:  # the minute must not turn meanwhile
        await asyncio.sleep(60.5 - seconds)
    yield link
    await link.stop()


@pytest.fixture
async def open_limiter(server: OwnValkey, link: RedisLink) -> AsyncIterator[Open]:
    """Each one stands for a process."""
    opened: list[tuple[RedisLink, Limiter]] = []

    async def one() -> Limiter:
        own = RedisLink(server.url, timeout_s=0.5)
        limiter = Limiter(own)
        await own.start()
        await limiter.start()
        opened.append((own, limiter))
        return limiter

    yield one
    for own, limiter in opened:
        await limiter.stop()
        await own.stop()


async def ask(limiter: Limiter, caller: Caller = BUSY) -> RateDecision:
    return limiter.admit_at_once(caller) or await limiter.admit(caller, str(uuid4()), 0)


async def counted(link: RedisLink, key: str = "r1:rate:{1}:k1") -> int:
    return int(struct.unpack("<ddddd", await link.call("GET", key))[1])


async def questions(link: RedisLink) -> int:
    stats: bytes = await link.call("INFO", "commandstats")
    line = next((line for line in stats.splitlines() if line.startswith(b"cmdstat_evalsha:")), b"calls=0,")
    return int(line.partition(b"calls=")[2].partition(b",")[0])


async def test_a_busy_key_asks_rarely_and_hears_how_much_is_left(open_limiter: Open, link: RedisLink) -> None:
    limiter = await open_limiter()
    await link.call("CONFIG", "RESETSTAT")
    decisions = [await ask(limiter) for _ in range(300)]
    assert all(decision.allowed for decision in decisions)
    assert await questions(link) < 60
    assert {decision.limit_requests for decision in decisions} == {3_000}
    assert decisions[-1].remaining_requests == 2_700
    assert await counted(link) >= 300
    assert await counted(link, "r1:rate:{1}:p1") == await counted(link)


async def test_a_slow_key_takes_one_at_a_time(open_limiter: Open, link: RedisLink) -> None:
    limiter = await open_limiter()
    for number in range(1, 4):
        assert (await ask(limiter)).allowed
        assert await counted(link) == number
        await asyncio.sleep(1.1)


async def test_what_is_not_used_goes_back(open_limiter: Open, link: RedisLink) -> None:
    limiter, other = await open_limiter(), await open_limiter()
    sent = 0
    while sent < 100 or await counted(link) == sent:
        await ask(limiter)
        sent += 1
    await asyncio.sleep(1.8)
    assert await counted(link) == sent
    while await counted(link) == sent or sent < 150:
        await ask(other)
        sent += 1
    await other.stop()
    await asyncio.sleep(0.1)
    assert await counted(link) == sent


async def test_processes_together_never_pass_the_limit_and_waste_nothing(open_limiter: Open, link: RedisLink) -> None:
    limiters = [await open_limiter() for _ in range(4)]
    caller = replace(BUSY, requests_per_minute=1_500)

    async def many(limiter: Limiter) -> int:
        return sum([(await ask(limiter, caller)).allowed for _ in range(600)])

    first = sum(await asyncio.gather(*[many(limiter) for limiter in limiters]))
    assert 1_480 <= first <= 1_500
    await asyncio.sleep(1.8)  # what one process had taken ahead and not used
    rest = sum([(await ask(limiter, caller)).allowed for limiter in limiters for _ in range(50)])
    assert first + rest == 1_500


async def test_other_limits_hold_at_once(open_limiter: Open, link: RedisLink) -> None:
    limiter = await open_limiter()
    for _ in range(100):
        await ask(limiter)
    lower = replace(BUSY, requests_per_minute=100)
    assert limiter.admit_at_once(lower) is None
    assert not (await ask(limiter, lower)).allowed
    assert await counted(link) == 100


async def test_without_redis_what_was_taken_is_used_and_then_the_share_counts(server: OwnValkey) -> None:
    own = OwnValkey()
    link = RedisLink(own.url, timeout_s=0.5)
    limiter = Limiter(link, processes=1)
    await link.start()
    for _ in range(50):
        await ask(limiter)
    own.close()
    await asyncio.sleep(0.1)
    assert all([(await ask(limiter)).allowed for _ in range(50)])
    await limiter.stop()
    await link.stop()
