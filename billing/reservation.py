"""Reserving credit before anything is sent upstream. Runs in the gateway: async, no ORM, one round trip each.

The work is in database functions (`billing_reserve` and its neighbours), so that each call is one atomic statement.
Amounts are in nano-USD.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool

Source = Literal["wallet", "plan", "overflow"]
Scope = Literal["wallet", "plan", "overflow", "key_budget", "project_budget"]

RESERVE = """
SELECT amount, epoch, closes_in, scope, window_name, available, held, limit_of, resets_at
  FROM billing_reserve(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
GIVE_BACK = "SELECT billing_give_back(%s::uuid[], %s::bigint[], %s::bigint[])"
RELEASE = "SELECT billing_release(%s, %s)"
_PATIENCE_S = 5.0


@dataclass(slots=True)
class Wanted:
    """A hold to place: at least `need_nanos`, or `floor_nanos` where no more is there, up to `wish_nanos` of plenty.

    `opens_windows`: an admitted request asks, so windows that are not open may be opened.
    """

    hold_id: UUID
    organization_id: int
    project_id: int
    api_key_id: int
    source: Source
    need_nanos: int
    floor_nanos: int
    wish_nanos: int
    lifetime_s: float
    opens_windows: bool


@dataclass(slots=True)
class Reserved:
    """A hold in force. `closes_in_s`: until the earliest of its windows closes; None where none does."""

    hold_id: UUID
    amount_nanos: int
    source: Source
    epoch: int
    expires_in_s: float
    closes_in_s: float | None


@dataclass(slots=True)
class Shortage:
    """What had too little: a wallet (`window` is empty) or a window with its limit and the time when it resets."""

    scope: Scope
    window: str  # "" or five_hours, seven_days, period, month, day, week, total
    available_nanos: int
    held_nanos: int
    limit_nanos: int | None
    resets_at: datetime | None
    nothing_left: bool


class InsufficientCredit(Exception):
    """Wallet or windows do not cover the amount, or the organization is suspended. Nothing was held."""

    def __init__(self, shortage: Shortage) -> None:
        super().__init__(f"{shortage.scope} {shortage.window}: available {shortage.available_nanos} nanos")
        self.shortage = shortage


class CreditUnavailable(Exception):
    """PostgreSQL cannot be asked. Nothing is known about the credit, so this is never a 402."""


class Reservations:
    """Places and returns holds over an open pool of psycopg connections in autocommit."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def reserve(self, wanted: Wanted) -> Reserved:
        """Raises InsufficientCredit naming what is scarcest, CreditUnavailable, ValueError for senseless amounts."""
        if min(wanted.need_nanos, wanted.floor_nanos, wanted.wish_nanos) < 0 or wanted.lifetime_s <= 0:
            raise ValueError("a hold needs amounts of zero or more and a time to live")
        row = await self._ask(
            RESERVE,
            (
                wanted.hold_id,
                wanted.organization_id,
                wanted.project_id,
                wanted.api_key_id,
                wanted.source,
                wanted.need_nanos,
                wanted.floor_nanos,
                wanted.wish_nanos,
                float(wanted.lifetime_s),
                wanted.opens_windows,
            ),
        )
        amount, epoch, closes_in, scope, window, available, held, limit, resets_at = row
        if amount is None:
            raise InsufficientCredit(Shortage(scope, window, available, held, limit, resets_at, available <= 0))
        return Reserved(wanted.hold_id, amount, wanted.source, epoch, wanted.lifetime_s, closes_in)

    async def give_back(self, hold_id: UUID, spent_nanos: int, count: int) -> None:
        """The process admits no more on this hold: `count` events with charges of `spent_nanos` in all are journaled.

        The rest is free at once, what was spent as those events settle. Safe to repeat. Raises CreditUnavailable.
        """
        await self.give_back_many([(hold_id, spent_nanos, count)])

    async def give_back_many(self, returns: Sequence[tuple[UUID, int, int]]) -> None:
        """Like `give_back`, for (hold, spent, count) of each."""
        if any(spent < 0 or count < 0 for _, spent, count in returns):
            raise ValueError("what was spent and counted is zero or more")
        if returns:
            ids, spent, counts = (list(column) for column in zip(*returns, strict=True))
            await self._ask(GIVE_BACK, (ids, spent, counts))

    async def release(self, hold_id: UUID, nanos: int) -> int:
        """Make an open hold smaller by up to `nanos`; returns by how much. Never repeated. Raises CreditUnavailable."""
        if nanos < 0:
            raise ValueError("an amount is zero or more")
        row = await self._ask(RELEASE, (hold_id, nanos))
        return int(row[0])

    async def _ask(self, query: str, parameters: Sequence[Any]) -> tuple[Any, ...]:
        try:
            async with asyncio.timeout(_PATIENCE_S), self._pool.connection() as connection:
                cursor = await connection.execute(query, parameters)
                row: tuple[Any, ...] | None = await cursor.fetchone()
        except (OperationalError, InterfaceError, TimeoutError) as error:  # a pool that timed out or is closed as well
            raise CreditUnavailable from error
        assert row is not None
        return row
