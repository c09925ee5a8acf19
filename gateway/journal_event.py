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
    """`usage` is None where nothing was held, so nothing can be charged. `further`: the events of the request's other
    parts, where it has some; all are settled together or not at all.

    On the wire: a list of version, the record's values, the event's values in the order of their fields, and only
    where there are some, a list of the further events' values. New fields are added at the end only: what an older
    process wrote is shorter, and its missing values are the defaults.
    """

    request: RequestRecord
    usage: UsageEvent | None
    further: tuple[UsageEvent, ...] = ()

    @property
    def id(self) -> str:
        return self.request.id

    @property
    def charges(self) -> tuple[UsageEvent, ...]:
        return self.further if self.usage is None else (self.usage, *self.further)

    def to_bytes(self) -> bytes:
        usage = self.usage
        if self.further:
            further = [tuple(event) for event in self.further]
            return orjson.dumps((VERSION, tuple(self.request), None if usage is None else tuple(usage), further))
        return orjson.dumps((VERSION, tuple(self.request), None if usage is None else tuple(usage)))

    @classmethod
    def from_bytes(cls, data: bytes) -> JournalEvent:
        """Raises ValueError, KeyError or TypeError on anything but an event of this version."""
        version, request, usage, *rest = orjson.loads(data)
        if version != VERSION:
            raise ValueError("unknown version of a journal event")
        return cls(
            RequestRecord(*_known(request, RequestRecord)),
            None if usage is None else UsageEvent(*_known(usage, UsageEvent)),
            tuple(UsageEvent(*_known(values, UsageEvent)) for values in rest[0]) if rest else (),
        )


def _known(values: Any, shape: Any) -> list[Any]:
    """The values that this version knows; a newer process may have written more."""
    if not isinstance(values, list):
        raise TypeError("the values of a journal event are a list")
    return values[: len(shape._fields)]
