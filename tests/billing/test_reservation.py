"""No two requests hold the same cent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections
from psycopg_pool import AsyncConnectionPool

from billing import ledger, proof
from billing.models.holds import Hold
from billing.reservation import CreditUnavailable, InsufficientCredit, Reservations
from tests.billing.cast import USD, account_locked

pytestmark = pytest.mark.django_db(transaction=True)
POOL = 30


@pytest.fixture
def organization(transactional_db: None, grant: Any) -> Any:
    from accounts.models import Organization

    organization = Organization.objects.create(name="Alice")
    grant(organization, 20 * USD)
    return organization


@pytest_asyncio.fixture(autouse=True)
async def _no_connection_left_behind() -> AsyncIterator[None]:
    yield
    await sync_to_async(connections.close_all)()


@pytest_asyncio.fixture
async def reservations(conninfo: str) -> AsyncIterator[Reservations]:
    async with AsyncConnectionPool(
        conninfo, min_size=1, max_size=POOL, kwargs={"autocommit": True}, open=False
    ) as pool:
        yield Reservations(pool)


async def place(reservations: Reservations, organization: Any, amount: int, floor: int | None = None) -> int:
    return await reservations.place(
        hold_id=uuid4(), organization_id=organization.pk, amount_nanos=amount, lifetime_s=60, floor_nanos=floor
    )


@sync_to_async
def balance(organization: Any) -> ledger.Balance:
    assert proof.check() == []
    return ledger.balance(organization.pk)


async def test_a_hold_takes_from_what_is_available(reservations: Reservations, organization: Any) -> None:
    assert await place(reservations, organization, 3 * USD) == 3 * USD
    assert await balance(organization) == ledger.Balance(20 * USD, 3 * USD)
    hold = await Hold.objects.aget()
    assert (hold.state, hold.amount_nanos, hold.remaining_nanos) == ("open", 3 * USD, 3 * USD)
    assert 59 <= (hold.expires_at - hold.created_at).total_seconds() <= 61


@pytest.mark.parametrize("floor", [None, 5 * USD])
async def test_fifty_at_once_on_a_wallet_that_affords_twenty(
    reservations: Reservations, organization: Any, conninfo: str, floor: int | None
) -> None:
    """All of a pool's connections look at the full wallet, then all go at once: the worst that can happen."""
    lock = account_locked(conninfo, "wallet", until_waiting=POOL)
    await asyncio.to_thread(lock.__enter__)
    placing = [asyncio.create_task(place(reservations, organization, USD, floor)) for _ in range(50)]
    await asyncio.to_thread(lock.__exit__, None, None, None)
    results = await asyncio.gather(*placing, return_exceptions=True)
    assert results.count(USD) == 20
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 30
    assert await balance(organization) == ledger.Balance(20 * USD, 20 * USD)


async def test_scarce_credit_is_shared_out_down_to_the_floor(reservations: Reservations, organization: Any) -> None:
    results = await asyncio.gather(
        *(place(reservations, organization, 8 * USD, 3 * USD) for _ in range(10)), return_exceptions=True
    )
    assert sorted(result for result in results if isinstance(result, int)) == [4 * USD, 8 * USD, 8 * USD]
    assert await balance(organization) == ledger.Balance(20 * USD, 20 * USD)


async def test_a_refusal_says_what_there_is_and_holds_nothing(reservations: Reservations, organization: Any) -> None:
    await place(reservations, organization, 15 * USD)
    with pytest.raises(InsufficientCredit) as refusal:
        await place(reservations, organization, 6 * USD)
    assert (refusal.value.available_nanos, refusal.value.held_nanos) == (5 * USD, 15 * USD)
    with pytest.raises(InsufficientCredit):
        await place(reservations, organization, 8 * USD, 6 * USD)
    assert await Hold.objects.acount() == 1


async def test_an_empty_wallet_cannot_be_used_even_for_nothing(reservations: Reservations, organization: Any) -> None:
    assert await place(reservations, organization, 0) == 0
    await place(reservations, organization, 20 * USD)
    for floor in (None, 0):
        with pytest.raises(InsufficientCredit):
            await place(reservations, organization, 0, floor)


async def test_an_organization_without_a_wallet_has_no_credit(reservations: Reservations) -> None:
    with pytest.raises(InsufficientCredit) as refusal:
        await reservations.place(hold_id=uuid4(), organization_id=10**9, amount_nanos=1, lifetime_s=1)
    assert (refusal.value.available_nanos, refusal.value.held_nanos) == (0, 0)


async def test_a_database_that_is_away_is_not_a_lack_of_credit(organization: Any) -> None:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        "host=/nonexistent dbname=none", min_size=0, max_size=1, timeout=0.2, open=False
    )
    await pool.open(wait=False)
    with pytest.raises(CreditUnavailable):
        await place(Reservations(pool), organization, 1)
    await pool.close()
    with pytest.raises(CreditUnavailable):
        await place(Reservations(pool), organization, 1)


async def test_senseless_amounts_are_refused(reservations: Reservations, organization: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        await place(reservations, organization, -1)
