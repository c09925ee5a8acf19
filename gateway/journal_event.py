"""What the journal carries: one ended request, complete enough to be settled by anybody later."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

import orjson

from billing.events import UsageEvent
from observability.records import AttemptRecord, RequestRecord


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """`usage` is None where nothing was held, so nothing can be charged."""

    usage: UsageEvent | None
    request: RequestRecord
    attempts: tuple[AttemptRecord, ...]

    @property
    def id(self) -> UUID:
        return self.request.id

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {
                "v": 1,
                "usage": self.usage.to_json() if self.usage else None,
                "request": self.request.to_json(),
                "attempts": [attempt.to_json() for attempt in self.attempts],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> JournalEvent:
        """Raises ValueError, KeyError or TypeError on anything but an event of this version."""
        raw = orjson.loads(data)
        if raw["v"] != 1:
            raise ValueError("unknown version of a journal event")
        return cls(
            usage=UsageEvent.from_json(raw["usage"]) if raw["usage"] else None,
            request=RequestRecord.from_json(raw["request"]),
            attempts=tuple(AttemptRecord.from_json(attempt) for attempt in raw["attempts"]),
        )
