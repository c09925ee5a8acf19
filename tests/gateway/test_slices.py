"""Leases of credit in one process: what may be spent of them, until when, and how they come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from billing.reservation import CreditUnavailable, InsufficientCredit, Reserved, Shortage, Wanted
from gateway import slices as module
from gateway.slices import Payer, Share, Slices

BOB = Payer(7, "wallet")
NOTHING_LEFT = Shortage("wallet", "", 0, 0, None, None, True)


class Clock:
    """Stands in for the time module: monotonic time moves by hand, the wall clock wherever it likes."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.wall = 5e8

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall


@dataclass
class Credit:
    """A wallet that answers like `Reservations`."""

    clock: Clock
    nanos: int = 10**12
    epoch: int = 0
    closes_in_s: float | None = None
    is_away: bool = False
    slow_s: float = 0.0  # by the clock
    gate: asyncio.Event | None = None
    asked: list[Wanted] = field(default_factory=list)
    returned: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)

    async def reserve(self, wanted: Wanted) -> Reserved:
        self.asked.append(wanted)
        if self.gate is not None:
            await self.gate.wait()
        self.clock.now += self.slow_s
        if self.is_away:
            raise CreditUnavailable
        amount = min(max(wanted.wish_nanos, wanted.need_nanos), self.nanos)
        if amount < wanted.floor_nanos:
            raise InsufficientCredit(NOTHING_LEFT)
        self.nanos -= amount
        return Reserved(wanted.hold_id, amount, wanted.source, self.epoch, wanted.lifetime_s, self.closes_in_s)

    async def give_back_many(self, returns: Sequence[tuple[UUID, int, int]]) -> None:
        if self.is_away:
            raise CreditUnavailable
        self.returned.update({hold_id: (spent, count) for hold_id, spent, count in returns})

    async def release(self, _: UUID, nanos: int) -> int:
        self.released.append(nanos)
        return nanos


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def credit(clock: Clock) -> Credit:
    return Credit(clock)


@pytest.fixture
async def slices(credit: Credit) -> AsyncIterator[Slices]:
    slices = Slices(credit, longest_s=660.0, lease_s=60.0)  # type: ignore[arg-type]
    yield slices
    await slices.stop()


async def reserve(slices: Slices, nanos: int, floor: int | None = None, payer: Payer = BOB, epoch: int = 0) -> Share:
    floor = nanos if floor is None else floor
    return await slices.reserve(payer, nanos, floor, epoch, project_id=1, api_key_id=1)


async def settled() -> None:
    """Let what runs in the background end."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_question_serves_many_requests(slices: Slices, credit: Credit) -> None:
    first = await reserve(slices, 100)
    others = [slices.take(BOB, 100, 0) for _ in range(5)]
    assert all(share is not None and share.slice is first.slice for share in others)
    assert len(credit.asked) == 1


async def test_no_more_is_set_aside_than_was_reserved(slices: Slices, credit: Credit) -> None:
    share = await reserve(slices, 100)
    slice_ = share.slice
    taken = 1
    while True:
        other = slices.take(BOB, 100, 0)
        if other is None or other.slice is not slice_:
            break
        taken += 1
        credit.is_away = True  # no other slice comes
    assert taken * 100 <= slice_.amount


async def test_what_a_request_did_not_use_serves_the_next(slices: Slices, credit: Credit) -> None:
    credit.nanos = 1_600
    share = await reserve(slices, 1_600 // 2)
    slices.end(share, 100)
    assert share.slice.available == share.slice.amount - 100
    assert share.slice.spent == 100
    assert share.slice.count == 1


async def test_a_slice_admits_only_until_its_lease_is_over(slices: Slices, clock: Clock) -> None:
    await reserve(slices, 100)
    clock.now += 59.9
    assert slices.take(BOB, 100, 0) is not None
    clock.now += 0.2
    assert slices.take(BOB, 100, 0) is None


async def test_a_jump_of_the_wall_clock_neither_prolongs_nor_ends_a_slice(slices: Slices, clock: Clock) -> None:
    await reserve(slices, 100)
    clock.wall += 3600
    assert slices.take(BOB, 100, 0) is not None
    clock.wall -= 7200
    clock.now += 60.1
    assert slices.take(BOB, 100, 0) is None


async def test_the_lease_is_counted_from_before_the_question(slices: Slices, credit: Credit, clock: Clock) -> None:
    credit.slow_s = 20.0
    await reserve(slices, 100)
    clock.now += 39.0
    assert slices.take(BOB, 100, 0) is not None
    clock.now += 1.1
    assert slices.take(BOB, 100, 0) is None


async def test_a_process_that_stood_still_while_it_asked_spends_nothing_of_what_it_got(
    slices: Slices, credit: Credit
) -> None:
    credit.slow_s = 61.0
    with pytest.raises(CreditUnavailable):
        await reserve(slices, 100)
    await settled()
    assert credit.returned == {credit.asked[0].hold_id: (0, 0)}


async def test_a_plan_slice_ends_with_its_window(slices: Slices, credit: Credit, clock: Clock) -> None:
    credit.closes_in_s = 5.0
    await reserve(slices, 100, payer=Payer(7, "plan"))
    clock.now += 5.1
    assert slices.take(Payer(7, "plan"), 100, 0) is None


async def test_a_risen_epoch_is_not_served_from_an_older_slice(slices: Slices, credit: Credit) -> None:
    await reserve(slices, 100)
    assert slices.take(BOB, 100, 1) is None
    credit.epoch = 1
    await reserve(slices, 100, epoch=1)
    assert slices.take(BOB, 100, 1) is not None


async def test_two_payers_never_share_a_slice(slices: Slices) -> None:
    await reserve(slices, 100)
    assert slices.take(Payer(8, "wallet"), 100, 0) is None
    assert slices.take(Payer(7, "plan"), 100, 0) is None
    assert slices.take(Payer(7, "wallet", 1, 2), 100, 0) is None


async def test_the_next_slice_is_fetched_ahead_of_need(slices: Slices, credit: Credit) -> None:
    share = await reserve(slices, 100)
    while share.slice.available >= share.slice.amount * module._REFILL_BELOW:
        slices.take(BOB, 100, 0)
    await settled()
    assert len(credit.asked) == 2
    assert credit.asked[1].opens_windows is False
    newer = slices.take(BOB, 100, 0)
    assert newer is not None
    assert newer.slice is not share.slice


async def test_where_credit_is_scarce_a_request_has_a_hold_of_its_own(slices: Slices, credit: Credit) -> None:
    credit.nanos = 60
    share = await reserve(slices, 100, floor=50)
    assert share.nanos == 60
    assert slices.take(BOB, 1, 0) is None
    slices.end(share, 30)
    await settled()
    assert credit.returned == {UUID(share.slice.id): (30, 1)}


async def test_less_than_the_floor_is_refused(slices: Slices, credit: Credit) -> None:
    credit.nanos = 40
    with pytest.raises(InsufficientCredit):
        await reserve(slices, 100, floor=50)
    await settled()
    assert not credit.returned, "nothing was held, so nothing is returned"


async def test_many_that_wait_ask_once(slices: Slices, credit: Credit) -> None:
    credit.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(reserve(slices, 100)) for _ in range(5)]
    await settled()
    assert len(credit.asked) == 1
    credit.gate.set()
    shares = await asyncio.gather(*waiting)
    assert len(credit.asked) == 1
    assert len({share.slice.id for share in shares}) == 1


async def test_a_request_that_ends_while_it_asks_gives_back_what_it_may_have_got(
    slices: Slices, credit: Credit
) -> None:
    credit.gate = asyncio.Event()
    asking = asyncio.ensure_future(reserve(slices, 100))
    await settled()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await settled()
    assert credit.returned == {credit.asked[0].hold_id: (0, 0)}
    credit.gate = None
    assert (await reserve(slices, 100)).nanos == 100, "those that come after are not kept waiting"


async def test_a_lost_answer_is_given_back_once_the_database_is_there_again(slices: Slices, credit: Credit) -> None:
    credit.is_away = True
    with pytest.raises(CreditUnavailable):
        await reserve(slices, 100)
    await settled()
    assert not credit.returned
    credit.is_away = False
    slices._hasten()
    await settled()
    assert credit.returned == {credit.asked[0].hold_id: (0, 0)}


async def test_a_replaced_slice_goes_back_only_after_its_last_request(slices: Slices, credit: Credit) -> None:
    first = await reserve(slices, 100)
    second = await reserve(slices, first.slice.amount)  # more than is left in the first
    await settled()
    assert not credit.returned
    slices.end(first, 70)
    await settled()
    assert credit.returned == {UUID(first.slice.id): (70, 1)}
    slices.end(second, 1)


async def test_a_charge_above_the_estimate_leaves_less_for_the_others(slices: Slices) -> None:
    share = await reserve(slices, 100)
    slices.end(share, share.slice.amount + 50)
    assert share.slice.available == -50
    assert slices.take(BOB, 1, 0) is None


async def test_a_recall_returns_idle_slices_and_the_idle_part_of_busy_ones(slices: Slices, credit: Credit) -> None:
    idle = await reserve(slices, 100)
    slices.end(idle, 0)
    busy = await reserve(slices, 100, payer=Payer(7, "wallet", 1))
    other = await reserve(slices, 100, payer=Payer(9, "wallet"))
    slices.recall(7)
    await settled()
    assert credit.returned == {UUID(idle.slice.id): (0, 1)}
    assert credit.released == [busy.slice.amount + credit.released[0] - 100]
    assert busy.slice.available == 0
    assert slices.idle_nanos(7) == 0
    assert slices.take(other.slice.payer, 100, 0) is not None


async def test_a_forgotten_organization_admits_nothing_more_but_running_requests_end(
    slices: Slices, credit: Credit
) -> None:
    running = await reserve(slices, 100)
    slices.forget(7)
    assert slices.take(BOB, 100, 0) is None
    await settled()
    assert not credit.returned
    slices.end(running, 25)
    await settled()
    assert credit.returned == {UUID(running.slice.id): (25, 1)}


async def test_idle_and_expired_slices_go_back_by_themselves(slices: Slices, credit: Credit, clock: Clock) -> None:
    share = await reserve(slices, 100)
    clock.now += 61
    slices._collect()
    await settled()
    assert not credit.returned, "a request is running on it"
    slices.end(share, 5)
    await settled()
    assert credit.returned == {UUID(share.slice.id): (5, 1)}


async def test_a_process_that_stops_gives_everything_back(slices: Slices, credit: Credit) -> None:
    share = await reserve(slices, 100)
    slices.end(share, 40)
    await slices.stop()
    assert credit.returned == {UUID(share.slice.id): (40, 1)}


async def test_a_prefetch_that_is_under_way_at_the_stop_is_given_back_too(slices: Slices, credit: Credit) -> None:
    share = await reserve(slices, 100)
    credit.gate = asyncio.Event()
    while len(credit.asked) < 2:
        slices.take(BOB, 100, 0)
        await settled()
    slices.end(share, 0)
    await slices.stop()
    assert credit.returned[credit.asked[1].hold_id] == (0, 0)


async def test_a_wallet_without_more_is_not_asked_with_every_request(slices: Slices, credit: Credit) -> None:
    credit.nanos = 1_000
    share = await reserve(slices, 100)
    assert share.slice.amount == 1_000
    for _ in range(5):
        other = slices.take(BOB, 100, 0)
        assert other is not None
    await settled()
    asked = len(credit.asked)
    for _ in range(3):
        slices.take(BOB, 100, 0)
        await settled()
    assert len(credit.asked) == asked
