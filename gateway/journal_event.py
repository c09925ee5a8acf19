"""What the journal carries: one ended request, complete enough to be settled by anybody later."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from billing.events import UsageEvent
from observability.records import RequestRecord

VERSION = 2
STREAM = "r1:journal"
EPOCH_KEY = "r1:journal:epoch"
FIELD = b"e"


def stream_name(shard: int) -> str:
    return f"{STREAM}:{shard}"


class JournalEvent(NamedTuple):
    """`usage` is None where nothing was held, so nothing can be charged.

    On the wire: a list of version, the record's values and the event's values, in the order of their fields. New
    fields are added at the end only: what an older process wrote is shorter, and its missing values are the defaults.
    """

    request: RequestRecord
    usage: UsageEvent | None

    @property
    def id(self) -> str:
        return self.request.id

    def to_bytes(self) -> bytes:
        usage = self.usage
        return orjson.dumps((VERSION, tuple(self.request), None if usage is None else tuple(usage)))

    @classmethod
    def from_bytes(cls, data: bytes) -> JournalEvent:
        """Raises ValueError, KeyError or TypeError on anything but an event of this version."""
        version, request, usage = orjson.loads(data)
        if version != VERSION:
            raise ValueError("unknown version of a journal event")
        return cls(
            RequestRecord(*_known(request, RequestRecord)),
            None if usage is None else UsageEvent(*_known(usage, UsageEvent)),
        )


def _known(values: Any, shape: Any) -> list[Any]:
    """The values that this version knows; a newer process may have written more."""
    if not isinstance(values, list):
        raise TypeError("the values of a journal event are a list")
    return values[: len(shape._fields)]
