"""What the money tests share: amounts, a moment, and a usage event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg

from billing.events import UsageEvent

USD = 1_000_000_000
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def an_event(
    organization_id: int, *, charge_nanos: int = 1_000, hold_id: UUID | str | None = None, **values: Any
) -> UsageEvent:
    """A usage event like the gateway's, with what the test cares about."""
    if values.get("part", 0) == 0 and "request_id" in values:
        values.setdefault("id", str(values["request_id"]))
    id_ = str(values.pop("id", None) or uuid4())
    values["request_id"] = str(values.get("request_id", id_))
    fields: dict[str, Any] = {
        "id": id_,
        "request_id": id_,
        "part": 0,
        "organization_id": organization_id,
        "project_id": 1,
        "api_key_id": 1,
        "model": "openai/gpt-6.1-sol",
        "provider": "openai",
        "usage": {"input": 10, "output": 5, "request": 1},
        "usage_source": "reported",
        "usage_flags": [],
        "policy": "answered",
        "price_card_id": 7,
        "rates": '{"input": "2", "output": "10"}',
        "rate_currency": "USD",
        "units_per_usd": "1",
        "markup": "1",
        "charge_nanos": charge_nanos,
        "hold_id": None if hold_id is None else str(hold_id),
        "source": "wallet",
        "admitted_at": NOON.isoformat(),
        "occurred_at": NOON.isoformat(),
    }
    return UsageEvent(**(fields | values))


@contextmanager
def account_locked(conninfo: str, kind: str, *, until_waiting: int) -> Iterator[None]:
    """Lock the accounts of a kind until so many connections wait for them, all having begun with the same view.

    Entered in a thread beside the work; leaving it lets them all go at once.
    """
    with psycopg.connect(conninfo) as lock, psycopg.connect(conninfo, autocommit=True) as look:
        lock.execute("SELECT 1 FROM billing_ledgeraccount WHERE kind = %s FOR UPDATE", [kind])
        yield
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        for _ in range(1_000):
            row = look.execute(waiting).fetchone()
            if row is not None and row[0] >= until_waiting:
                return
            time.sleep(0.01)
        raise AssertionError(f"fewer than {until_waiting} connections came to wait")
