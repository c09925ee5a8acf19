"""Reserving credit before anything is sent upstream. Runs in the gateway: async, no ORM, one statement per hold."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from psycopg import InterfaceError, OperationalError
from psycopg_pool import AsyncConnectionPool

# The lock on the wallet row makes concurrent reservations take turns; whoever waited sees the row as it is then, so no
# two of them can hold the same cent. The figures of a refusal come from the same locked row.
_PLACE = """
WITH wallet AS (
    SELECT id, posted_nanos - held_nanos AS available, held_nanos
      FROM billing_ledgeraccount
     WHERE organization_id = %(organization_id)s AND kind = 'wallet' AND currency = 'USD'
       FOR NO KEY UPDATE
), reserved AS (
    UPDATE billing_ledgeraccount account
       SET held_nanos = account.held_nanos + LEAST(%(amount)s::bigint, wallet.available)
      FROM wallet
     WHERE account.id = wallet.id AND wallet.available > 0 AND wallet.available >= %(least)s::bigint
    RETURNING account.id, LEAST(%(amount)s::bigint, wallet.available) AS amount
), hold AS (
    INSERT INTO billing_hold (id, account_id, organization_id, amount_nanos, remaining_nanos, currency, state,
                              created_at, expires_at)
    SELECT %(hold_id)s::uuid, id, %(organization_id)s, amount, amount, 'USD', 'open',
           clock_timestamp(), clock_timestamp() + make_interval(secs => %(lifetime_s)s)
      FROM reserved
    RETURNING amount_nanos
)
SELECT wallet.available, wallet.held_nanos, hold.amount_nanos FROM wallet LEFT JOIN hold ON true
"""


class InsufficientCredit(Exception):
    """The wallet does not cover the amount. Nothing was held."""

    def __init__(self, available_nanos: int, held_nanos: int) -> None:
        super().__init__(f"available {available_nanos} nanos, held {held_nanos} nanos")
        self.available_nanos = available_nanos
        self.held_nanos = held_nanos


class CreditUnavailable(Exception):
    """PostgreSQL cannot be asked. Nothing is known about the credit, so this is never a 402."""


class Reservations:
    """Places holds over an open pool of psycopg connections."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    async def place(
        self,
        *,
        hold_id: UUID,
        organization_id: int,
        amount_nanos: int,
        lifetime_s: float,
        floor_nanos: int | None = None,
    ) -> int:
        """Hold `amount_nanos` of the organization's wallet for `lifetime_s`; returns what is held.

        With `floor_nanos` a wallet that has less holds what there is, but never less than the floor. A wallet must have
        something left even for an amount of zero. Raises InsufficientCredit, CreditUnavailable.
        """
        if amount_nanos < 0 or lifetime_s <= 0:
            raise ValueError("a hold needs an amount of zero or more and a time to live")
        least = amount_nanos if floor_nanos is None else min(amount_nanos, floor_nanos)
        row = await self._ask(
            {
                "hold_id": hold_id,
                "organization_id": organization_id,
                "amount": amount_nanos,
                "least": least,
                "lifetime_s": float(lifetime_s),
            }
        )
        available, held, amount = row or (0, 0, None)
        if amount is None:
            raise InsufficientCredit(available, held)
        return int(amount)

    async def _ask(self, parameters: dict[str, Any]) -> tuple[int, int, int | None] | None:
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(_PLACE, parameters)
                row: tuple[int, int, int | None] | None = await cursor.fetchone()
                return row
        except (OperationalError, InterfaceError) as error:  # a pool that timed out or is closed counts as well
            raise CreditUnavailable from error
