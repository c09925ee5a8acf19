"""Rates and concurrency in Valkey: never more than the limit, over several processes; and each one's share without."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from accounts.caller import Caller
from gateway import limit_scripts
from gateway.limit_decision import RateDecision
from gateway.limits import Limiter, refusal_text
from gateway.redis_link import RedisLink
from tests.gateway.own_valkey import OwnValkey

KEY = Caller(1, 1, 1, None, None)
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
    yield link
    await link.stop()


@pytest.fixture
async def open_limiter(server: OwnValkey, link: RedisLink) -> AsyncIterator[Open]:
    """Each one stands for a process."""
    links = []

    async def one() -> Limiter:
        own = RedisLink(server.url, timeout_s=0.5)
        limiter = Limiter(own)
        await own.start()
        links.append(own)
        return limiter

    yield one
    for own in links:
        await own.stop()


@pytest.fixture
async def limiter(open_limiter: Open) -> Limiter:
    return await open_limiter()


async def ask(limiter: Limiter, caller: Caller, tokens: int = 0, request_id: str = "") -> RateDecision:
    return await limiter.admit(caller, request_id or str(uuid4()), tokens)


async def early_in_the_minute(link: RedisLink) -> None:
    """For tests that count over a while: the minute must not turn meanwhile."""
    seconds = int((await link.call("TIME"))[0]) % 60
    if seconds > 52:
        await asyncio.sleep(60.5 - seconds)


async def set_back(link: RedisLink, key: str, minutes: int) -> None:
    """As if what was counted had been counted some minutes ago."""
    script = """
    local at, a, b, c, d = struct.unpack('<ddddd', redis.call('GET', KEYS[1]))
    redis.call('SET', KEYS[1], struct.pack('<ddddd', at - ARGV[1], a, b, c, d))
    """
    await link.call("EVAL", script, 1, key, minutes)


async def test_a_key_gets_its_limit_and_then_a_wait(limiter: Limiter, link: RedisLink) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=3)
    decisions = [await ask(limiter, caller) for _ in range(5)]
    assert [decision.allowed for decision in decisions] == [True, True, True, False, False]
    assert [decision.remaining for decision in decisions] == [2, 1, 0, 0, 0]
    refused = decisions[3]
    assert (refused.scope, refused.what, refused.limit) == ("key", "requests", 3)
    assert refused.retry_after_s is not None and 1 <= refused.retry_after_s <= 120


async def test_without_limits_nothing_is_asked(limiter: Limiter, link: RedisLink) -> None:
    await link.call("CONFIG", "RESETSTAT")
    assert (await ask(limiter, KEY, 10)).allowed
    assert b"evalsha" not in await link.call("INFO", "commandstats")
    assert (await ask(limiter, KEY)).headers() == []


async def test_keys_do_not_share_a_limit_and_a_project_and_an_organization_do(limiter: Limiter) -> None:
    one = replace(KEY, requests_per_minute=1)
    assert (await ask(limiter, one)).allowed
    assert (await ask(limiter, replace(one, api_key_id=2))).allowed
    assert not (await ask(limiter, one)).allowed
    shared = replace(KEY, project_id=7, project_requests_per_minute=2)
    decisions = [await ask(limiter, replace(shared, api_key_id=number)) for number in (10, 11, 12)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[2].scope == "project"
    whole = replace(KEY, organization_id=5, organization_requests_per_minute=2)
    decisions = [await ask(limiter, replace(whole, project_id=number, api_key_id=number)) for number in (20, 21, 22)]
    assert [decision.allowed for decision in decisions] == [True, True, False]
    assert decisions[2].scope == "organization"
    assert (await ask(limiter, replace(whole, organization_id=6))).allowed


@pytest.mark.parametrize("limits", [{"requests_per_minute": 40}, {"project_requests_per_minute": 40}])
async def test_processes_count_together_and_never_past_the_limit(
    open_limiter: Open, link: RedisLink, limits: dict[str, int]
) -> None:
    await early_in_the_minute(link)
    limiters = [await open_limiter() for _ in range(4)]
    caller = replace(KEY, **limits)
    decisions = await asyncio.gather(*[ask(limiter, caller) for limiter in limiters for _ in range(50)])
    assert sum(decision.allowed for decision in decisions) == 40


async def test_tokens_of_many_processes_never_pass_the_limit(open_limiter: Open, link: RedisLink) -> None:
    await early_in_the_minute(link)
    limiters = [await open_limiter() for _ in range(4)]
    caller = replace(KEY, organization_tokens_per_minute=10_000)
    sizes = [100 + 37 * number for number in range(40)]
    decisions = await asyncio.gather(*[ask(limiter, caller, size) for limiter in limiters for size in sizes])
    admitted = sum(size for size, decision in zip(sizes * 4, decisions, strict=True) if decision.allowed)
    assert 10_000 - 100 < admitted <= 10_000


async def test_concurrency_over_processes_never_passes_the_limit(open_limiter: Open) -> None:
    limiters = [await open_limiter() for _ in range(4)]
    caller = replace(KEY, max_concurrent=5)
    running, most, served = 0, 0, 0

    async def request(limiter: Limiter) -> None:
        nonlocal running, most, served
        request_id = str(uuid4())
        while not (await limiter.admit(caller, request_id, 0)).allowed:
            await asyncio.sleep(0.002)
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.003)
        running -= 1
        served += 1
        limiter.done(request_id, 0)

    await asyncio.gather(*[request(limiter) for limiter in limiters for _ in range(25)])
    assert (most, served) == (5, 100)


@pytest.mark.parametrize(
    ("refusing", "what"),
    [
        ({"organization_requests_per_minute": 0}, "requests"),
        ({"organization_tokens_per_minute": 99}, "tokens"),
        ({"organization_max_concurrent": 0}, "concurrency"),
    ],
)
async def test_a_refused_request_counts_nowhere(
    limiter: Limiter, link: RedisLink, refusing: dict[str, int], what: str
) -> None:
    generous = replace(
        KEY,
        requests_per_minute=5,
        tokens_per_minute=1000,
        max_concurrent=5,
        project_requests_per_minute=5,
        project_tokens_per_minute=1000,
        project_max_concurrent=5,
    )
    for _ in range(20):
        decision = await ask(limiter, replace(generous, **refusing), 100)
        assert (decision.allowed, decision.scope, decision.what) == (False, "organization", what)
    assert await link.call("KEYS", "*") == []
    assert (await ask(limiter, generous, 100)).remaining == 4


async def test_the_scope_with_the_longest_wait_is_named(limiter: Limiter, link: RedisLink) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=1, project_requests_per_minute=1)
    assert (await ask(limiter, replace(caller, api_key_id=9))).allowed
    await set_back(link, "r1:rate:{1}:p1", 1)
    assert (await ask(limiter, replace(caller, project_requests_per_minute=None))).allowed
    refused = await ask(limiter, caller)
    assert refused.scope == "key"  # the project is free when the minute turns


@pytest.mark.parametrize("more", [{}, {"tokens_per_minute": 1000}])
async def test_a_burst_across_the_minute_is_still_counted(
    limiter: Limiter, link: RedisLink, more: dict[str, int]
) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=100, **more)
    for _ in range(100):
        await ask(limiter, caller)
    await set_back(link, "r1:rate:{1}:k1", 1)
    passed = int((await link.call("TIME"))[0]) % 60 / 60
    decisions = [await ask(limiter, caller) for _ in range(100)]
    admitted = sum(decision.allowed for decision in decisions)
    assert 100 * passed - 2 <= admitted <= 100 * passed + 4
    await set_back(link, "r1:rate:{1}:k1", 2)
    assert (await ask(limiter, caller)).remaining == 99


async def test_a_refused_request_is_admitted_after_the_wait_it_was_told(limiter: Limiter, link: RedisLink) -> None:
    """In the middle of the minute; only the seconds that a large limit needs to free one place."""
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=600)
    for _ in range(600):
        await ask(limiter, caller)
    await set_back(link, "r1:rate:{1}:k1", 1)
    decision = await ask(limiter, caller)
    while decision.allowed:
        decision = await ask(limiter, caller)
    assert decision.retry_after_s == 1
    await asyncio.sleep(decision.retry_after_s)
    assert (await ask(limiter, caller)).allowed


async def test_a_clock_that_was_set_back_locks_nobody_out(limiter: Limiter, link: RedisLink) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=2)
    await ask(limiter, caller)
    await set_back(link, "r1:rate:{1}:k1", -60)
    assert (await ask(limiter, caller)).allowed
    await set_back(link, "r1:rate:{1}:k1", 2)
    assert (await ask(limiter, caller)).allowed


async def test_tokens_are_corrected_to_what_was_used(limiter: Limiter, link: RedisLink) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, tokens_per_minute=1000, project_tokens_per_minute=2000)
    assert (await ask(limiter, caller, 900, "one")).remaining_tokens == 100
    assert (await ask(limiter, caller, 200)).what == "tokens"
    limiter.done("one", 300)
    limiter.done("one", 300)  # a second time changes nothing
    assert (await ask(limiter, caller, 200, "two")).remaining_tokens == 500
    limiter.done("two", 600)
    decision = await ask(limiter, caller, 0)
    assert (decision.limit_tokens, decision.remaining_tokens) == (1000, 100)


async def test_what_was_held_too_much_goes_back_to_the_minute_that_counted_it(
    limiter: Limiter, link: RedisLink
) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, tokens_per_minute=1000)
    await ask(limiter, caller, 800, "long")
    await set_back(link, "r1:rate:{1}:k1", 1)
    running = limiter._running["long"]
    limiter._running["long"] = running._replace(minute=(running.minute or 0) - 1)
    limiter.done("long", 0)
    assert (await ask(limiter, caller, 0)).remaining_tokens == 1000


async def test_a_request_above_the_limit_is_told_that_repeating_is_in_vain(limiter: Limiter) -> None:
    refused = await ask(limiter, replace(KEY, tokens_per_minute=1000), 5000)
    assert refused.never and refused.retry_after_s == 60
    assert (b"x-should-retry", b"false") in refused.headers()
    assert "this request alone is estimated at 5,000" in refusal_text(refused)


async def test_the_place_of_a_crashed_process_becomes_free(
    open_limiter: Open, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, other = await open_limiter(), await open_limiter()
    caller = replace(KEY, max_concurrent=1)
    assert (await ask(crashed, caller, 0, "lost")).allowed
    assert not (await ask(other, caller)).allowed
    seconds = int((await link.call("TIME"))[0])
    ends = float(await link.call("ZSCORE", "r1:busy:{1}:k1", "lost"))
    assert 0 < ends - seconds <= limit_scripts.LEASE_S
    assert 0 < await link.call("TTL", "r1:busy:{1}:k1") <= limit_scripts.LEASE_S
    await link.call("ZADD", "r1:busy:{1}:k1", seconds - 1, "lost")  # its time is over
    assert (await ask(other, caller)).allowed


async def test_a_long_request_keeps_its_place_and_gets_it_back_after_redis_forgot(
    limiter: Limiter, link: RedisLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.limits.KEEP_EVERY_S", 0.05)
    await limiter.start()
    caller = replace(KEY, max_concurrent=1, project_max_concurrent=3)
    assert (await ask(limiter, caller, 0, "long")).allowed
    seconds = int((await link.call("TIME"))[0])
    await link.call("ZADD", "r1:busy:{1}:k1", seconds + 1, "long")
    await asyncio.sleep(0.2)
    assert float(await link.call("ZSCORE", "r1:busy:{1}:k1", "long")) >= seconds + limit_scripts.LEASE_S
    await link.call("FLUSHALL")
    await asyncio.sleep(0.2)
    assert not (await ask(limiter, caller)).allowed
    limiter.done("long", 0)
    await asyncio.sleep(0.2)
    assert (await ask(limiter, caller)).allowed
    await limiter.stop()


async def test_scripts_that_redis_forgot_are_sent_again(limiter: Limiter, link: RedisLink) -> None:
    caller = replace(KEY, requests_per_minute=10, tokens_per_minute=1000, max_concurrent=1)
    await link.call("SCRIPT", "FLUSH")
    assert (await ask(limiter, caller, 500, "one")).allowed
    limiter.done("one", 100)
    decision = await ask(limiter, caller, 0)
    assert (decision.allowed, decision.remaining_tokens) == (True, 900)


async def test_redis_killed_in_mid_call_leaves_each_process_its_share(server: OwnValkey, link: RedisLink) -> None:
    own = RedisLink(server.url, timeout_s=0.5)
    limiter = Limiter(own, processes=2)
    await own.start()
    caller = replace(KEY, requests_per_minute=10, max_concurrent=100)
    try:
        asked = [asyncio.ensure_future(ask(limiter, caller)) for _ in range(4)]
        await asyncio.sleep(0)
        server.kill()
        assert all(decision.allowed for decision in await asyncio.gather(*asked))  # by whichever of the two
        away = replace(caller, api_key_id=2)
        if time.time() % 60 > 58:
            await asyncio.sleep(2.5)
        decisions = [await ask(limiter, away) for _ in range(8)]
        assert sum(decision.allowed for decision in decisions) == 5
        assert decisions[-1].retry_after_s is not None
    finally:
        server.start()
    while not own.is_up:
        await asyncio.sleep(0.01)
    assert (await ask(limiter, replace(caller, api_key_id=3))).remaining == 9
    await own.stop()


async def test_without_redis_concurrency_and_tokens_are_counted_here() -> None:
    away = RedisLink("redis://127.0.0.1:1", timeout_s=0.2)
    limiter = Limiter(away, processes=2)
    if time.time() % 60 > 58:
        await asyncio.sleep(2.5)
    caller = replace(KEY, max_concurrent=4, tokens_per_minute=1000)
    assert (await ask(limiter, caller, 100, "one")).allowed
    assert (await ask(limiter, caller, 100, "two")).allowed
    assert (await ask(limiter, caller, 100)).what == "concurrency"
    limiter.done("one", 400)
    assert (await ask(limiter, caller, 100)).what == "tokens"
    limiter.done("two", 0)
    assert (await ask(limiter, caller, 100)).allowed
    alone = await ask(limiter, replace(caller, api_key_id=2), 900)  # above its share, within the limit
    assert alone.allowed
    never = await ask(limiter, replace(caller, api_key_id=3), 1001)
    assert never.never and never.what == "tokens"


async def test_headers_have_both_vendors_names(limiter: Limiter, link: RedisLink) -> None:
    await early_in_the_minute(link)
    caller = replace(KEY, requests_per_minute=60, tokens_per_minute=1000, project_tokens_per_minute=500)
    decision = await ask(limiter, caller, 100)
    headers = dict(decision.headers())
    assert headers[b"x-ratelimit-limit-requests"] == b"60"
    assert headers[b"x-ratelimit-remaining-requests"] == b"59"
    assert headers[b"x-ratelimit-limit-tokens"] == b"500"  # of the scope with the least room
    assert headers[b"x-ratelimit-remaining-tokens"] == b"400"
    assert headers[b"x-ratelimit-reset-tokens"].startswith((b"1m", b"2m0s")) and b"retry-after" not in headers
    headers = dict(decision.headers(anthropic=True))
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"59"
    assert headers[b"anthropic-ratelimit-tokens-limit"] == b"500"
    reset = time.strptime(headers[b"anthropic-ratelimit-tokens-reset"].decode(), "%Y-%m-%dT%H:%M:%SZ")
    assert 60 <= time.mktime(reset) - time.timezone - time.time() <= 122
    refused = await ask(limiter, caller, 450)
    assert dict(refused.headers())[b"retry-after"] == str(refused.retry_after_s).encode()
    assert refused.scope == "project" and "This project may use 500 tokens a minute" in refusal_text(refused)


async def test_every_key_of_an_organization_is_in_one_slot(limiter: Limiter, link: RedisLink) -> None:
    caller = Caller(
        8,
        9,
        10,
        5,
        None,
        tokens_per_minute=50,
        max_concurrent=2,
        project_max_concurrent=2,
        organization_max_concurrent=2,
    )
    await ask(limiter, caller)
    keys = await link.call("KEYS", "*")
    assert len(keys) == 4
    assert {key.partition(b"{")[2].partition(b"}")[0] for key in keys} == {b"8"}
    assert min(await asyncio.gather(*[link.call("TTL", key) for key in keys])) > 0


async def test_what_began_without_redis_frees_its_place_when_it_ends(server: OwnValkey, link: RedisLink) -> None:
    own = RedisLink(server.url)
    limiter = Limiter(own)
    caller = replace(KEY, max_concurrent=2)
    assert (await ask(limiter, caller, 0, "early")).allowed  # not connected yet
    await own.start()
    assert await link.call("ZCARD", "r1:busy:{1}:k1") == 1  # told at once when the connection is there
    assert (await ask(limiter, caller, 0, "late")).allowed
    assert not (await ask(limiter, caller)).allowed
    limiter.done("early", 0)
    assert (await ask(limiter, caller)).allowed
    await own.stop()
