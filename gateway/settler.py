"""Journal events into PostgreSQL: the one function behind the worker's drain and the gateway's direct write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from billing.settlement import settle
from gateway.journal_event import JournalEvent
from observability.recorder import store

# Of errors of the database only these speak of the data: wrong values, broken constraints, too large, our functions'.
# Everything else (away, locked, no such table in the middle of a change of version) is worth another try as it is.
_BAD_DATA = ("22", "23", "54", "P0")
BAD_VALUES = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)


def settle_events(cursor: Any, events: Sequence[JournalEvent]) -> None:
    """Charge and log these events, each once however often it comes. The caller owns the transaction."""
    # The log first: settling locks wallets, and those locks should be short.
    store(cursor, [event.request for event in events])
    settle(cursor, [usage for event in events for usage in event.charges])


def speaks_of_data(error: BaseException) -> bool:
    """Whether an event is to blame, and not the state of a store. Sees through Django's errors to the driver's."""
    cause = error.__cause__ if isinstance(error.__cause__, psycopg.Error) else error
    if isinstance(cause, psycopg.Error):  # COPY raises the driver's own
        return (cause.sqlstate or "").startswith(_BAD_DATA)
    return isinstance(error, BAD_VALUES)
