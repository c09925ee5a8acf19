"""What a key may ask about itself: one of its organization's requests, its own usage, the wallet.

Plain SQL over the gateway's pool, without the ORM: this runs in the request path. A few questions at once at most, so
that no client that asks in a loop takes the connections which holds need.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from psycopg.rows import class_row, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from billing.receipts.document import RECORD_COLUMNS
from observability.limit_lookups import BUDGETS, PLAN, PLAN_WINDOWS, Limit, PlanNow
from observability.records import attempts_in

AT_ONCE: Final = 4
PATIENCE_S: Final = 3.0
AHEAD_S: Final = 60.0  # by so much the clock of the process that made an id may differ from ours

log = structlog.get_logger(__name__)
Row = dict[str, Any]

_LOG: Final = "SELECT * FROM observability_requestlog WHERE id = %s AND organization_id = %s"
# The first part has its request's id; an index knows the further ones.
_RECORDS: Final = (
    f"SELECT {', '.join(RECORD_COLUMNS)} FROM billing_usagerecord"  # noqa: S608 - constants
    " WHERE ((id = %(id)s AND request_id = %(id)s) OR (request_id = %(id)s AND id <> request_id))"
    " AND organization_id = %(organization_id)s ORDER BY part"
)
_LOGGED: Final = "SELECT EXISTS (SELECT FROM observability_requestlog WHERE id = %s)"
_KEY: Final = """
SELECT k.name, k.prefix || '…' || k.last_four AS label, k.expires_at, k.allowed_models,
       used.total_nanos, used.day_nanos, used.week_nanos, used.month_nanos
  FROM accounts_apikey k
 CROSS JOIN LATERAL (
       SELECT COALESCE(sum(charge_nanos), 0)::bigint AS total_nanos,
              COALESCE(sum(charge_nanos) FILTER (WHERE hour >= date_trunc('day', now(), 'UTC')), 0)::bigint
                  AS day_nanos,
              COALESCE(sum(charge_nanos) FILTER (WHERE hour >= date_trunc('week', now(), 'UTC')), 0)::bigint
                  AS week_nanos,
              COALESCE(sum(charge_nanos) FILTER (WHERE hour >= date_trunc('month', now(), 'UTC')), 0)::bigint
                  AS month_nanos
         FROM observability_usagehour WHERE api_key_id = k.id
       ) used
 WHERE k.id = %s
"""
# The sums and the wallet change in one transaction, and one statement sees both as they are at one moment. What a plan
# paid is in its period's windows.
_CREDITS: Final = """
SELECT COALESCE(wallet.posted_nanos, 0) AS posted_nanos, COALESCE(wallet.held_nanos, 0) AS held_nanos,
       (SELECT COALESCE(sum(h.remaining_nanos), 0)::bigint FROM billing_hold h
         WHERE h.account_id = wallet.id AND h.state = 'open' AND h.source <> 'plan') AS idle_nanos,
       used.nanos - covered.nanos AS used_nanos
  FROM (SELECT COALESCE(sum(charge_nanos), 0)::bigint AS nanos
          FROM observability_usagehour WHERE organization_id = %(organization_id)s) used
 CROSS JOIN (SELECT COALESCE(sum(spent_nanos), 0)::bigint AS nanos FROM billing_window
              WHERE organization_id = %(organization_id)s AND kind = 'plan' AND name = 'period') covered
  LEFT JOIN billing_ledgeraccount wallet
    ON wallet.organization_id = %(organization_id)s AND wallet.kind = 'wallet' AND wallet.currency = 'USD'
"""


class LookupsUnavailable(Exception):
    """PostgreSQL can't be asked, or too many ask at once."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Rows by column name. `log` is None once retention has dropped it; a request without a hold has no `records`."""

    log: Row | None
    attempts: list[Row]
    records: list[Row]


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """A key and what was charged to it; days, weeks (from Monday) and months are those of UTC."""

    name: str
    label: str
    expires_at: datetime | None
    allowed_models: list[str]
    total_nanos: int
    day_nanos: int
    week_nanos: int
    month_nanos: int


@dataclass(frozen=True, slots=True)
class Credits:
    """Of the wallet, in nano-USD. `idle_nanos`: the part of `held_nanos` that gateways have reserved and nobody spent.

    What a request has spent stands in `idle_nanos` until it is settled, which takes a second or so.
    """

    posted_nanos: int
    held_nanos: int
    idle_nanos: int
    used_nanos: int

    @property
    def total_nanos(self) -> int:
        """All credit that was ever added, less what left the wallet for anything else than usage."""
        return self.posted_nanos + self.used_nanos

    @property
    def available_nanos(self) -> int:
        """What can be reserved now."""
        return self.posted_nanos - self.held_nanos

    @property
    def balance_nanos(self) -> int:
        """Posted less what is spent and not settled yet; what is only reserved still counts."""
        return self.available_nanos + self.idle_nanos


class Lookups:
    """One per process. Each method raises LookupsUnavailable."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def generation(self, organization_id: int, request_id: UUID) -> Generation | None:
        """A settled request of this organization; None for any other."""
        async with self._connection() as conn, conn.cursor(row_factory=dict_row) as cur:
            log_row = await (await cur.execute(_LOG, (request_id, organization_id))).fetchone()
            # Read after the log: they were committed together, so whoever sees the log sees its charge.
            owned = {"id": request_id, "organization_id": organization_id}
            records = await (await cur.execute(_RECORDS, owned)).fetchall()
            if log_row is None and not records:
                return None
        attempts = attempts_in(log_row["trace"]) if log_row else []
        return Generation(log_row, [attempt._asdict() for attempt in attempts], records)

    async def is_pending(self, request_id: UUID, at: datetime, longest_s: float) -> bool:
        """Whether a request that `generation` does not know may still be running, or wait in the journal.

        Its id tells when it began, which was at most `longest_s` ago.
        """
        age_s = at.timestamp() - (request_id.int >> 80) / 1000
        if request_id.version != 7 or not -AHEAD_S < age_s < longest_s:
            return False
        async with self._connection() as conn:
            row = await (await conn.execute(_LOGGED, (request_id,))).fetchone()
        return row is not None and not row[0]

    async def key(self, api_key_id: int) -> KeyUsage | None:
        async with self._connection() as conn, conn.cursor(row_factory=class_row(KeyUsage)) as cur:
            return await (await cur.execute(_KEY, (api_key_id,))).fetchone()

    async def credits(self, organization_id: int) -> Credits:
        async with self._connection() as conn, conn.cursor(row_factory=class_row(Credits)) as cur:
            found = await (await cur.execute(_CREDITS, {"organization_id": organization_id})).fetchone()
        return found or Credits(0, 0, 0, 0)

    async def budgets(self, api_key_id: int) -> list[Limit]:
        """Of the key and of its project, the shortest period first."""
        async with self._connection() as conn, conn.cursor(row_factory=class_row(Limit)) as cur:
            return await (await cur.execute(BUDGETS, (api_key_id,))).fetchall()

    async def plan(self, organization_id: int) -> tuple[PlanNow, list[Limit]] | None:
        """The plan with its windows and, where it has one, the cap on what it may take from the wallet."""
        async with self._connection() as conn:
            async with conn.cursor(row_factory=class_row(PlanNow)) as cur:
                plan = await (await cur.execute(PLAN, (organization_id,))).fetchone()
            if plan is None:
                return None
            async with conn.cursor(row_factory=class_row(Limit)) as cur:
                return plan, await (await cur.execute(PLAN_WINDOWS, (organization_id,))).fetchall()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        try:
            async with asyncio.timeout(PATIENCE_S), self._turns, self._pool.connection(timeout=PATIENCE_S) as conn:
                yield conn
        except (psycopg.Error, PoolTimeout, PoolClosed, OSError, TimeoutError) as error:
            log.warning("look_up_failed", error_class=type(error).__name__)
            raise LookupsUnavailable from error
