"""Reserving while somebody changes the plan, while a period ends, or after a suspension."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connection, connections
from psycopg_pool import AsyncConnectionPool

from accounts.models import Organization
from billing import ledger
from billing.models.plans import Subscription, Window
from billing.plans import renewal
from billing.plans.terms import Terms
from billing.reservation import InsufficientCredit, Reservations, Reserved, Wanted
from tests.billing.plan_cast import MONTH, USD, available, books_agree, epoch, give_credit, plan

pytestmark = pytest.mark.django_db(transaction=True)


@pytest_asyncio.fixture
async def reservations(conninfo: str) -> AsyncIterator[Reservations]:
    options = {"autocommit": True, "application_name": "reserving"}
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=4, kwargs=options, open=False) as pool:
        yield Reservations(pool)
    await sync_to_async(connections.close_all)()


def subscribed(organization: Organization, **values: Any) -> Subscription:
    """To a plan for 20 dollars, since yesterday unless the test says otherwise; the wallet has the next price."""
    give_credit(organization, 30 * USD)
    sold = plan("pro", 10, 20, 25)
    start = datetime.now(UTC) - timedelta(days=1)
    fields = {"terms": Terms.of(sold).as_json(), "period_start": start, "period_end": start + MONTH}
    subscription = Subscription.objects.create(organization=organization, plan=sold, **(fields | values))
    with connection.cursor() as cur:
        ledger.ensure_wallet(cur, organization.pk)
    return subscription


def ending(seconds_ago: float) -> dict[str, Any]:
    end = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {"period_start": end - MONTH, "period_end": end}


async def reserve(reservations: Reservations, organization: Organization, nanos: int = USD) -> Reserved:
    return await reservations.reserve(
        Wanted(
            hold_id=uuid4(),
            organization_id=organization.pk,
            project_id=0,
            api_key_id=0,
            source="plan",
            need_nanos=nanos,
            floor_nanos=nanos,
            wish_nanos=0,
            lifetime_s=60,
            opens_windows=True,
        )
    )


async def until_somebody_waits(conninfo: str) -> None:
    question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reserving' AND wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as look:
        for _ in range(500):
            row = await (await look.execute(question)).fetchone()
            if row is not None and row[0]:
                return
            await asyncio.sleep(0.01)
    raise AssertionError("nobody came to wait")


async def test_a_hold_under_old_terms_has_the_old_epoch(
    reservations: Reservations, alice_organization: Organization, conninfo: str
) -> None:
    """The plan changes after the subscription was read and before the hold is written."""
    subscription = await sync_to_async(subscribed)(alice_organization)
    await reserve(reservations, alice_organization, 1)
    before = await sync_to_async(epoch)(alice_organization)
    async with await psycopg.AsyncConnection.connect(conninfo) as change:
        await change.execute("SELECT 1 FROM billing_window WHERE subscription_id = %s FOR UPDATE", [subscription.pk])
        asked = asyncio.create_task(reserve(reservations, alice_organization))
        await until_somebody_waits(conninfo)
        await change.execute("UPDATE billing_subscription SET overflow = true WHERE id = %s", [subscription.pk])
        await change.execute(
            "UPDATE billing_ledgeraccount SET epoch = epoch + 1 WHERE organization_id = %s", [alice_organization.pk]
        )
    assert (await asked).epoch == before
    assert await sync_to_async(epoch)(alice_organization) == before + 1
    assert (await reserve(reservations, alice_organization)).epoch == before + 1


async def test_a_plan_covers_requests_until_its_renewal_has_come(
    reservations: Reservations, alice_organization: Organization
) -> None:
    subscription = await sync_to_async(subscribed)(alice_organization, **ending(1))
    held = await reserve(reservations, alice_organization)
    assert 0 < (held.closes_in_s or 0) <= 2  # looked at again soon: the new period is about to begin
    assert await sync_to_async(renewal.renew)(subscription.pk) == "renewed"
    await subscription.arefresh_from_db()
    again = await reserve(reservations, alice_organization, 2)
    assert again.epoch > held.epoch
    old, new = [w async for w in Window.objects.filter(name="period").order_by("opens_at")]
    assert (old.held_nanos, new.held_nanos) == (USD, 2)
    assert (old.opens_at, new.opens_at) == (subscription.period_start - MONTH, subscription.period_start)
    assert await sync_to_async(available)(alice_organization) == 10 * USD
    await sync_to_async(books_agree)()


async def test_before_its_renewal_no_more_is_spent_than_the_old_allowance_has(
    reservations: Reservations, alice_organization: Organization
) -> None:
    await sync_to_async(subscribed)(alice_organization, **ending(1))
    terms = (await Subscription.objects.aget()).terms | {"period_nanos": USD}
    await Subscription.objects.aupdate(terms=terms)
    await reserve(reservations, alice_organization, USD)
    with pytest.raises(InsufficientCredit) as refusal:
        await reserve(reservations, alice_organization, 1)
    resets_at = refusal.value.shortage.resets_at
    assert refusal.value.shortage.window == "period"
    assert resets_at is not None and resets_at < datetime.now(UTC) + timedelta(seconds=3)


PUNCTUAL_S = renewal.PUNCTUAL.total_seconds()


@pytest.mark.parametrize(
    ("seconds_ago", "values", "covered"),
    [
        (PUNCTUAL_S - 5, {}, True),
        (PUNCTUAL_S + 1, {}, False),  # the next period will begin with the renewal
        (1, {"renews": False}, False),
        (1, {"state": "ended"}, False),
    ],
)
async def test_only_what_is_about_to_be_renewed_is_covered_beyond_its_end(
    reservations: Reservations,
    alice_organization: Organization,
    seconds_ago: float,
    values: dict[str, Any],
    covered: bool,
) -> None:
    await sync_to_async(subscribed)(alice_organization, **ending(seconds_ago), **values)
    if covered:
        await reserve(reservations, alice_organization)
        return
    with pytest.raises(InsufficientCredit):
        await reserve(reservations, alice_organization)


def test_a_suspension_raises_the_epoch_and_nothing_else_does(alice_organization: Organization) -> None:
    bob = Organization.objects.create(name="Bob")
    for one in (alice_organization, bob):
        give_credit(one, USD)
    now = datetime.now(UTC)
    everybody = Organization.objects.filter(pk__in=[alice_organization.pk, bob.pk])
    Organization.objects.filter(pk=bob.pk).update(suspended_at=now)
    assert (epoch(alice_organization), epoch(bob)) == (0, 1)
    everybody.update(suspended_at=now)
    assert (epoch(alice_organization), epoch(bob)) == (1, 1)
    everybody.update(name="Renamed")
    everybody.update(suspended_at=None)
    assert (epoch(alice_organization), epoch(bob)) == (1, 1)
