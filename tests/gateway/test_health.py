"""Breakers, credentials and live health, in one process and between several."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from gateway import health as module
from gateway.gossip import STREAM, Gossip
from gateway.health import LATEST, Health
from routing.policy import breaker
from routing.policy.candidate import CredentialInfo
from routing.policy.vitals import UNKNOWN
from tests.routing.test_planner import deployment

ONE, TWO, OLD = CredentialInfo(11, "a", 3), CredentialInfo(12, "b", 1), CredentialInfo(13, "c", 0)
PLAIN = deployment(1)
KEYED = deployment(2, credentials=(ONE, TWO, OLD))


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1_800_000_000.0]
    monkeypatch.setattr(module.time, "time", lambda: clock[0])
    return clock


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, socket_timeout=2.0) as client:
        names = [STREAM, LATEST, "r1:probe:deployment:1"]
        await client.delete(*names)
        yield client
        await client.delete(*names)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.02)


def fail(health: Health, times: int, error_class: str = "server_error", which: Any = PLAIN, key: Any = None) -> None:
    for _ in range(times):
        health.failed(which, key, error_class)


def chosen(health: Health, tried: tuple[int, ...] = ()) -> list[int]:
    """Credentials by the chance of the request."""
    admissions = [health.admission(KEYED, tried, chance / 8) for chance in range(8)]
    return [admission.credential.id for admission in admissions if admission.credential]


def test_a_deployment_that_keeps_failing_is_left_alone_then_probed_by_one(now: list[float]) -> None:
    async def probes(count: int) -> list[bool]:
        admission = health.admission(PLAIN, (), 0.5)
        return [await health.take_probes(admission) for _ in range(count)]

    health = Health(None)
    fail(health, 2)
    assert health.admission(PLAIN, (), 0.5).refusal == ""
    fail(health, 1)
    assert health.admission(PLAIN, (), 0.5).refusal == "breaker_open"
    assert health.vitals(PLAIN.id).breaker == "open"
    assert 0 < health.admission(PLAIN, (), 0.5).retry_after_s <= breaker.FIRST_OPEN_S
    now[0] += breaker.FIRST_OPEN_S
    assert asyncio.run(probes(3)) == [True, False, False]
    health.opened(PLAIN, None)
    assert health.admission(PLAIN, (), 0.5) == module.Admission()


def test_a_probe_that_fails_opens_it_for_longer_and_one_that_tells_nothing_frees_the_way(now: list[float]) -> None:
    async def probe() -> bool:
        return await health.take_probes(health.admission(PLAIN, (), 0.5))

    health = Health(None)
    fail(health, 4)
    now[0] += breaker.FIRST_OPEN_S
    assert asyncio.run(probe())
    health.withdrew(PLAIN, None)
    assert asyncio.run(probe())
    fail(health, 1)
    assert health.admission(PLAIN, (), 0.5).retry_after_s == 2 * breaker.FIRST_OPEN_S


@pytest.mark.parametrize("error_class", ["bad_request", "context_length", "content_policy", "client_left", "deadline"])
def test_what_is_the_callers_own_never_counts(error_class: str) -> None:
    health = Health(None)
    fail(health, 50, error_class)
    assert health.admission(PLAIN, (), 0.5).refusal == ""
    assert health.vitals(PLAIN.id) == UNKNOWN


def test_credentials_share_by_weight_and_the_replaced_one_comes_last(now: list[float]) -> None:
    health = Health(None)
    assert chosen(health) == [11] * 6 + [12] * 2
    assert set(chosen(health, tried=(11,))) == {12}
    assert set(chosen(health, tried=(11, 12))) == {13}
    assert health.admission(KEYED, (11, 12, 13), 0.5).refusal == "credential_cooling"


@pytest.mark.parametrize("error_class", ["credential", "credit"])
def test_a_credential_that_was_refused_rests_and_the_deployment_goes_on_with_another(
    now: list[float], error_class: str
) -> None:
    health = Health(None)
    fail(health, 1, error_class, KEYED, ONE)
    assert set(chosen(health)) == {12}
    fail(health, 1, error_class, KEYED, TWO)
    fail(health, 1, error_class, KEYED, OLD)
    resting = health.admission(KEYED, (), 0.5)
    assert (resting.refusal, resting.retry_after_s) == ("credential_cooling", breaker.CREDENTIAL_OPEN_S)
    now[0] += breaker.CREDENTIAL_OPEN_S
    assert health.admission(KEYED, (), 0.0).probes == (("credential", 11),)


def test_a_retry_after_is_kept_to_the_second_and_one_limit_without_it_rests_nobody(now: list[float]) -> None:
    health = Health(None)
    health.failed(KEYED, ONE, "rate_limited")
    assert 11 in chosen(health)
    health.failed(KEYED, ONE, "rate_limited", 17)
    assert set(chosen(health)) == {12}
    now[0] += 16.9
    assert set(chosen(health)) == {12}
    now[0] += 0.2
    health.failed(KEYED, TWO, "rate_limited", 60)
    health.failed(KEYED, OLD, "rate_limited", 60)
    assert health.admission(KEYED, (), 0.5).probes == (("credential", 11),)


def test_a_stream_may_take_as_long_for_its_first_token_as_is_usual_there() -> None:
    health = Health(None, patience_s=120)
    assert health.first_token_limit_s(1) == 120
    for number in range(40):
        health.answered(1, 0.5, 100, 2.0)
        health.answered(2, 5.0 + number % 2, 100, 2.0)
    health.take_news(module.time.time())
    assert health.first_token_limit_s(1) == 30
    assert 90 < health.first_token_limit_s(2) <= 120


async def test_two_processes_soon_know_the_same(redis: Redis) -> None:
    one, other = Health(redis), Health(redis)
    gossips = [Gossip(redis, [one]), Gossip(redis, [other])]
    for part in (one, other, *gossips):
        await part.start()
    for _ in range(20):
        one.answered(7, 0.2, 300, 3.0)
    fail(one, 6)
    await until(lambda: other.vitals(7).samples > 19 and other.admission(PLAIN, (), 0.5).refusal == "breaker_open")
    mine, theirs = one.vitals(7)._asdict(), other.vitals(7)._asdict()
    assert mine.pop("breaker") == theirs.pop("breaker")
    assert mine == pytest.approx(theirs, rel=0.02)
    await until(lambda: redis is not None and one._fresh is False)
    assert await redis.hexists(LATEST, "7")  # type: ignore[misc]
    for part in (*gossips, one, other):
        await part.stop()


async def test_of_all_processes_one_probes_and_its_success_opens_the_way_for_all(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_OPEN_S", 0.3)
    one, other = Health(redis), Health(redis)
    gossips = [Gossip(redis, [one]), Gossip(redis, [other])]
    for part in (one, other, *gossips):
        await part.start()
    fail(one, 6)
    fail(other, 6)
    await until(lambda: all(health.admission(PLAIN, (), 0.5).probes for health in (one, other)))
    took = [await health.take_probes(health.admission(PLAIN, (), 0.5)) for health in (one, other, one, other)]
    assert took == [True, False, False, False]
    one.opened(PLAIN, None)
    await until(lambda: other.admission(PLAIN, (), 0.5) == module.Admission())
    for part in (*gossips, one, other):
        await part.stop()
