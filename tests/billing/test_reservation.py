"""No two requests hold the same cent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections
from psycopg_pool import AsyncConnectionPool

from accounts.models import ApiKey, Project
from billing import ledger
from billing.models.holds import Hold
from billing.models.plans import Budget, Plan, Subscription, Window
from billing.reservation import CreditUnavailable, InsufficientCredit, Reservations, Reserved, Shortage, Wanted
from tests.billing.cast import USD, account_locked

pytestmark = pytest.mark.django_db(transaction=True)
POOL = 30


@pytest.fixture
def organization(transactional_db: None, grant: Any) -> Any:
    from accounts.models import Organization

    organization = Organization.objects.create(name="Alice")
    grant(organization, 20 * USD)
    return organization


@pytest.fixture
def key(organization: Any) -> ApiKey:
    project = Project.objects.create(organization=organization, name="Default")
    return ApiKey.objects.create(project=project, name="one", key_hash=b"1" * 32, prefix="sk-", last_four="1111")


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


def subscribe(organization: Any, **values: Any) -> Subscription:
    now = datetime.now(UTC)
    terms = {"five_hours_nanos": 2 * USD, "seven_days_nanos": 5 * USD, "period_nanos": 9 * USD}
    plan, _ = Plan.objects.get_or_create(slug="p", defaults={"name": "P", "rank": 1, "price_nanos": 1} | terms)
    fields = {"terms": terms, "period_start": now - timedelta(days=1), "period_end": now + timedelta(days=29)}
    return Subscription.objects.create(organization=organization, plan=plan, **(fields | values))


async def reserve(
    reservations: Reservations,
    organization: Any,
    need: int,
    *,
    floor: int | None = None,
    wish: int = 0,
    source: Any = "wallet",
    opens: bool = True,
    key: ApiKey | None = None,
) -> Reserved:
    return await reservations.reserve(
        Wanted(
            hold_id=uuid4(),
            organization_id=organization.pk,
            project_id=key.project_id if key else 0,
            api_key_id=key.pk if key else 0,
            source=source,
            need_nanos=need,
            floor_nanos=need if floor is None else floor,
            wish_nanos=wish,
            lifetime_s=60,
            opens_windows=opens,
        )
    )


async def shortage(*args: Any, **values: Any) -> Shortage:
    with pytest.raises(InsufficientCredit) as refusal:
        await reserve(*args, **values)
    return refusal.value.shortage


@sync_to_async
def balance(organization: Any) -> ledger.Balance:
    return ledger.balance(organization.pk)


async def test_a_hold_takes_from_what_is_available(reservations: Reservations, organization: Any) -> None:
    reserved = await reserve(reservations, organization, 3 * USD)
    assert (reserved.amount_nanos, reserved.epoch, reserved.expires_in_s, reserved.closes_in_s) == (
        3 * USD,
        0,
        60,
        None,
    )
    now = await balance(organization)
    assert (now.posted_nanos, now.held_nanos, now.idle_nanos, now.shown_nanos) == (20 * USD, 3 * USD, 3 * USD, 20 * USD)
    hold = await Hold.objects.aget()
    assert (hold.state, hold.amount_nanos, hold.remaining_nanos) == ("open", 3 * USD, 3 * USD)
    assert 59 <= (hold.expires_at - hold.created_at).total_seconds() <= 61


@pytest.mark.parametrize(
    ("need", "floor", "wish", "granted"),
    [
        (1 * USD, 1 * USD, 2 * USD, 2 * USD),  # plenty: the wish
        (1 * USD, 1 * USD, 9 * USD, 20 * USD // 8),  # but never more than an eighth
        (4 * USD, 1 * USD, 9 * USD, 4 * USD),  # the need where that is more
        (20 * USD, 1 * USD, 0, 20 * USD),
        (30 * USD, 20 * USD, 0, 20 * USD),  # what is there, down to the floor
        (0, 0, 0, 0),
    ],
)
async def test_how_much_is_granted(
    reservations: Reservations, organization: Any, need: int, floor: int, wish: int, granted: int
) -> None:
    assert (await reserve(reservations, organization, need, floor=floor, wish=wish)).amount_nanos == granted


@pytest.mark.parametrize("floor", [None, USD // 2])
async def test_fifty_at_once_on_a_wallet_that_affords_twenty(
    reservations: Reservations, organization: Any, conninfo: str, floor: int | None
) -> None:
    """All of a pool's connections look at the full wallet, then all go at once: the worst that can happen."""
    lock = account_locked(conninfo, "wallet", until_waiting=POOL)
    await asyncio.to_thread(lock.__enter__)
    placing = [asyncio.create_task(reserve(reservations, organization, USD, floor=floor)) for _ in range(50)]
    await asyncio.to_thread(lock.__exit__, None, None, None)
    results = await asyncio.gather(*placing, return_exceptions=True)
    assert sum(isinstance(result, Reserved) for result in results) == 20
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 30
    assert await balance(organization) == ledger.Balance(20 * USD, 20 * USD)


async def test_a_refusal_says_what_there_is_and_holds_nothing(reservations: Reservations, organization: Any) -> None:
    await reserve(reservations, organization, 15 * USD)
    short = await shortage(reservations, organization, 6 * USD)
    assert short == Shortage("wallet", "", 5 * USD, 15 * USD, None, None, False)
    assert await Hold.objects.acount() == 1


async def test_an_empty_wallet_cannot_be_used_even_for_nothing(reservations: Reservations, organization: Any) -> None:
    await reserve(reservations, organization, 20 * USD)
    assert (await shortage(reservations, organization, 0)).nothing_left


async def test_an_organization_without_a_wallet_or_a_suspended_one_has_no_credit(
    reservations: Reservations, organization: Any
) -> None:
    empty = await organization.__class__.objects.acreate(name="Bob")
    organization.suspended_at = datetime.now(UTC)
    await organization.asave()
    for one in (empty, organization):
        assert await shortage(reservations, one, 1) == Shortage("wallet", "", 0, 0, None, None, True)


async def test_a_plan_opens_its_windows_at_first_use(reservations: Reservations, organization: Any) -> None:
    await sync_to_async(subscribe)(organization)
    short = await shortage(reservations, organization, 1, source="plan", opens=False)
    assert (short.scope, short.nothing_left) == ("plan", True)
    assert not await Window.objects.aexists()
    reserved = await reserve(reservations, organization, USD, source="plan")
    assert 5 * 3600 - 5 < (reserved.closes_in_s or 0) <= 5 * 3600
    windows = {w.name: w async for w in Window.objects.all()}
    assert {name: (w.limit_nanos, w.held_nanos) for name, w in windows.items()} == {
        "five_hours": (2 * USD, USD),
        "seven_days": (5 * USD, USD),
        "period": (9 * USD, USD),
    }
    assert windows["seven_days"].closes_at - windows["seven_days"].opens_at == timedelta(days=7)
    await reserve(reservations, organization, 1, source="plan", opens=False)
    assert await Window.objects.acount() == 3
    assert (await balance(organization)).held_nanos == 0
    short = await shortage(reservations, organization, USD, source="plan")
    assert (short.window, short.available_nanos, short.held_nanos) == ("five_hours", USD - 1, USD + 1)
    assert short.resets_at == windows["five_hours"].closes_at


async def test_a_closed_window_gives_way_to_a_new_one_and_its_limit_follows_the_terms(
    reservations: Reservations, organization: Any
) -> None:
    subscription = await sync_to_async(subscribe)(organization)
    await reserve(reservations, organization, 2 * USD, source="plan")
    await Window.objects.filter(name="five_hours").aupdate(closes_at=datetime.now(UTC))
    subscription.terms["five_hours_nanos"] = 3 * USD
    await subscription.asave()
    await reserve(reservations, organization, 3 * USD, source="plan")
    limits = Window.objects.filter(name="five_hours").order_by("opens_at").values_list("limit_nanos", "held_nanos")
    assert [row async for row in limits] == [(2 * USD, 2 * USD), (3 * USD, 3 * USD)]


async def test_a_plan_covers_its_period_and_its_grace(reservations: Reservations, organization: Any) -> None:
    now = datetime.now(UTC)
    subscription = await sync_to_async(subscribe)(organization, period_end=now + timedelta(hours=1))
    reserved = await reserve(reservations, organization, 1, source="plan")
    assert 3590 < (reserved.closes_in_s or 0) <= 3600
    subscription.period_end = now - timedelta(minutes=6)  # a renewal that is so late begins a new period
    await subscription.asave()
    assert (await shortage(reservations, organization, 1, source="plan")).window == "period"
    subscription.state, subscription.grace_until = "grace", now + timedelta(hours=2)
    await subscription.asave()
    assert 7190 < ((await reserve(reservations, organization, 1, source="plan")).closes_in_s or 0) <= 7200
    assert await Window.objects.filter(name="period").acount() == 1


async def test_one_who_asked_before_another_opened_the_window_finds_it(
    reservations: Reservations, organization: Any, conninfo: str
) -> None:
    """Its own clock was read first, and then it had to wait."""
    subscription = await sync_to_async(subscribe)(organization)
    await reserve(reservations, organization, USD, source="plan")
    window = await Window.objects.aget(name="five_hours")
    asked_at = window.opens_at - timedelta(milliseconds=5)
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        cursor = await connection.execute(
            "SELECT billing_open_window(%s, 'plan', %s, NULL, 'five_hours', %s, %s, %s, %s, true)",
            [organization.pk, subscription.pk, USD, asked_at, asked_at + timedelta(hours=5), asked_at],
        )
        assert await cursor.fetchone() == (window.pk,)


async def test_fifty_who_open_the_same_windows_open_each_once(
    reservations: Reservations, organization: Any, key: ApiKey
) -> None:
    await sync_to_async(subscribe)(organization)
    await Budget.objects.acreate(organization=organization, api_key=key, period="day", limit_nanos=USD)
    results = await asyncio.gather(
        *(reserve(reservations, organization, USD // 20, source="plan", key=key) for _ in range(50)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Reserved) for result in results) == 20
    assert sum(isinstance(result, InsufficientCredit) for result in results) == 30
    assert await Window.objects.acount() == 4
    assert {held async for held in Window.objects.values_list("held_nanos", flat=True)} == {USD}


async def test_overflow_is_held_in_the_wallet_and_under_its_monthly_cap(
    reservations: Reservations, organization: Any
) -> None:
    assert (await shortage(reservations, organization, 1, source="overflow")).scope == "overflow"
    await sync_to_async(subscribe)(organization, overflow=True, overflow_cap_nanos=2 * USD)
    await reserve(reservations, organization, USD, source="overflow")
    assert (await balance(organization)).held_nanos == USD
    short = await shortage(reservations, organization, 2 * USD, source="overflow")
    assert (short.scope, short.window, short.available_nanos, short.limit_nanos) == ("overflow", "month", USD, 2 * USD)
    await Subscription.objects.aupdate(overflow_cap_nanos=None)
    assert (await reserve(reservations, organization, 2 * USD, source="overflow")).closes_in_s is None


@pytest.mark.parametrize("period", ["day", "week", "month", "total"])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
async def test_budgets_of_key_and_project_count_in_the_organizations_days(
    reservations: Reservations, organization: Any, key: ApiKey, period: str, zone: str
) -> None:
    organization.timezone = zone
    await organization.asave()
    budget = await Budget.objects.acreate(organization=organization, api_key=key, period=period, limit_nanos=3 * USD)
    await Budget.objects.acreate(organization=organization, project=key.project, period=period, limit_nanos=2 * USD)
    await reserve(reservations, organization, USD, key=key)
    short = await shortage(reservations, organization, 2 * USD, key=key)
    assert (short.scope, short.window, short.available_nanos) == ("project_budget", period, USD)
    window = await Window.objects.aget(budget=budget)
    local = window.opens_at.astimezone(ZoneInfo(zone))
    if period == "total":
        assert window.closes_at is None
        assert short.resets_at is None
    else:
        assert local.hour == 0
        assert local.weekday() == 0 or period != "week"
        assert local.day == 1 or period != "month"
        assert window.closes_at is not None
        assert window.opens_at <= datetime.now(UTC) < window.closes_at
    budget.limit_nanos = USD
    await budget.asave()
    short = await shortage(reservations, organization, 1, key=key)
    assert (short.scope, short.limit_nanos, short.nothing_left) == ("key_budget", USD, True)
    hold = await Hold.objects.aget()
    assert (hold.project_id, hold.api_key_id) == (key.project_id, key.pk)


async def test_an_open_hold_can_be_made_smaller_and_given_back(reservations: Reservations, organization: Any) -> None:
    hold_id: UUID = (await reserve(reservations, organization, 3 * USD)).hold_id
    assert await reservations.release(hold_id, USD) == USD
    assert await reservations.release(uuid4(), USD) == 0
    assert (await balance(organization)).held_nanos == 2 * USD
    for _ in range(2):
        await reservations.give_back(hold_id, USD // 2, 1)
    assert (await balance(organization)).held_nanos == USD // 2
    assert await reservations.release(hold_id, 1) == 0
    await reservations.give_back_many([])
    assert (await Hold.objects.aget()).state == "returned"


async def test_a_database_that_is_away_is_not_a_lack_of_credit(organization: Any) -> None:
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        "host=/nonexistent dbname=none", min_size=0, max_size=1, timeout=0.2, open=False
    )
    await pool.open(wait=False)
    with pytest.raises(CreditUnavailable):
        await reserve(Reservations(pool), organization, 1)
    await pool.close()
    with pytest.raises(CreditUnavailable):
        await Reservations(pool).give_back(uuid4(), 0, 0)


async def test_senseless_amounts_are_refused(reservations: Reservations, organization: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        await reserve(reservations, organization, -1)
    with pytest.raises(ValueError, match="spent"):
        await reservations.give_back(uuid4(), -1, 0)
