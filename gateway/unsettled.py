"""Batches of journal entries into PostgreSQL; what cannot be settled is put aside for staff, alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson
import structlog
from django.db import Error, connection, transaction

from billing.models.usage import UnsettledEvent
from gateway.journal_event import FIELD, JournalEvent
from gateway.settler import BAD_VALUES, settle_events, speaks_of_data

Entry = tuple[bytes, dict[bytes, bytes]]

log = structlog.get_logger(__name__)


def settle_or_put_aside(entries: Sequence[Entry]) -> None:
    """Settle a batch in the caller's transaction; halve one that fails until the bad event stands alone."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            settle_events(cursor, [JournalEvent.from_bytes(fields[FIELD]) for _, fields in entries])
    except Exception as error:
        if not speaks_of_data(error):
            raise
        if len(entries) == 1:
            _put_aside(entries[0], error)
            return
        middle = len(entries) // 2
        settle_or_put_aside(entries[:middle])
        settle_or_put_aside(entries[middle:])


def settle_again(ids: Iterable[UUID]) -> tuple[int, int]:
    """Settle what was put aside, each alone, through the same function; returns how many were settled and how many not.

    What is settled is no longer there; the rest has the class of its newest error.
    """
    settled = failed = 0
    for event_id in ids:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                row = UnsettledEvent.objects.select_for_update().filter(pk=event_id).first()
                if row is None:
                    continue
                settle_events(cursor, [JournalEvent.from_bytes(orjson.dumps(row.event))])
                row.delete()
            settled += 1
        except Exception as error:
            if not speaks_of_data(error):
                raise
            UnsettledEvent.objects.filter(pk=event_id).update(error_class=type(error).__name__)
            failed += 1
    return settled, failed


def holds_of_unsettled() -> list[UUID]:
    """The holds that events which were put aside are to be charged to."""
    return [hold_id for event in UnsettledEvent.objects.values_list("event", flat=True) if (hold_id := _hold_of(event))]


def _put_aside(entry: Entry, error: Exception) -> None:
    raw = entry[1].get(FIELD, b"")
    try:
        event_id = UUID(JournalEvent.from_bytes(raw).id)
        event: Any = orjson.loads(raw)
    except BAD_VALUES:
        # Not one of ours: nothing of it is kept, for nobody knows what it holds. That it was there is.
        event_id, event = uuid5(NAMESPACE_URL, f"urn:routerone:journal:{entry[0].decode()}:{len(raw)}"), {}
    error_class = type(error).__name__
    try:
        with transaction.atomic():
            UnsettledEvent.objects.get_or_create(id=event_id, defaults={"event": event, "error_class": error_class})
    except Error as refused:
        if not speaks_of_data(refused):
            raise
        # Not even JSON for PostgreSQL (a NUL in a name).
        UnsettledEvent.objects.get_or_create(id=event_id, defaults={"event": {}, "error_class": error_class})
    log.error("event_unsettled", request_id=str(event_id), error_class=error_class, readable=bool(event))


def _hold_of(event: Any) -> UUID | None:
    try:
        usage = JournalEvent.from_bytes(orjson.dumps(event)).usage
        return None if usage is None or usage.hold_id is None else UUID(usage.hold_id)
    except BAD_VALUES:
        return None
