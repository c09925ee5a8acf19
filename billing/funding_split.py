"""Who pays: what a batch of charges takes from wallets, plan windows and us. Pure; amounts in nano-USD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from billing.events import UsageEvent
from billing.holds import Lease
from billing.windows import Room


@dataclass(slots=True)
class Split:
    """By organization: wallet debits with the moment of admission each (ISO), and what we absorb. `excesses` are the
    charges beyond a plan: (event, on the wallet, absorbed). `released`: held credit to take off, by account id."""

    wallet: defaultdict[int, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    absorbed: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    excesses: list[tuple[UsageEvent, int, int]] = field(default_factory=list)
    released: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))


def split_charges(events: Sequence[UsageEvent], leases: Mapping[str, Lease], rooms: Mapping[int, Room]) -> Split:
    """Charge the events to their holds in order; changes `leases` and `rooms` accordingly.

    Without a hold the wallet pays, and where a plan was to pay, we do: whether the wallet may is unknown then.
    Raises ValueError where an event and its hold belong to different organizations.
    """
    split = Split()
    by_hold: defaultdict[str | None, list[UsageEvent]] = defaultdict(list)
    for event in events:
        by_hold[event.hold_id].append(event)
    for hold_id, charged in by_hold.items():
        lease = None if hold_id is None else leases.get(hold_id)
        if lease is None:
            _charge_without_hold(charged, split)
        else:
            _charge_hold(charged, lease, [rooms[id_] for id_ in lease.window_ids if id_ in rooms], split)
    return split


def _charge_without_hold(events: Sequence[UsageEvent], split: Split) -> None:
    for event in events:
        if not event.charge_nanos:
            continue
        if event.source == "plan":
            split.absorbed[event.organization_id] += event.charge_nanos
            split.excesses.append((event, 0, event.charge_nanos))
        else:
            split.wallet[event.organization_id].append((event.admitted_at, event.charge_nanos))


def _charge_hold(events: Sequence[UsageEvent], lease: Lease, rooms: Sequence[Room], split: Split) -> None:
    if any(event.organization_id != lease.organization_id for event in events):
        raise ValueError("an event and its hold belong to different organizations")
    total = sum(event.charge_nanos for event in events)
    by_plan = _by_plan(events, lease, rooms, split) if lease.source == "plan" else 0
    if lease.source != "plan":
        wallet = split.wallet[lease.organization_id] if total else []
        wallet.extend((event.admitted_at, event.charge_nanos) for event in events if event.charge_nanos)
    freed = lease.settle(total, len(events))
    for room in rooms:
        room.held -= freed
        room.spent += by_plan if room.kind == "plan" else total
    if lease.source != "plan":
        split.released[lease.account_id] += freed


def _by_plan(events: Sequence[UsageEvent], lease: Lease, rooms: Sequence[Room], split: Split) -> int:
    """What the plan's windows pay: up to the room that other holds leave, and always what this hold still has."""
    plan = [room for room in rooms if room.kind == "plan"]
    total = sum(event.charge_nanos for event in events)
    left = min((room.limit - room.spent - room.held + lease.remaining for room in plan), default=total)
    left = max(left, lease.remaining, 0)
    if total <= left:
        return total
    paid = 0
    for event in events:
        from_plan = min(event.charge_nanos, left - paid)
        excess = event.charge_nanos - from_plan
        paid += from_plan
        if not excess:
            continue
        if lease.overflow_allowed:
            split.wallet[lease.organization_id].append((event.admitted_at, excess))
            split.excesses.append((event, excess, 0))
        else:
            split.absorbed[lease.organization_id] += excess
            split.excesses.append((event, 0, excess))
    return paid
