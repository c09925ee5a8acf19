"""Where ended requests go: the stream, PostgreSQL while that is away, memory while both are; and back out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import redis as redis_client
from asgiref.sync import sync_to_async
from redis.asyncio import Redis
from uuid_utils.compat import uuid7

from billing.events import UsageEvent
from billing.models.usage import UnsettledEvent, UsageRecord
from gateway import drain
from gateway.journal import FIELD, STREAM, Journal
from gateway.journal_event import JournalEvent
from observability.models import RequestLog
from observability.records import AttemptRecord, RequestRecord

NOWHERE = "host=127.0.0.1 port=1 user=nobody dbname=nothing connect_timeout=1"


def event(*, organization_id: int = 1, charge_nanos: int = 0) -> JournalEvent:
    request_id, at = uuid7(), datetime.now(UTC)
    who = {"organization_id": organization_id, "project_id": 1, "api_key_id": 1}
    usage = UsageEvent(
        id=request_id, request_id=request_id, model="sandbox/echo", provider="sandbox", usage={"input": 1},
        usage_source="reported", policy="answered", price_card_id=None, rates={"input": "1", "output": "1"},
        charge_nanos=charge_nanos, occurred_at=at, **who,
    )  # fmt: skip
    record = RequestRecord(
        id=request_id, created_at=at, endpoint="openai_chat", model_requested="sandbox/echo", model="sandbox/echo",
        provider="sandbox", outcome="answered", status=200, error_code="", finish_reason="stop", stream=False,
        input_tokens=1, cache_read_tokens=0, cache_write_tokens=0, output_tokens=0, reasoning_tokens=0,
        usage_source="reported", charge_nanos=charge_nanos, currency="USD", policy="answered", first_token_ms=None,
        duration_ms=5, overhead_us=100, attempt_count=1, **who,
    )  # fmt: skip
    attempt = AttemptRecord(
        number=1, provider="sandbox", deployment_id=1, dialect="openai_chat", reason="only", started_ms=0,
        first_token_ms=None, duration_ms=5, status=200, error_class="", error_code="",
    )  # fmt: skip
    return JournalEvent(usage=usage, request=record, attempts=(attempt,))


@pytest.fixture
def store(redis_url: str) -> Iterator[redis_client.Redis]:
    with redis_client.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def away() -> AsyncIterator[Redis]:
    client = Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    yield client
    await client.aclose()


def test_an_event_survives_the_way_to_bytes_and_back() -> None:
    one = event()
    assert JournalEvent.from_bytes(one.to_bytes()) == one
    with pytest.raises(ValueError, match="version"):
        JournalEvent.from_bytes(one.to_bytes().replace(b'"v":1', b'"v":2'))


async def test_an_event_goes_into_the_stream(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        one = event()
        await Journal(client, conninfo=NOWHERE, bound=10).append(one)
        ((_, fields),) = await client.xrange(STREAM)
        assert JournalEvent.from_bytes(fields[FIELD]) == one


async def test_without_redis_an_event_is_settled_at_once(conninfo: str, away: Redis) -> None:
    one = event()
    journal = Journal(away, conninfo=conninfo, bound=10)
    await journal.append(one)
    await journal.append(one)  # a repetition has no effect
    assert await sync_to_async(RequestLog.objects.filter(id=one.id).count)() == 1
    assert await sync_to_async(UsageRecord.objects.filter(id=one.id).count)() == 1


async def test_without_both_events_wait_and_admission_stops_at_the_bound(conninfo: str, away: Redis) -> None:
    journal = Journal(away, conninfo=NOWHERE, bound=2)
    events = [event(), event()]
    await journal.append(events[0])
    assert not journal.is_full
    await journal.append(events[1])
    assert journal.is_full
    journal._conninfo = conninfo  # PostgreSQL is back
    await journal.stop()
    assert not journal.is_full
    assert await sync_to_async(RequestLog.objects.count)() == 2


@pytest.mark.django_db(transaction=True)
def test_a_batch_is_settled_and_leaves_the_stream(store: redis_client.Redis) -> None:
    for one in [event() for _ in range(5)]:
        store.xadd(STREAM, {FIELD: one.to_bytes()})
    assert drain.drain(store) == 5
    assert drain.drain(store) == 0
    assert (store.xlen(STREAM), RequestLog.objects.count(), UsageRecord.objects.count()) == (0, 5, 5)


@pytest.mark.django_db(transaction=True)
def test_a_poison_event_is_put_aside_and_the_others_are_settled(store: redis_client.Redis) -> None:
    poison = event(organization_id=987_654_321, charge_nanos=5)  # nobody's wallet
    for one in [event(), event(), poison, event()]:
        store.xadd(STREAM, {FIELD: one.to_bytes()})
    store.xadd(STREAM, {FIELD: b"not an event: secret words"})
    assert drain.drain(store) == 5
    assert list(UnsettledEvent.objects.values_list("id", flat=True)) == [poison.id]
    assert UsageRecord.objects.count() == 3
    assert store.xlen(STREAM) == 0
