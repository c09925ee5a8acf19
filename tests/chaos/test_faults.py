"""Every part is really killed under load; afterwards no completed answer is unbilled, none is billed twice.

`CHAOS=long` (make chaos) blows for minutes instead of seconds.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.chaos.stack import ChaosStack, Customer
from tests.chaos.storm import Storm

LONG = os.environ.get("CHAOS") == "long"
BLOW_S = 20.0 if LONG else 2.0
FREEZE_S = 60.0 if LONG else 3.0
# What each takes is mostly the starting of processes: in the short form some faults share a test with others.
long_form = pytest.mark.skipif(not LONG, reason="in the long form only: make chaos")


@pytest.fixture(scope="module")
def stack() -> Iterator[ChaosStack]:
    started = ChaosStack()
    yield started
    started.prove()
    started.close()


@pytest.fixture
def customer(stack: ChaosStack) -> Customer:
    return stack.customer("5")


def _settled(stack: ChaosStack, customer: Customer, storm: Storm) -> None:
    tally = storm.tally
    assert tally.complete, "nothing was answered, so nothing is shown"
    stack.until(
        lambda: tally.complete <= stack.charged(customer).keys(), "every completed answer is billed", timeout_s=60
    )
    charged = stack.charged(customer)
    assert all(charged[request_id] > 0 for request_id in tally.complete)
    (spent,) = stack.rows(
        "SELECT -coalesce(sum(e.amount_nanos), 0)::bigint FROM billing_entry e"
        " JOIN billing_ledgeraccount a ON a.id = e.account_id JOIN billing_transfer t ON t.id = e.transfer_id"
        " WHERE a.kind = 'wallet' AND a.organization_id = %s AND t.kind = 'usage'",
        customer.organization_id,
    )
    assert sum(stack.charged(customer).values()) == spent[0]
    if LONG:
        stack.prove()


def test_gateway_killed_under_load(stack: ChaosStack, customer: Customer) -> None:
    worker, victim, survivor = stack.worker(), stack.gateway(), stack.gateway()
    with Storm([victim.url, survivor.url], customer.key) as storm:
        storm.blow(BLOW_S)
        victim.kill()
        storm.blow(BLOW_S)
    _settled(stack, customer, storm)
    assert storm.tally.broken or storm.tally.statuses
    survivor.stop()
    if LONG:
        # The killed one's slices come back once they have expired.
        stack.until(lambda: stack.held(customer) == 0, "nothing is held", timeout_s=90)
        stack.prove()
    worker.stop()


@long_form
def test_gateway_stopped_for_a_while_does_not_spend_what_has_expired(stack: ChaosStack, customer: Customer) -> None:
    worker, sleeper, other = stack.worker(), stack.gateway(), stack.gateway()
    with Storm([sleeper.url, other.url], customer.key) as storm:
        storm.blow(BLOW_S)
        with stack.frozen(sleeper):
            storm.blow(FREEZE_S)
        storm.blow(BLOW_S)
    _settled(stack, customer, storm)
    for process in (sleeper, other, worker):
        process.stop()


def test_worker_killed_in_the_middle_of_a_batch_and_two_workers_on_one_journal(
    stack: ChaosStack, customer: Customer
) -> None:
    gateway, victim, second = stack.gateway(), stack.worker(), stack.worker()
    with Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S)
        victim.kill()
        storm.blow(BLOW_S)
    _settled(stack, customer, storm)
    gateway.stop()
    second.stop()


def test_redis_killed_flushed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    gateway, worker = stack.gateway(), stack.worker()
    with Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S)
        stack.redis().flushall()
        storm.blow(BLOW_S)
        stack.kill_valkey()
        storm.blow(BLOW_S)
        served_without = len(storm.tally.complete)
        storm.blow(BLOW_S)
        assert len(storm.tally.complete) > served_without, "traffic goes on without Redis"
        stack.valkey.start()
        storm.blow(BLOW_S)
    _settled(stack, customer, storm)
    gateway.stop()
    worker.stop()


@long_form
def test_postgres_killed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    gateway, worker = stack.gateway(), stack.worker()
    with Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S)
        stack.kill_postgres()
        storm.blow(BLOW_S)
        stack.postgres.start()
        storm.blow(BLOW_S)
    assert 402 not in storm.tally.statuses, "not knowing is no refusal"
    _settled(stack, customer, storm)
    gateway.stop()
    worker.stop()


def test_both_stores_killed_and_started_again(stack: ChaosStack, customer: Customer) -> None:
    gateway, worker = stack.gateway(), stack.worker()
    with Storm([gateway.url], customer.key) as storm:
        storm.blow(BLOW_S)
        stack.kill_valkey()
        stack.kill_postgres()
        storm.blow(BLOW_S)
        stack.postgres.start()
        stack.valkey.start()
        storm.blow(BLOW_S)
    assert 402 not in storm.tally.statuses
    _settled(stack, customer, storm)
    gateway.stop()
    worker.stop()


@long_form
def test_without_any_worker_the_gateway_settles_by_itself(stack: ChaosStack, customer: Customer) -> None:
    gateway = stack.gateway(JOURNAL_STALLED_S="2")
    with Storm([gateway.url], customer.key, clients=4) as storm:
        storm.blow(BLOW_S)
    _settled(stack, customer, storm)
    gateway.stop()


def test_gateway_asked_to_stop_ends_its_streams_and_gives_its_slices_back(
    stack: ChaosStack, customer: Customer
) -> None:
    gateway, worker = stack.gateway(), stack.worker()
    with Storm([gateway.url], customer.key, clients=4) as storm:
        storm.blow(BLOW_S)
        os.kill(gateway.popen.pid, signal.SIGTERM)
        gateway.popen.wait(30)
    _settled(stack, customer, storm)
    stack.until(lambda: stack.held(customer) == 0, "its slices are back at once", timeout_s=5)
    worker.stop()
