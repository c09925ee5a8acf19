"""The journal into PostgreSQL: each event once, whoever is killed, flushed or away, and in step with the watermark."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from django.db import OperationalError, connection
from redis import Redis
from uuid_utils import uuid7

from accounts.models import Organization
from billing.models.holds import Hold, JournalShard
from billing.models.ledger import LedgerAccount
from billing.models.usage import UnsettledEvent, UsageRecord
from gateway import drain, shard_places, unsettled
from gateway.journal_event import EPOCH_KEY, FIELD, JournalEvent, stream_name
from gateway.settler import settle_events
from gateway.shard_places import DatabaseClock
from gateway.sweeper import sweep_expired
from gateway.tasks import follow_journal
from observability.models import RequestLog
from observability.records import RequestRecord
from tests.billing.cast import USD, an_event

SHARD = 0


@pytest.fixture
def redis(redis_url: str, conninfo: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        redis.set(EPOCH_KEY, "one")
        yield redis


@pytest.fixture
def organization(redis: Redis) -> Organization:
    return Organization.objects.create(name="Alice")


def event(organization: Organization, **values: Any) -> JournalEvent:
    request_id = str(uuid7())
    usage = an_event(organization.pk, request_id=request_id, **{"charge_nanos": 10, **values})
    record = RequestRecord(
        id=request_id, created_at=datetime.now(UTC).isoformat(), organization_id=organization.pk, project_id=1,
        api_key_id=1, endpoint="openai_chat", model_requested="a/b", model="a/b", provider="a", outcome="answered",
        status=200,
    )  # fmt: skip
    return JournalEvent(record, usage)


def append(redis: Redis, *events: JournalEvent | bytes, shard: int = SHARD) -> None:
    for one in events:
        redis.xadd(stream_name(shard), {FIELD: one if isinstance(one, bytes) else one.to_bytes()})


def debited(organization: Organization) -> int:
    wallet = LedgerAccount.objects.filter(organization=organization, kind="wallet").first()
    return -wallet.posted_nanos if wallet else 0


def test_each_event_is_charged_once_and_the_stream_is_trimmed(redis: Redis, organization: Organization) -> None:
    events = [event(organization) for _ in range(drain.BATCH + 3)]
    append(redis, *events)
    append(redis, *events[:5])  # appended again by a process that was in doubt
    assert drain.drain(redis) == drain.BATCH + 8
    assert (UsageRecord.objects.count(), RequestLog.objects.count()) == (len(events), len(events))
    assert debited(organization) == 10 * len(events)
    assert redis.xlen(stream_name(SHARD)) == 0
    assert drain.drain(redis) == 0


def test_two_drains_on_one_shard_never_settle_the_same(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, *(event(organization) for _ in range(20)))
    entered, go_on = threading.Event(), threading.Event()
    batches = []

    def slowly(entries: Any) -> None:
        batches.append(len(entries))
        entered.set()
        assert go_on.wait(10)
        unsettled.settle_or_put_aside(entries)

    monkeypatch.setattr(drain, "settle_or_put_aside", slowly)

    def first() -> None:
        try:
            drain.drain_shard(redis, SHARD)
        finally:
            connection.close()

    worker = threading.Thread(target=first)
    worker.start()
    assert entered.wait(10)
    assert drain.drain_shard(redis, SHARD) == 0
    go_on.set()
    worker.join()
    assert batches == [20]
    assert debited(organization) == 200


def test_a_killed_worker_lets_its_shard_go(redis: Redis, organization: Organization, conninfo: str) -> None:
    append(redis, event(organization))
    other = psycopg.connect(conninfo)
    other.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", [drain.LOCK, SHARD])
    assert drain.drain_shard(redis, SHARD) == 0
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 5000)", [other.info.backend_pid])
    assert drain.drain_shard(redis, SHARD) == 1
    other.close()


def test_a_worker_killed_before_its_commit_has_done_nothing(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_places, "store", _killed)
        drain.drain_shard(redis, SHARD)
    assert UsageRecord.objects.count() == 0
    assert drain.drain(redis) == 1
    assert debited(organization) == 10


def test_a_worker_killed_before_trimming_leaves_nothing_to_settle_again(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))
    run = drain.Drain(redis)
    monkeypatch.setattr(run, "_trim", _killed)
    with pytest.raises(KeyboardInterrupt):
        run.batch(SHARD)
    assert redis.xlen(stream_name(SHARD)) == 1
    assert drain.drain(redis) == 0
    append(redis, event(organization))
    assert drain.drain(redis) == 1
    assert redis.xlen(stream_name(SHARD)) == 0
    assert debited(organization) == 20


def test_after_a_flush_the_new_stream_is_read_from_its_beginning(redis: Redis, organization: Organization) -> None:
    append(redis, event(organization))
    drain.drain(redis)
    redis.flushdb()
    redis.set(EPOCH_KEY, "two")
    redis.xadd(stream_name(SHARD), {FIELD: event(organization).to_bytes()}, id="5-1")  # below the old watermark
    assert drain.drain(redis) == 1
    assert debited(organization) == 20
    row = JournalShard.objects.get(pk=SHARD)
    assert (row.epoch, row.last_ms, row.last_seq) == ("two", 5, 1)


def test_a_stream_without_a_name_gets_one(redis: Redis, organization: Organization) -> None:
    redis.delete(EPOCH_KEY)
    append(redis, event(organization))
    assert drain.drain(redis) == 1
    assert JournalShard.objects.get(pk=SHARD).epoch.encode() == redis.get(EPOCH_KEY)


def test_what_came_after_a_flush_is_not_trimmed_by_the_old_watermark(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))
    run = drain.Drain(redis)
    trim = run._trim

    def flushed_meanwhile(**arguments: Any) -> Any:
        redis.flushdb()
        redis.set(EPOCH_KEY, "two")
        redis.xadd(stream_name(SHARD), {FIELD: event(organization).to_bytes()}, id="5-1")
        return trim(**arguments)

    monkeypatch.setattr(run, "_trim", flushed_meanwhile)
    run.batch(SHARD)
    assert redis.xlen(stream_name(SHARD)) == 1


def test_only_what_is_settled_is_trimmed(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))

    def one_comes(entries: Any) -> None:
        append(redis, event(organization))
        unsettled.settle_or_put_aside(entries)

    monkeypatch.setattr(drain, "settle_or_put_aside", one_comes)
    assert drain.drain_shard(redis, SHARD) == 1
    assert redis.xlen(stream_name(SHARD)) == 1


def test_a_bad_event_in_the_middle_is_put_aside_alone(redis: Redis, organization: Organization) -> None:
    bad = event(organization, charge_nanos=-5)
    append(redis, *(event(organization) for _ in range(250)), bad, *(event(organization) for _ in range(249)))
    assert drain.drain(redis) == 500
    assert UsageRecord.objects.count() == 499
    row = UnsettledEvent.objects.get()
    assert (str(row.id), row.error_class) == (bad.id, "ValueError")
    assert JournalEvent.from_bytes(orjson.dumps(row.event)) == bad


@pytest.mark.parametrize("raw", [b"no json, maybe a prompt", b'[2,["a prompt"],null]', b"\xff", b'["a prompt"]'])
def test_of_an_unreadable_entry_nothing_is_kept_but_that_it_was_there(
    redis: Redis, organization: Organization, raw: bytes
) -> None:
    append(redis, event(organization), raw, event(organization))
    assert drain.drain(redis) == 3
    assert UsageRecord.objects.count() == 2
    assert UnsettledEvent.objects.get().event == {}


def test_what_even_the_table_of_refused_events_cannot_take_blocks_nobody(
    redis: Redis, organization: Organization
) -> None:
    append(redis, event(organization, provider="a\0b"), event(organization))
    assert drain.drain(redis) == 2
    assert (UsageRecord.objects.count(), UnsettledEvent.objects.get().event) == (1, {})


def test_an_event_put_aside_is_settled_again_by_the_same_function(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = event(organization)
    with monkeypatch.context() as patch:
        patch.setattr(unsettled, "settle_events", _bad_value)
        append(redis, one)
        drain.drain(redis)
        assert unsettled.settle_again([UUID(one.id)]) == (0, 1)
        assert UnsettledEvent.objects.count() == 1
    assert unsettled.settle_again([UUID(one.id), uuid4()]) == (1, 0)
    assert (UnsettledEvent.objects.count(), debited(organization)) == (0, 10)


def test_a_database_that_is_away_makes_no_event_bad(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))

    def lose_the_connection(cursor: Any, events: Any) -> None:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with monkeypatch.context() as patch, pytest.raises(OperationalError):
        patch.setattr(unsettled, "settle_events", lose_the_connection)
        drain.drain(redis)
    connection.close()
    assert redis.xlen(stream_name(SHARD)) == 1
    assert drain.drain(redis) == 1
    assert (UnsettledEvent.objects.count(), debited(organization)) == (0, 10)


def test_a_table_that_is_missing_during_a_change_of_version_makes_no_event_bad(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))

    def no_table(cursor: Any, events: Any) -> None:
        cursor.execute("SELECT 1 FROM not_there_yet")

    with monkeypatch.context() as patch, pytest.raises(Exception, match="not_there_yet"):
        patch.setattr(unsettled, "settle_events", no_table)
        drain.drain(redis)
    assert (drain.drain(redis), UnsettledEvent.objects.count()) == (1, 0)


def test_a_shard_without_traffic_is_settled_up_to_now(redis: Redis, organization: Organization) -> None:
    before = shard_places.database_time()
    run = drain.Drain(redis)
    run.round()
    assert _settled_to(SHARD) >= before
    run.round()
    stamped = _settled_to(SHARD)
    run._stamped_at = 0.0
    run.round()
    assert stamped < _settled_to(SHARD) <= shard_places.database_time()


def test_a_full_batch_is_settled_only_up_to_its_last_entry(redis: Redis, organization: Organization) -> None:
    seconds, _ = redis.time()
    old_ms = (int(seconds) - 3_600) * 1_000
    for number in range(drain.BATCH):
        redis.xadd(stream_name(SHARD), {FIELD: event(organization).to_bytes()}, id=f"{old_ms}-{number + 1}")
    append(redis, event(organization))
    assert drain.drain_shard(redis, SHARD) == drain.BATCH
    age = (shard_places.database_time() - _settled_to(SHARD)).total_seconds()
    assert 3_600 <= age < 3_630


def test_ids_ahead_of_the_clock_say_nothing_about_time(redis: Redis, organization: Organization) -> None:
    seconds, _ = redis.time()
    for number in range(drain.BATCH + 1):
        ahead_ms = (int(seconds) + 3_600) * 1_000
        redis.xadd(stream_name(SHARD), {FIELD: event(organization).to_bytes()}, id=f"{ahead_ms}-{number + 1}")
    assert drain.drain_shard(redis, SHARD) == drain.BATCH
    assert JournalShard.objects.get(pk=SHARD).settled_to is None


def test_a_place_that_moved_is_not_stamped(redis: Redis, organization: Organization) -> None:
    run = drain.Drain(redis)
    run.round()
    append(redis, event(organization))
    drain.drain(redis)
    at = _settled_to(SHARD)
    _, has_moved = shard_places.stamp({SHARD: run._places[SHARD]}, at + timedelta(hours=1))
    assert has_moved
    assert _settled_to(SHARD) == at


def test_the_databases_clock_is_never_ahead_of_what_it_said() -> None:
    clock = DatabaseClock()
    clock.set(datetime(2026, 1, 1, tzinfo=UTC), 100.0)
    assert clock.at(98.5) == datetime(2025, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)


def test_a_hold_is_swept_only_when_every_shard_is_past_its_end(
    redis: Redis, organization: Organization, settings: Any
) -> None:
    hold = _an_expired_hold(organization)
    assert sweep_expired() == 0  # no shard was ever read
    drain.drain(redis)
    JournalShard.objects.filter(pk=1).update(settled_to=hold.expires_at - timedelta(seconds=1))
    assert sweep_expired() == 0
    JournalShard.objects.filter(pk=1).update(settled_to=None)
    assert sweep_expired() == 0
    JournalShard.objects.filter(pk=1).update(settled_to=hold.expires_at + timedelta(seconds=1))
    settings.SWEEP_MARGIN_S = 10_000.0
    assert sweep_expired() == 0
    settings.SWEEP_MARGIN_S = 60.0
    assert sweep_expired() == 1
    assert LedgerAccount.objects.get(organization=organization).held_nanos == 0


def test_a_hold_whose_event_was_put_aside_stays(redis: Redis, organization: Organization) -> None:
    hold = _an_expired_hold(organization)
    append(redis, event(organization, charge_nanos=-5, hold_id=hold.pk))
    drain.drain(redis)
    assert sweep_expired() == 0
    hold.refresh_from_db()
    assert hold.state == "open"


def test_a_run_leaves_the_journal_to_the_one_that_follows_it(redis: Redis, organization: Organization) -> None:
    redis.set("r1:journal:drain", "another", px=3_000)
    append(redis, event(organization))
    follow_journal()
    assert UsageRecord.objects.count() == 0


def test_a_run_ends_when_its_seat_is_taken_away(
    redis: Redis, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(redis, event(organization))
    started = []
    monkeypatch.setattr(follow_journal, "delay", lambda: started.append(1))
    settle = settle_events

    def settle_and_stop(cursor: Any, events: Any) -> None:
        settle(cursor, events)
        redis.delete("r1:journal:drain")

    monkeypatch.setattr(unsettled, "settle_events", settle_and_stop)
    follow_journal()
    assert (UsageRecord.objects.count(), started) == (1, [])


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _bad_value(*_: Any) -> None:
    raise ValueError


def _settled_to(shard: int) -> datetime:
    at = JournalShard.objects.get(pk=shard).settled_to
    assert at is not None
    return at


def _an_expired_hold(organization: Organization) -> Hold:
    wallet = LedgerAccount.objects.create(kind="wallet", organization=organization, held_nanos=USD)
    at = datetime.now(UTC) - timedelta(hours=1)
    return Hold.objects.create(
        id=uuid4(), account=wallet, organization_id=organization.pk, amount_nanos=USD, remaining_nanos=USD,
        created_at=at, expires_at=at,
    )  # fmt: skip
