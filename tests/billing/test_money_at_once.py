"""Settlers, holders and sweepers at the same time, on connections of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import connection

from accounts.models import Organization
from billing import holds, ledger, proof
from billing.models.ledger import LedgerAccount
from billing.reservation import RESERVE
from billing.settlement import settle
from tests.billing.cast import account_locked, an_event


@pytest.fixture
def two_wallets(transactional_db: None, grant: Any) -> Iterator[list[int]]:
    organizations = [Organization.objects.create(name=name) for name in ("alice", "bob")]
    for organization in organizations:
        grant(organization, 1_000_000)
    LedgerAccount.objects.get_or_create(kind="revenue", organization=None)
    yield [organization.pk for organization in organizations]
    assert proof.check() == []


@pytest.mark.django_db(transaction=True)
async def test_settlers_holders_and_sweepers_at_once_lose_nothing(two_wallets: list[int], conninfo: str) -> None:
    """The same overlapping batches from many connections, in other orders, while holds come and are swept."""
    events = [an_event(two_wallets[n % 2], charge_nanos=n + 1) for n in range(60)]

    def settle_some(turn: int) -> None:
        with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
            settle(cur, events[turn:] + events[:turn])

    def hold_and_sweep(turn: int) -> None:
        values = [uuid4(), two_wallets[turn % 2], 1, 1, "wallet", 10, 10, 10, 0.001, True]
        with psycopg.connect(conninfo, autocommit=True) as raw, raw.cursor() as cur:
            cur.execute(RESERVE, values)
            assert cur.fetchall()[0][0] == 10
            with raw.transaction():
                holds.sweep(cur, before=datetime.now(UTC))

    work = [asyncio.to_thread(settle_some, turn * 7) for turn in range(8)]
    work += [asyncio.to_thread(hold_and_sweep, turn) for turn in range(12)]
    await asyncio.gather(*work)

    def balances() -> list[ledger.Balance]:
        with connection.cursor() as cur:
            holds.sweep(cur, before=datetime.now(UTC) + timedelta(seconds=1))
        return [ledger.balance(organization) for organization in two_wallets]

    first, second = await asyncio.to_thread(_closing, balances)
    assert first == ledger.Balance(1_000_000 - sum(range(1, 60, 2)), 0)
    assert second == ledger.Balance(1_000_000 - sum(range(2, 61, 2)), 0)


@pytest.mark.django_db(transaction=True)
async def test_two_settlers_that_meet_at_an_account_keep_its_running_balance(
    two_wallets: list[int], conninfo: str
) -> None:
    """Their entries must follow on each other, though both began with the same view of the account."""

    def settle_one(owner: int) -> None:
        with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
            settle(cur, [an_event(owner, charge_nanos=7), an_event(owner, charge_nanos=8)])

    lock = account_locked(conninfo, "revenue", until_waiting=2)
    await asyncio.to_thread(lock.__enter__)
    settling = [asyncio.create_task(asyncio.to_thread(settle_one, owner)) for owner in two_wallets]
    await asyncio.to_thread(lock.__exit__, None, None, None)
    await asyncio.gather(*settling)


def _closing(ask: Any) -> Any:
    """Run in a thread without leaving its connection behind."""
    try:
        return ask()
    finally:
        connection.close()
