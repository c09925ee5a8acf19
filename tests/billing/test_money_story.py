"""Any order of grants, holds, settlements, repeats, sweeps and late events keeps every invariant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accounts.models import Organization
from billing import grants, holds, ledger, proof
from billing.events import UsageEvent
from billing.models.ledger import LedgerAccount
from billing.reservation import _PLACE
from billing.settlement import close_hold_without_usage, settle
from tests.billing.cast import account_locked, an_event

amounts = st.integers(0, 50)


class Books(RuleBasedStateMachine):
    """Runs beside a plain model: two wallets, what each must have posted and held."""

    def __init__(self) -> None:
        super().__init__()
        self.organizations = [Organization.objects.create(name=name).pk for name in ("alice", "bob")]
        self.posted = dict.fromkeys(self.organizations, 0)
        self.open: dict[UUID, tuple[int, int]] = {}
        self.closed: list[UUID] = []
        self.seen: list[UsageEvent] = []

    def held(self, organization: int) -> int:
        return sum(amount for owner, amount in self.open.values() if owner == organization)

    @rule(who=st.integers(0, 1), amount=st.integers(1, 100), key=st.integers(0, 5))
    def grant(self, who: int, amount: int, key: int) -> None:
        owner = self.organizations[who]
        name = f"{owner}:{key}"
        known = f"grant:{name}"
        with connection.cursor() as cur:
            cur.execute("SELECT 1 FROM billing_transfer WHERE idempotency_key = %s", [known])
            new = cur.fetchone() is None
        with contextlib.suppress(grants.OtherGrant):
            grants.grant_credit(Organization(pk=owner), amount, reason="story", idempotency_key=name)
        self.posted[owner] += amount if new else 0

    @rule(who=st.integers(0, 1), amount=amounts, floor=st.none() | amounts)
    def hold(self, who: int, amount: int, floor: int | None) -> None:
        owner, hold_id = self.organizations[who], uuid4()
        available = self.posted[owner] - self.held(owner)
        least = amount if floor is None else min(floor, amount)
        with connection.cursor() as cur:
            cur.execute(
                _PLACE,
                {"organization_id": owner, "amount": amount, "least": least, "hold_id": hold_id, "lifetime_s": 60.0},
            )
            row = cur.fetchone()
        expected = min(amount, available) if available > 0 and available >= least else None
        assert (row[2] if row else None) == expected
        if expected is not None:
            self.open[hold_id] = (owner, expected)

    def _settle(self, events: list[UsageEvent]) -> None:
        known = {(event.request_id, event.part) for event in self.seen}
        with transaction.atomic(), connection.cursor() as cur:
            new = settle(cur, events)
        expected: dict[tuple[UUID, int], UsageEvent] = {}
        for event in events:
            if event.id in new:
                assert (event.request_id, event.part) not in known | expected.keys() or event in expected.values()
                expected[event.request_id, event.part] = event
        assert {(e.request_id, e.part) for e in events} - known == expected.keys()
        for event in expected.values():
            self.posted[event.organization_id] -= event.charge_nanos
            self.seen.append(event)
            if event.hold_id in self.open:
                del self.open[event.hold_id]
                self.closed.append(event.hold_id)

    @rule(data=st.data(), size=st.integers(1, 6))
    def settle_a_batch(self, data: st.DataObject, size: int) -> None:
        """New events in any order, events seen before, twins of either under another id."""
        batch: list[UsageEvent] = []
        for _ in range(size):
            older = self.seen + batch
            what = data.draw(st.sampled_from(["new", "again", "twin"] if older else ["new"]))
            if what == "new":
                hold_id = data.draw(st.sampled_from([None, *self.open, *self.closed[-3:]]))
                owner = (
                    self.open[hold_id][0] if hold_id in self.open else data.draw(st.sampled_from(self.organizations))
                )
                batch.append(an_event(owner, charge_nanos=data.draw(amounts), hold_id=hold_id))
            else:
                event = data.draw(st.sampled_from(older))
                batch.append(event if what == "again" else replace(event, id=uuid4()))
        self._settle(batch)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from([*self.open, *self.closed]), max_size=3)) if self.open else []
        with connection.cursor() as cur:
            close_hold_without_usage(cur, ids)
        for hold_id in set(ids) & self.open.keys():
            del self.open[hold_id]
            self.closed.append(hold_id)

    @rule(expired=st.booleans())
    def sweep(self, expired: bool) -> None:
        before = datetime.now(UTC) + timedelta(seconds=120 if expired else 0)
        with connection.cursor() as cur:
            swept = holds.sweep(cur, before=before)
        assert swept == (len(self.open) if expired else 0)
        if expired:
            self.closed += self.open
            self.open.clear()

    @invariant()
    def books_agree(self) -> None:
        assert proof.check() == []
        for organization in self.organizations:
            expected = ledger.Balance(self.posted[organization], self.held(organization))
            assert ledger.balance(organization) == expected


@pytest.mark.django_db
def test_any_story_keeps_the_books_in_order() -> None:
    class InOneTransaction(Books):
        def __init__(self) -> None:
            self._atomic = transaction.atomic()
            self._atomic.__enter__()
            super().__init__()

        def teardown(self) -> None:
            transaction.set_rollback(True)
            self._atomic.__exit__(None, None, None)

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        InOneTransaction,
        settings=settings(
            max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def two_wallets(transactional_db: None, grant: Any) -> Iterator[list[int]]:
    organizations = [Organization.objects.create(name=name) for name in ("alice", "bob")]
    for organization in organizations:
        grant(organization, 1_000_000)
    LedgerAccount.objects.get_or_create(kind="revenue", organization=None)
    yield [organization.pk for organization in organizations]
    assert proof.check() == []


@pytest.mark.django_db(transaction=True)
async def test_settlers_holders_and_sweepers_at_once_lose_nothing(two_wallets: list[int], conninfo: str) -> None:
    """The same overlapping batches from many connections, in other orders, while holds come and are swept."""
    events = [an_event(two_wallets[n % 2], charge_nanos=n + 1) for n in range(60)]

    def settle_some(turn: int) -> None:
        with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
            settle(cur, events[turn:] + events[:turn])

    def hold_and_sweep(turn: int) -> None:
        owner = two_wallets[turn % 2]
        values = {"organization_id": owner, "amount": 10, "least": 10, "hold_id": uuid4(), "lifetime_s": 0.001}
        with psycopg.connect(conninfo, autocommit=True) as raw, raw.cursor() as cur:
            cur.execute(_PLACE, values)
            with raw.transaction():
                holds.sweep(cur, before=datetime.now(UTC))

    work = [asyncio.to_thread(settle_some, turn * 7) for turn in range(8)]
    work += [asyncio.to_thread(hold_and_sweep, turn) for turn in range(12)]
    await asyncio.gather(*work)

    def balances() -> list[ledger.Balance]:
        with connection.cursor() as cur:
            holds.sweep(cur, before=datetime.now(UTC) + timedelta(seconds=1))
        return [ledger.balance(organization) for organization in two_wallets]

    first, second = await asyncio.to_thread(_closing, balances)
    assert first == ledger.Balance(1_000_000 - sum(range(1, 60, 2)), 0)
    assert second == ledger.Balance(1_000_000 - sum(range(2, 61, 2)), 0)


@pytest.mark.django_db(transaction=True)
async def test_two_settlers_that_meet_at_an_account_keep_its_running_balance(
    two_wallets: list[int], conninfo: str
) -> None:
    """Their entries must follow on each other, though both began with the same view of the account."""

    def settle_one(owner: int) -> None:
        with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
            settle(cur, [an_event(owner, charge_nanos=7), an_event(owner, charge_nanos=8)])

    lock = account_locked(conninfo, "revenue", until_waiting=2)
    await asyncio.to_thread(lock.__enter__)
    settling = [asyncio.create_task(asyncio.to_thread(settle_one, owner)) for owner in two_wallets]
    await asyncio.to_thread(lock.__exit__, None, None, None)
    await asyncio.gather(*settling)


def _closing(ask: Any) -> Any:
    """Run in a thread without leaving its connection behind."""
    try:
        return ask()
    finally:
        connection.close()
