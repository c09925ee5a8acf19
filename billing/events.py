"""The usage event: what the gateway says about one ended request, frozen, and what settlement charges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One charged part of one request. Made once; the same event may arrive any number of times.

    `id` is a UUIDv7 made when the request ended, `occurred_at` is aware. `rates` are decimal strings by rate key in
    `rate_currency`; with `units_per_usd` and `markup` they let anybody compute `charge_nanos` again.
    """

    id: UUID
    request_id: UUID
    organization_id: int
    project_id: int
    api_key_id: int
    model: str
    provider: str
    usage: Mapping[str, int] = field(hash=False)
    usage_source: str
    policy: str
    price_card_id: int | None
    rates: Mapping[str, str] = field(hash=False)
    charge_nanos: int
    occurred_at: datetime
    hold_id: UUID | None = None
    part: int = 0
    usage_flags: tuple[str, ...] = ()
    rate_currency: str = "USD"
    units_per_usd: str = "1"
    markup: str = "1"
    currency: str = "USD"

    def __post_init__(self) -> None:
        if type(self.charge_nanos) is not int or self.charge_nanos < 0:
            raise ValueError("a charge is a whole number of nanos, zero or more")
        if self.occurred_at.tzinfo is None:
            raise ValueError("occurred_at must be aware")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives the same event back."""
        return {
            **{name: getattr(self, name) for name in _FIELDS},
            "id": str(self.id),
            "request_id": str(self.request_id),
            "hold_id": None if self.hold_id is None else str(self.hold_id),
            "usage": dict(self.usage),
            "rates": dict(self.rates),
            "usage_flags": list(self.usage_flags),
            "occurred_at": self.occurred_at.isoformat(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> UsageEvent:
        """Raises KeyError, TypeError or ValueError for what is not an event. Unknown keys are left out."""
        values = {name: data[name] for name in _FIELDS if name in data}
        hold_id = data.get("hold_id")
        values |= {
            "id": UUID(data["id"]),
            "request_id": UUID(data["request_id"]),
            "hold_id": None if hold_id is None else UUID(hold_id),
            "usage_flags": tuple(data.get("usage_flags", ())),
            "occurred_at": datetime.fromisoformat(data["occurred_at"]),
        }
        return cls(**values)


_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(UsageEvent))
