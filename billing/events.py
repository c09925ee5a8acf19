"""The usage event: what the gateway says about one ended request, and what settlement charges."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple
from uuid import UUID


class UsageEvent(NamedTuple):
    """One charged part of one request. Made once; the same event may arrive any number of times.

    Ids are UUID texts: `id` is a UUIDv7 and a function of (request, part), for part 0 the request's own. `rates` is a
    JSON text of decimal strings by rate key, in `rate_currency`; with `units_per_usd` and `markup` anybody can compute
    `charge_nanos` again. Times are ISO texts with an offset. New fields come at the end.
    """

    id: str
    request_id: str
    part: int
    organization_id: int
    project_id: int
    api_key_id: int
    model: str
    provider: str
    usage: dict[str, int]
    usage_source: str
    usage_flags: list[str]
    policy: str
    price_card_id: int | None
    rates: str
    rate_currency: str
    units_per_usd: str
    markup: str
    charge_nanos: int
    hold_id: str | None
    source: str
    admitted_at: str
    occurred_at: str


_RANDOM_BITS = 62  # at the end of a UUIDv7; what is before them is its time, version and variant


def part_id(request_id: str, part: int) -> str:
    """The id of a part's event: the same each time it is asked for, and as old as the request."""
    if not part:
        return request_id
    own = int.from_bytes(sha256(f"{request_id}/{part}".encode()).digest(), "big") % (1 << _RANDOM_BITS)
    return str(UUID(int=UUID(request_id).int >> _RANDOM_BITS << _RANDOM_BITS | own))
