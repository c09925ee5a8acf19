"""Every part is really killed under load; afterwards no completed answer is unbilled, and none is billed twice.

`CHAOS=long` (make chaos) blows for longer, freezes for a minute and proves the ledger after each.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from gateway.journal_event import FIELD, stream_name
from tests.chaos.stack import LEASE_S, MARGIN_S, MAX_REQUEST_S, ChaosStack, Customer
from tests.chaos.storm import LONG as LONG_STREAM
from tests.chaos.storm import Storm

LONG = os.environ.get("CHAOS") == "long"
BLOW_S = 15.0 if LONG else 1.2
FREEZE_S = 60.0 if LONG else LEASE_S + 0.5
SHARDS = 2
# Poison in the journal: no JSON, another version, an event of the wrong shape.
POISON = (b"poison", b"[9,[],null]", b'[2,["not a request"],["not","a","usage"]]')


@pytest.fixture(scope="module")
def stack() -> Iterator[ChaosStack]:
    started = ChaosStack()
    try:
        yield started
        started.prove()
    finally:
        started.close()


@pytest.fixture
def customer(stack: ChaosStack) -> Iterator[Customer]:
    yield stack.customer()
    if LONG:
        stack.prove()


def _settled(stack: ChaosStack, customer: Customer, storm: Storm, *others: Storm) -> None:
    """The callers' tally is what the books say."""
    tallies = [storm.tally, *(other.tally for other in others)]
    complete = {request_id: nanos for tally in tallies for request_id, nanos in tally.complete.items()}
    assert complete, "nothing was answered, so nothing is shown"
    assert not [odd for tally in tallies for odd in tally.odd]
    stack.until(lambda: complete.keys() <= stack.charged(customer).keys(), "every completed answer is billed")
    charged = stack.charged(customer)
    assert {request_id: charged[request_id] for request_id in complete} == complete
    assert all(complete.values())
    stack.until(
        lambda: sum(stack.charged(customer).values()) == stack.debited(customer), "the wallet paid the charges", 5
    )


def _settled_and_free(stack: ChaosStack, customer: Customer, storm: Storm) -> None:
    """Also, what the dead had set aside comes back once it has expired."""
    _settled(stack, customer, storm)
    if LONG:
        stack.until(lambda: stack.held(customer) == 0, "nothing is held", LEASE_S + MAX_REQUEST_S + 120)


def test_a_killed_gateway_loses_no_completed_answer(stack: ChaosStack, customer: Customer) -> None:
    victim, survivor = stack.ready(2)
    with Storm([victim.url, survivor.url], customer.key) as storm:
        storm.blow(BLOW_S)
        victim.kill()
        storm.blow(BLOW_S)
    assert storm.tally.broken, "the kill met running requests"
    assert storm.tally.streams
    _settled_and_free(stack, customer, storm)


def test_a_frozen_gateway_does_not_spend_what_has_expired(stack: ChaosStack, customer: Customer) -> None:
    sleeper, other = stack.ready(2)
    with Storm([sleeper.url, other.url], customer.key) as storm:
        storm.blow(BLOW_S)
        with stack.frozen(sleeper):
            storm.blow(FREEZE_S)
        storm.blow(BLOW_S)
    _settled_and_free(stack, customer, storm)
    late = stack.rows(
        "SELECT count(*) FROM billing_usagerecord u JOIN billing_hold h ON h.id = u.hold_id"
        " JOIN observability_requestlog l ON l.id = u.request_id"
        " WHERE u.organization_id = %s AND l.created_at > h.expires_at - make_interval(secs => %s)",
        customer.organization_id,
        float(MAX_REQUEST_S + MARGIN_S),
    )
    assert late == [(0,)], "requests were admitted on credit whose time was over"


def test_without_workers_the_gateway_settles_itself_and_two_that_follow_settle_nothing_twice(
    stack: ChaosStack, customer: Customer
) -> None:
    """Meanwhile streams run that are longer than the lease of their slice."""
    (gateway,) = stack.ready(1)
    streams = ({"model": LONG_STREAM, "stream": True, "stream_options": {"include_usage": True}},)
    with Storm([gateway.url], customer.key, 2, streams) as long_streams, Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S)
        stack.the_worker().kill()  # in the middle of a batch
        storm.blow(BLOW_S)
        stack.ready(1)  # which brings a worker
        second = stack.worker()  # and another; both take seconds to come up
    assert long_streams.tally.streams
    assert long_streams.tally.slowest_s > LEASE_S
    _settled(stack, customer, storm, long_streams)
    assert "journal_not_drained" in gateway.output(), "the gateway settled by itself"
    before = stack.charged(customer)
    entries = stack.redis()
    stack.until(lambda: not any(entries.xlen(stream_name(shard)) for shard in range(SHARDS)), "the journal was drained")
    assert stack.charged(customer) == before
    second.kill()


def test_redis_flushed_killed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    urls = [gateway.url for gateway in stack.ready(2)]
    with Storm(urls, customer.key) as storm:
        storm.blow(BLOW_S)
        stack.redis().flushall()
        storm.blow(BLOW_S)
        stack.kill_valkey()
        storm.blow(BLOW_S / 2)
        served = len(storm.tally.complete)
        storm.blow(BLOW_S)
        assert len(storm.tally.complete) > served, "traffic goes on without Redis"
        stack.valkey.start()
        storm.blow(BLOW_S)
    assert set(storm.tally.statuses) == {200}, "without Redis alone nobody is refused"
    _settled(stack, customer, storm)


def test_postgres_crashed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    urls = [gateway.url for gateway in stack.ready(2)]
    with Storm(urls, customer.key) as storm:
        storm.blow(BLOW_S)
        stack.kill_postgres()
        served = len(storm.tally.complete)
        storm.blow(BLOW_S)
        assert len(storm.tally.complete) > served, "what is already held is still spent"
        if LONG:
            storm.blow(LEASE_S + 8)
        stack.postgres.start()
        storm.blow(BLOW_S)
    if LONG:
        assert storm.tally.statuses[503], "beyond the lease nothing new can be held"
    assert 402 not in storm.tally.statuses, "not knowing is no refusal"
    _settled(stack, customer, storm)


def test_both_stores_killed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    urls = [gateway.url for gateway in stack.ready(2)]
    with Storm(urls, customer.key) as storm:
        storm.blow(BLOW_S)
        stack.kill_valkey()
        stack.kill_postgres()
        storm.blow(BLOW_S)
        stack.postgres.start()
        stack.valkey.start()
        storm.blow(BLOW_S)
    assert 402 not in storm.tally.statuses
    _settled(stack, customer, storm)


def test_poison_in_the_journal_harms_nobody_else(stack: ChaosStack, customer: Customer) -> None:
    (gateway,) = stack.ready(1)
    with Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S / 2)
        for shard in range(SHARDS):
            for data in POISON:
                stack.redis().xadd(stream_name(shard), {FIELD: data})
        storm.blow(BLOW_S / 2)
    _settled(stack, customer, storm)
    expected = SHARDS * len(POISON)
    count = "SELECT count(*) FROM billing_unsettledevent"
    stack.until(lambda: stack.rows(count) == [(expected,)], "each is put aside, alone")
    stack.rows("DELETE FROM billing_unsettledevent RETURNING id")  # the proof would tell of them, and rightly


def test_a_gateway_that_is_asked_to_stop_gives_its_slices_back(stack: ChaosStack, customer: Customer) -> None:
    (gateway,) = stack.ready(1)
    with Storm([gateway.url], customer.key, clients=6) as storm:
        storm.blow(BLOW_S)
        os.kill(gateway.popen.pid, signal.SIGTERM)
        began = time.monotonic()
        gateway.popen.wait(30)
        took_s = time.monotonic() - began
    assert not storm.tally.broken, "running streams are finished"
    assert took_s < MAX_REQUEST_S
    _settled(stack, customer, storm)
    stack.until(lambda: stack.held(customer) == 0, "its slices are back at once, long before they expire", 5)
