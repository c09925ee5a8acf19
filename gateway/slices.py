"""Credit that this process may spend without asking: leases from PostgreSQL, shared by the requests of a payer.

A slice is taken from a wallet or a plan by `billing.reservation` and spent here in memory. Where credit is plenty one
slice serves many requests and the next is fetched ahead of need; where it is scarce each request gets a hold of its
own. Every amount is in nano-USD.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from uuid_utils.compat import uuid7

from billing.reservation import CreditUnavailable, InsufficientCredit, Reservations, Reserved, Source, Wanted

log = structlog.get_logger(__name__)

_TEND_EVERY_S = 0.5
_IDLE_S = 10.0  # an unused slice goes back
_FIRST_WISH = 16  # requests like the one that asked
_GROW = 4
_QUICKLY_S = 5.0  # a slice that lasts less long makes the next one larger
_REFILL_BELOW = 0.5
_ASK_AGAIN_S = 0.2  # after a wallet had too little for another slice
_MOST_PAYERS = 100_000
_GIVEN_BACK_AT_ONCE = 500
_MOST_DOUBTFUL = 10_000  # holds to give back of which it is not known whether they were placed


class Payer(NamedTuple):
    """Who pays for a request, and out of what. Keys and projects with a budget have slices of their own."""

    organization_id: int
    source: Source
    project_id: int = 0
    api_key_id: int = 0


class Slice:
    """One lease. `available` is what no running request has set aside; it may fall below zero by what a request cost
    beyond its own estimate."""

    __slots__ = (
        "admit_until",
        "amount",
        "available",
        "began",
        "closing",
        "count",
        "epoch",
        "id",
        "payer",
        "running",
        "source",
        "spent",
        "touched",
    )

    def __init__(self, payer: Payer, reserved: Reserved, admit_until: float, *, closing: bool) -> None:
        self.id = str(reserved.hold_id)
        self.payer = payer
        self.source: Source = payer.source
        self.amount = self.available = reserved.amount_nanos
        self.epoch = reserved.epoch
        self.admit_until = admit_until
        self.spent = 0
        self.count = 0
        self.running = 0
        self.closing = closing
        self.began = self.touched = time.monotonic()

    def fits(self, nanos: int, epoch: int, now: float) -> bool:
        return self.available >= nanos and now < self.admit_until and self.epoch >= epoch and not self.closing


class Share:
    """What one request has set aside in a slice."""

    __slots__ = ("nanos", "slice")

    def __init__(self, slice_: Slice, nanos: int, now: float) -> None:
        self.slice = slice_
        self.nanos = nanos
        slice_.available -= nanos
        slice_.running += 1
        slice_.touched = now


class Slices:
    """The slices of one gateway process, between `start` and `stop`.

    `lease_s` is how long a slice admits requests; it expires `longest_s` (the longest request) later, so that nothing
    still runs on an expired one.
    """

    def __init__(
        self, reservations: Reservations, *, longest_s: float, lease_s: float = 60.0, most_nanos: int = 2_000_000_000
    ) -> None:
        self._reservations = reservations
        self._longest_s = longest_s
        self._lease_s = lease_s
        self._most_nanos = most_nanos
        self._current: dict[Payer, Slice] = {}
        self._wishes: dict[Payer, int] = {}
        self._open: dict[str, Slice] = {}
        self._fetching: dict[Payer, asyncio.Task[None]] = {}
        self._returning: dict[UUID, tuple[int, int]] = {}  # hold -> what was spent of it, in how many events
        self._tasks: set[asyncio.Task[Any]] = set()
        self._quiet: dict[Payer, float] = {}

    async def start(self) -> None:
        self._run(self._tend_regularly())

    async def stop(self) -> None:
        """Gives every slice back that no request uses any more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for slice_ in list(self._open.values()):
            slice_.closing = True
        self._collect()
        await self._give_back()
        if self._open or self._returning:
            log.warning("slices_left_to_expire", slices=len(self._open) + len(self._returning))

    # --- A request's way -------------------------------------------------------------------------------------------
    def take(self, payer: Payer, nanos: int, epoch: int) -> Share | None:
        """Set `nanos` aside without waiting; None where there is no slice with so much in it."""
        slice_ = self._current.get(payer)
        now = time.monotonic()
        if slice_ is None or not slice_.fits(nanos, epoch, now):
            return None
        share = Share(slice_, nanos, now)
        runs_low = slice_.available < slice_.amount * _REFILL_BELOW
        if runs_low and payer not in self._fetching and slice_.touched >= self._quiet.get(payer, 0.0):
            self._fetch_ahead(payer, nanos)
        return share

    async def reserve(
        self, payer: Payer, nanos: int, floor: int, epoch: int, *, project_id: int, api_key_id: int
    ) -> Share:
        """Ask PostgreSQL: for a slice where there is plenty, else for this request alone.

        The share holds `nanos`, or less but at least `floor` where no more is there. Raises InsufficientCredit and
        CreditUnavailable.
        """
        fetching = self._fetching.get(payer)
        if fetching is not None:
            await asyncio.wait({fetching})  # another request has just asked
        ready = self.take(payer, nanos, epoch)
        if ready is not None:
            return ready
        waiting: asyncio.Task[None] | None = None
        if payer not in self._fetching:
            waiting = asyncio.ensure_future(_until_cancelled())
            self._fetching[payer] = waiting
        try:
            slice_ = await self._ask(payer, nanos, floor, self._wish(payer, nanos), project_id, api_key_id, True)
        finally:
            if waiting is not None:
                waiting.cancel()
                self._fetching.pop(payer, None)
        return Share(slice_, min(nanos, slice_.amount), time.monotonic())

    def end(self, share: Share, charge_nanos: int, *, events: int = 1) -> None:
        """The request is over. `events`: so many usage events, with this charge in all, go to the journal."""
        slice_ = share.slice
        slice_.available += share.nanos - charge_nanos
        slice_.spent += charge_nanos
        slice_.count += events
        slice_.running -= 1
        if slice_.closing and not slice_.running:
            self._close(slice_)

    # --- What others ask of us -------------------------------------------------------------------------------------
    def recall(self, organization_id: int) -> None:
        """Another process is short of this organization's credit: give back what no running request needs."""
        for slice_ in list(self._open.values()):
            if slice_.payer.organization_id != organization_id or slice_.closing:
                continue
            if slice_.running:
                self._run(self._shrink(slice_))
            else:
                slice_.closing = True
                self._close(slice_)
        self._hasten()

    def forget(self, organization_id: int) -> None:
        """The organization's epoch rose: admit no more on its slices."""
        for slice_ in list(self._open.values()):
            if slice_.payer.organization_id == organization_id:
                slice_.closing = True
                if not slice_.running:
                    self._close(slice_)
        self._hasten()

    def idle_nanos(self, organization_id: int) -> int:
        """Held by this process for the organization, and not needed by a running request."""
        mine = (slice_ for slice_ in self._open.values() if slice_.payer.organization_id == organization_id)
        return sum(max(0, slice_.available) for slice_ in mine)

    # --- To and from PostgreSQL ------------------------------------------------------------------------------------
    def _wish(self, payer: Payer, nanos: int) -> int:
        wish = max(self._wishes.get(payer, 0), nanos * _FIRST_WISH)
        return min(wish, self._most_nanos)

    async def _ask(
        self, payer: Payer, need: int, floor: int, wish: int, project_id: int, api_key_id: int, opens: bool
    ) -> Slice:
        hold_id = UUID(int=uuid7().int)
        began = time.monotonic()
        try:
            reserved = await self._reservations.reserve(
                Wanted(
                    hold_id=hold_id,
                    organization_id=payer.organization_id,
                    project_id=project_id,
                    api_key_id=api_key_id,
                    source=payer.source,
                    need_nanos=need,
                    floor_nanos=floor,
                    wish_nanos=wish,
                    lifetime_s=self._lease_s + self._longest_s,
                    opens_windows=opens,
                )
            )
        except (CreditUnavailable, asyncio.CancelledError):
            self._doubt(hold_id)
            raise
        # Counted from before the question was sent: by the database's clock the lease lasts at least as long.
        admit_until = began + reserved.expires_in_s - self._longest_s
        if time.monotonic() >= admit_until:  # this process stood still while it asked
            self._doubt(hold_id)
            raise CreditUnavailable
        if reserved.closes_in_s is not None:
            admit_until = min(admit_until, began + reserved.closes_in_s)
        alone = reserved.amount_nanos <= need
        slice_ = Slice(payer, reserved, admit_until, closing=alone)
        self._open[slice_.id] = slice_
        if not alone:
            self._make_current(payer, slice_)
        return slice_

    def _doubt(self, hold_id: UUID) -> None:
        """Nothing will be spent of this hold, and perhaps it was never placed: giving it back does no harm then."""
        if len(self._returning) < _MOST_DOUBTFUL:
            self._returning[hold_id] = (0, 0)
            self._hasten()

    def _make_current(self, payer: Payer, slice_: Slice) -> None:
        old = self._current.get(payer)
        self._current[payer] = slice_
        if old is not None:
            if slice_.began - old.began < _QUICKLY_S:
                self._wishes[payer] = min(self._most_nanos, max(old.amount, slice_.amount) * _GROW)
            old.closing = True
            if not old.running:
                self._close(old)

    def _fetch_ahead(self, payer: Payer, nanos: int) -> None:
        self._fetching[payer] = task = self._run(self._fetch(payer, nanos))
        task.add_done_callback(lambda _: self._fetching.pop(payer, None))

    async def _fetch(self, payer: Payer, nanos: int) -> None:
        wish = self._wish(payer, nanos)
        try:
            # Never for less than several requests: the last of a credit goes out request by request.
            await self._ask(payer, nanos * 2, nanos * 2, wish, payer.project_id, payer.api_key_id, False)
        except (InsufficientCredit, CreditUnavailable):
            self._quiet[payer] = time.monotonic() + _ASK_AGAIN_S  # the slice at hand goes on

    def _close(self, slice_: Slice) -> None:
        """No request uses it and none will."""
        if self._current.get(slice_.payer) is slice_:
            del self._current[slice_.payer]
        if self._open.pop(slice_.id, None) is not None:
            self._returning[UUID(slice_.id)] = (slice_.spent, slice_.count)
            self._hasten()

    def _hasten(self) -> None:
        if self._returning and "give_back" not in {task.get_name() for task in self._tasks}:
            self._run(self._give_back(), name="give_back")

    async def _give_back(self) -> None:
        await asyncio.sleep(0)  # those that end in the same turn go together
        while self._returning:
            batch = [(hold_id, *facts) for hold_id, facts in islice(self._returning.items(), _GIVEN_BACK_AT_ONCE)]
            try:
                await self._reservations.give_back_many(batch)
            except CreditUnavailable:
                return  # the regular round tries again; what stays is swept once it has expired
            for hold_id, _, _ in batch:
                self._returning.pop(hold_id, None)

    async def _shrink(self, slice_: Slice) -> None:
        idle = slice_.available
        if idle <= 0:
            return
        slice_.available -= idle  # before asking, and for good: an answer that is lost may have been a yes
        slice_.amount -= idle
        with contextlib.suppress(CreditUnavailable):
            await self._reservations.release(UUID(slice_.id), idle)

    async def _tend_regularly(self) -> None:
        while True:
            await asyncio.sleep(_TEND_EVERY_S)
            self._collect()
            self._hasten()

    def _collect(self) -> None:
        now = time.monotonic()
        for slice_ in list(self._open.values()):
            if now >= slice_.admit_until or (not slice_.running and now - slice_.touched > _IDLE_S):
                slice_.closing = True
            if slice_.closing and not slice_.running:
                self._close(slice_)
        for memory in (self._wishes, self._quiet):
            if len(memory) > _MOST_PAYERS:
                memory.clear()

    def _run(self, work: Any, name: str = "") -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work, name=name or None)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _until_cancelled() -> None:
    await asyncio.Event().wait()
