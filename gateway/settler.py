"""Journal events into PostgreSQL: the one function behind the worker's drain and the gateway's direct write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from billing.settlement import settle
from gateway.journal_event import JournalEvent
from observability.recorder import store


def settle_events(cursor: Any, events: Sequence[JournalEvent]) -> None:
    """Charge and log these events, each once however often it comes. The caller owns the transaction."""
    # The log first: settling locks wallets, and those locks should be short.
    store(cursor, [event.request for event in events])
    settle(cursor, [event.usage for event in events if event.usage is not None])
