"""Where ended requests go: the stream, PostgreSQL while that is away, memory while both are; until they are settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from asgiref.sync import sync_to_async
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis
from uuid_utils import uuid7

from billing.events import UsageEvent
from billing.models.usage import UnsettledEvent, UsageRecord
from gateway import drain
from gateway.journal import Journal
from gateway.journal_event import EPOCH_KEY, FIELD, JournalEvent, stream_name
from gateway.redis_link import RedisLink
from gateway.tasks import journal_redis
from observability.models import RequestLog
from observability.records import RequestRecord

NOWHERE = "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=1"
AWAY = "redis://127.0.0.1:1/0"


def event(*, organization_id: int = 2, charge_nanos: int = 0) -> JournalEvent:
    request_id, at = str(uuid7()), datetime.now(UTC).isoformat()
    who = {"organization_id": organization_id, "project_id": 1, "api_key_id": 1}
    usage = UsageEvent(
        id=request_id, request_id=request_id, part=0, model="sandbox/echo", provider="sandbox", usage={"input": 1},
        usage_source="reported", usage_flags=[], policy="answered", price_card_id=None,
        rates='{"input":"1","output":"1"}', rate_currency="USD", units_per_usd="1", markup="1",
        charge_nanos=charge_nanos, hold_id=None, source="wallet", admitted_at=at, occurred_at=at, **who,
    )  # fmt: skip
    record = RequestRecord(
        id=request_id, created_at=at, endpoint="openai_chat", model_requested="sandbox/echo", model="sandbox/echo",
        provider="sandbox", outcome="answered", status=200, finish_reason="stop", input_tokens=1,
        usage_source="reported", charge_nanos=charge_nanos, policy="answered", attempt_count=1, **who,
    )  # fmt: skip
    return JournalEvent(record, usage)


@pytest.fixture
async def pool(conninfo: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=2, kwargs={"autocommit": True}, open=False) as pool:
        yield pool


@pytest.fixture
async def link(redis_url: str) -> AsyncIterator[RedisLink]:
    link = RedisLink(redis_url)
    await link.start()
    yield link
    await link.stop()


@pytest.fixture
async def away() -> AsyncIterator[RedisLink]:
    link = RedisLink(AWAY, timeout_s=0.2)
    await link.start()
    yield link
    await link.stop()


def journal_over(link: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str, **options: Any) -> Journal:
    return Journal(link, pool, conninfo=conninfo, **{"shards": 2, "bound": 10, **options})


async def drained() -> int:
    def run() -> int:
        with journal_redis() as redis:
            return drain.drain(redis)

    return await sync_to_async(run)()


def count(model: Any) -> Any:
    return sync_to_async(model.objects.count)()


def test_an_event_survives_the_way_to_bytes_and_back() -> None:
    one = event()
    assert JournalEvent.from_bytes(one.to_bytes()) == one
    with pytest.raises(ValueError, match="version"):
        JournalEvent.from_bytes(one.to_bytes().replace(b"[2,", b"[1,"))


def test_what_a_newer_process_wrote_is_read_without_its_new_values() -> None:
    one = event()
    assert JournalEvent.from_bytes(one.to_bytes()[:-2] + b',"new"]]') == one


async def test_an_event_goes_into_the_stream_of_its_shard(
    redis_url: str, link: RedisLink, pool: AsyncConnectionPool[Any]
) -> None:
    one = event(organization_id=3)
    journal = journal_over(link, pool, NOWHERE)
    await journal.start()
    await journal.append(3, one)
    async with Redis.from_url(redis_url) as client:
        ((_, fields),) = await client.xrange(stream_name(1))
    assert JournalEvent.from_bytes(fields[FIELD]) == one
    assert journal.unsettled == 1


async def test_an_event_is_kept_until_it_is_settled(
    link: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    journal = journal_over(link, pool, conninfo)
    await journal.start()
    await asyncio.gather(*(journal.append(2, event()) for _ in range(5)))
    assert journal.unsettled == 5
    assert await drained() == 5
    await journal.stop()
    assert journal.unsettled == 0
    assert await count(RequestLog) == 5


async def test_what_redis_forgot_is_appended_again(
    redis_url: str, link: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    journal = journal_over(link, pool, conninfo)
    await journal.start()
    await journal.append(2, event())
    assert await drained() == 1  # the place in the old stream is known
    await journal.append(2, event())
    async with Redis.from_url(redis_url) as client:
        await client.delete(stream_name(0), stream_name(1), EPOCH_KEY)  # as a flush does
    for _ in range(60):
        await drained()
        if await count(RequestLog) == 2:
            break
        await asyncio.sleep(0.1)
    assert await count(RequestLog) == 2
    await journal.stop()
    assert journal.unsettled == 0


async def test_without_redis_an_event_is_settled_at_once(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    one = event()
    journal = journal_over(away, pool, conninfo)
    await journal.append(2, one)
    await journal.append(2, one)  # a repetition has no effect
    assert await sync_to_async(RequestLog.objects.filter(id=one.id).count)() == 1
    assert await sync_to_async(UsageRecord.objects.filter(id=one.id).count)() == 1
    assert journal.unsettled == 0


async def test_without_both_events_wait_and_admission_stops_at_the_bound(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    journal = journal_over(away, pool, NOWHERE, bound=2)
    await journal.append(2, event())
    assert not journal.is_full
    await journal.append(2, event())
    assert journal.is_full
    journal._conninfo = conninfo  # PostgreSQL is back
    await journal.stop()
    assert not journal.is_full
    assert await count(RequestLog) == 2


async def test_what_no_worker_comes_for_is_settled_by_the_process_itself(
    link: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    journal = journal_over(link, pool, conninfo, stalled_s=0.0)
    await journal.start()
    await journal.append(2, event())
    await journal.stop()
    assert journal.unsettled == 0
    assert await count(RequestLog) == 1
    assert await drained() == 1  # it still waits in the stream, and counts once
    assert await count(RequestLog) == 1


async def test_a_bad_event_does_not_keep_the_good_ones_of_its_batch_waiting(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    journal = journal_over(away, pool, conninfo)
    poison = event(charge_nanos=-5)
    await asyncio.gather(journal.append(2, event()), journal.append(2, poison), journal.append(2, event()))
    assert journal.unsettled == 0
    assert await count(RequestLog) >= 2 and await count(UsageRecord) == 2
    (row,) = await sync_to_async(list)(UnsettledEvent.objects.values_list("id", flat=True))
    assert str(row) == poison.id


async def test_what_can_not_even_be_kept_as_json_is_put_aside_by_its_id(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    good, bad = event(), event()
    assert bad.usage is not None
    bad = bad._replace(usage=bad.usage._replace(provider="sand\x00box"))
    journal = journal_over(away, pool, conninfo)
    await asyncio.gather(journal.append(2, good), journal.append(2, bad))
    assert journal.unsettled == 0
    rows = await sync_to_async(list)(UnsettledEvent.objects.values_list("id", "event"))
    assert [(str(id_), kept) for id_, kept in rows] == [(bad.id, {})]
    assert await count(UsageRecord) == 1


async def test_an_event_of_the_wrong_kind_does_not_stop_the_others_for_ever(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str
) -> None:
    odd = event()
    assert odd.usage is not None
    odd = odd._replace(usage=odd.usage._replace(organization_id=[]))  # type: ignore[arg-type]
    journal = journal_over(away, pool, conninfo)
    await asyncio.gather(journal.append(2, event()), journal.append(2, odd))
    assert journal.unsettled == 0
    assert await count(UnsettledEvent) == 1 and await count(UsageRecord) == 1


async def test_a_table_that_is_not_there_yet_is_no_fault_of_the_event(
    away: RedisLink, pool: AsyncConnectionPool[Any], conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_migrated(*_: Any) -> None:
        raise psycopg.errors.UndefinedTable("no such table")

    journal = journal_over(away, pool, conninfo)
    with monkeypatch.context() as patched:
        patched.setattr("gateway.journal.settle_events", half_migrated)
        await journal.append(2, event())
    assert journal.unsettled == 1, "it waits in memory"
    assert await count(UnsettledEvent) == 0
    await journal.stop()
    assert journal.unsettled == 0
    assert await count(UsageRecord) == 1
