"""Everything that can happen to an organization's money, in any order, on a real database.

A small model in Python says what the books must show; what the tables say of each other is asked of them after every
step. Each example runs in a transaction that is rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import connection, transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from accounts.models import ApiKey, Organization, Project
from billing import grants, holds, ledger, lots
from billing.events import UsageEvent
from billing.ledger import AccountName, NewTransfer
from billing.models.holds import Hold
from billing.models.ledger import CreditLot
from billing.models.plans import Budget, Plan, Subscription, Window
from billing.models.usage import UsageExcess
from billing.reservation import GIVE_BACK, RELEASE, RESERVE
from billing.settlement import settle
from tests.billing.cast import an_event

AMOUNTS = st.integers(1, 1_000)
INDEX = st.integers(0, 50)

# Rows that show what is wrong: none when all is well.
BOOKS = {
    "a transfer is not balanced": """
        SELECT transfer_id, SUM(amount_nanos) FROM billing_entry GROUP BY 1 HAVING SUM(amount_nanos) <> 0""",
    "an account is not its entries": """
        SELECT a.id, a.kind, a.posted_nanos, SUM(e.amount_nanos) FROM billing_ledgeraccount a
          LEFT JOIN billing_entry e ON e.account_id = a.id
         GROUP BY a.id HAVING a.posted_nanos <> COALESCE(SUM(e.amount_nanos), 0)""",
    "a wallet holds something else than its holds and ended lots": """
        SELECT a.id, a.held_nanos FROM billing_ledgeraccount a
         WHERE a.held_nanos <> COALESCE((SELECT SUM(h.remaining_nanos) FROM billing_hold h
                                          WHERE h.account_id = a.id AND h.source <> 'plan'), 0)
                             + COALESCE((SELECT SUM(l.expiry_held_nanos) FROM billing_creditlot l
                                          WHERE l.organization_id = a.organization_id), 0)""",
    "a window holds something else than its holds": """
        SELECT w.id, w.name, w.held_nanos FROM billing_window w
         WHERE w.held_nanos <> COALESCE((SELECT SUM(h.remaining_nanos) FROM billing_hold h
                                          WHERE w.id = ANY(h.window_ids)), 0)""",
    "lots are not the wallet": """
        SELECT a.id, a.posted_nanos FROM billing_ledgeraccount a
         WHERE a.kind = 'wallet' AND GREATEST(0, a.posted_nanos) <> COALESCE(
               (SELECT SUM(l.remaining_nanos) FROM billing_creditlot l
                 WHERE l.organization_id = a.organization_id), 0)""",
    "more is held for a lot's end than is in it": """
        SELECT id FROM billing_creditlot WHERE expiry_held_nanos > remaining_nanos OR expiry_held_nanos < 0""",
    "a window's spending is not its charges": """
        SELECT w.id, w.kind, w.name, w.spent_nanos FROM billing_window w
         WHERE w.spent_nanos <> COALESCE(
               (SELECT SUM(u.charge_nanos - CASE WHEN w.kind = 'plan'
                                            THEN COALESCE(x.wallet_nanos + x.absorbed_nanos, 0) ELSE 0 END)
                  FROM billing_usagerecord u JOIN billing_hold h ON h.id = u.hold_id AND w.id = ANY(h.window_ids)
                  LEFT JOIN billing_usageexcess x ON x.usage_id = u.id), 0)""",
    "a usage transfer is not its records": """
        SELECT t.id FROM billing_transfer t
          JOIN billing_entry e ON e.transfer_id = t.id AND e.amount_nanos < 0
          JOIN billing_ledgeraccount a ON a.id = e.account_id
         WHERE t.kind = 'usage' AND -e.amount_nanos <>
               COALESCE((SELECT SUM(u.charge_nanos) FROM billing_usagerecord u WHERE u.transfer_id = t.id), 0)
             + COALESCE((SELECT SUM(CASE a.kind WHEN 'wallet' THEN x.wallet_nanos ELSE x.absorbed_nanos END)
                           FROM billing_usageexcess x WHERE x.transfer_id = t.id), 0)""",
}
CHARGES = """
SELECT COALESCE(SUM(u.charge_nanos), 0), COUNT(*),
       COALESCE(SUM(u.charge_nanos) FILTER (WHERE u.source <> 'plan'), 0)
  FROM billing_usagerecord u
"""
DEBITS = """
SELECT COALESCE(-SUM(e.amount_nanos), 0) FROM billing_entry e
  JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind = 'usage'
  JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = %s
"""


@dataclass
class Lease:
    """A hold as the process that spends it sees it, and as the books should."""

    id: str
    amount: int
    source: str
    spent: int = 0
    count: int = 0
    settled: int = 0
    settled_count: int = 0
    returned: bool = False
    swept: bool = False

    def remaining(self) -> int:
        if self.swept or (self.returned and self.settled_count >= self.count):
            return 0
        return max(0, (min(self.amount, self.spent) if self.returned else self.amount) - self.settled)


@dataclass
class Model:
    posted: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)
    waiting: list[UsageEvent] = field(default_factory=list)
    settled: dict[str, UsageEvent] = field(default_factory=dict)
    journaled: list[UsageEvent] = field(default_factory=list)


class MoneyMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.block = transaction.atomic()
        self.block.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @initialize(
        limits=st.tuples(AMOUNTS, AMOUNTS, AMOUNTS),
        overflow=st.booleans(),
        cap=st.none() | AMOUNTS,
        opening=st.sampled_from([5_000, 500, 0]),
    )
    def begin(self, limits: tuple[int, int, int], overflow: bool, cap: int | None, opening: int) -> None:
        now = datetime.now(UTC)
        self.organization = Organization.objects.create(name="Alice")
        project = Project.objects.create(organization=self.organization, name="Default")
        self.key = ApiKey.objects.create(
            project=project, name="k", key_hash=uuid4().bytes * 2, prefix="sk-", last_four="1111"
        )
        Budget.objects.create(organization=self.organization, api_key=self.key, period="day", limit_nanos=3_000)
        names = ("five_hours_nanos", "seven_days_nanos", "period_nanos")
        terms = dict(zip(names, limits, strict=True))
        plan = Plan.objects.create(slug=str(uuid4()), name="P", rank=1, price_nanos=1, **terms)
        self.subscription = Subscription.objects.create(
            organization=self.organization,
            plan=plan,
            terms=terms,
            period_start=now - timedelta(days=1),
            period_end=now + timedelta(days=29),
            overflow=overflow,
            overflow_cap_nanos=cap,
        )
        with connection.cursor() as cur:
            ledger.ensure_wallet(cur, self.organization.pk)
        if opening:
            self.top_up(opening)

    # --- Credit ----------------------------------------------------------------------------------------------------
    @rule(amount=AMOUNTS)
    def top_up(self, amount: int) -> None:
        legs = ledger.move(AccountName("topups"), AccountName("wallet", self.organization.pk), amount)
        with connection.cursor() as cur:
            ledger.post(cur, [NewTransfer("topup", str(uuid4()), legs, self.organization.pk)])
        self.model.posted += amount

    @rule(amount=AMOUNTS, hours=st.none() | st.integers(1, 9))
    def grant(self, amount: int, hours: int | None) -> None:
        ends = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
        grants.grant_credit(self.organization, amount, reason="x", idempotency_key=str(uuid4()), expires_at=ends)
        self.model.posted += amount

    @rule(which=INDEX)
    def a_lot_ends(self, which: int) -> None:
        living = CreditLot.objects.filter(expires_at__gt=datetime.now(UTC)).order_by("id")
        if living:
            CreditLot.objects.filter(pk=living[which % len(living)].pk).update(expires_at=datetime.now(UTC))

    @rule(settled=st.booleans())
    def expire(self, settled: bool) -> None:
        before = ledger.balance(self.organization.pk)
        with connection.cursor() as cur:
            lots.expire(cur, settled_to=datetime.now(UTC) if settled else None)
        after = ledger.balance(self.organization.pk)
        assert after.available_nanos >= min(0, before.available_nanos), "expiry made the wallet fall below zero"
        assert after.available_nanos <= before.available_nanos
        if not settled:
            assert after.posted_nanos == before.posted_nanos, "posted before everything was settled"
        self.model.posted -= before.posted_nanos - after.posted_nanos

    @rule(amount=AMOUNTS, may_exceed=st.booleans(), twice=st.booleans())
    def take(self, amount: int, may_exceed: bool, twice: bool) -> None:
        """A refund, or a chargeback that may exceed what is there."""
        available = ledger.balance(self.organization.pk).available_nanos
        kind, key = ("chargeback" if may_exceed else "refund"), str(uuid4())
        with connection.cursor() as cur:
            try:
                for attempt in range(1 + twice):
                    new = ledger.debit_wallet(
                        cur, self.organization.pk, amount, AccountName("topups"), kind, key, may_exceed=may_exceed
                    )
                    assert new == (attempt == 0)
            except ledger.NotEnough:
                assert not may_exceed
                assert available < amount
                return
        assert may_exceed or available >= amount
        self.model.posted -= amount

    # --- Reserving and spending ------------------------------------------------------------------------------------
    @rule(
        source=st.sampled_from(["wallet", "plan", "overflow"]),
        need=st.integers(0, 1_000),
        floor=AMOUNTS,
        wish=st.integers(0, 2_000),
        opens=st.booleans(),
        with_key=st.booleans(),
    )
    def reserve(self, source: str, need: int, floor: int, wish: int, opens: bool, with_key: bool) -> None:
        id_, before = str(uuid4()), ledger.balance(self.organization.pk).available_nanos
        key_id = self.key.pk if with_key else 0
        wanted = [id_, self.organization.pk, 0, key_id, source, need, min(need, floor), wish, 60.0, opens]
        amount, _, _, scope, _, available, *_ = self._ask(RESERVE, wanted)
        if amount is None:
            assert scope
            assert available < need or available <= 0
            return
        assert min(need, floor) <= amount <= max(need, wish)
        self.model.leases[id_] = Lease(id_, amount, source)
        after = ledger.balance(self.organization.pk).available_nanos
        assert after == before - (amount if source != "plan" else 0)
        assert source == "plan" or after >= 0
        for window in Window.objects.filter(pk__in=Hold.objects.get(pk=id_).window_ids):
            assert window.limit_nanos - window.spent_nanos - window.held_nanos >= 0

    @rule(
        source=st.sampled_from(["wallet", "plan", "overflow"]),
        amount=AMOUNTS,
        percent=st.sampled_from([30, 100, 150]),
        returned=st.booleans(),
        twice=st.booleans(),
    )
    def a_whole_request(self, source: str, amount: int, percent: int, returned: bool, twice: bool) -> None:
        """What otherwise takes four steps in the right order."""
        known = len(self.model.leases)
        self.reserve(source=source, need=amount, floor=1, wish=0, opens=True, with_key=False)
        if len(self.model.leases) == known:
            return
        self.a_request_ends(which=len(self._running()) - 1, percent=percent)
        if returned:
            self.give_back(which=known)
        self.settle_all()
        if twice:
            self.model.waiting.append(self.model.journaled[-1])
            self.settle_all()

    def _running(self) -> list[Lease]:
        return [lease for lease in self.model.leases.values() if not lease.returned]

    @precondition(lambda self: self._running())
    @rule(which=INDEX, percent=st.sampled_from([0, 1, 30, 50, 100, 150, 300]))
    def a_request_ends(self, which: int, percent: int) -> None:
        """Below, at or above its estimate, or failed and free; the client may have left."""
        running = self._running()
        lease = running[which % len(running)]
        charge = lease.amount * percent // 100
        event = an_event(
            self.organization.pk,
            charge_nanos=charge,
            hold_id=lease.id,
            source=lease.source,
            api_key_id=self.key.pk,
            admitted_at=datetime.now(UTC).isoformat(),
        )
        lease.spent += charge
        lease.count += 1
        self.model.waiting.append(event)
        self.model.journaled.append(event)

    @rule(charge=st.integers(0, 100), source=st.sampled_from(["wallet", "plan"]), hold=st.none() | st.uuids())
    def an_event_without_its_hold(self, charge: int, source: str, hold: Any) -> None:
        event = an_event(self.organization.pk, charge_nanos=charge, hold_id=hold, source=source)
        self.model.waiting.append(event)
        self.model.journaled.append(event)

    @precondition(lambda self: self.model.journaled)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """In any order, in any company, any number of times."""
        batch = data.draw(st.lists(st.sampled_from(self.model.journaled), min_size=1, max_size=6))
        expected = {event.id for event in batch} - self.model.settled.keys()
        with connection.cursor() as cur:
            assert settle(cur, batch) == expected
        self._count({event.id: event for event in batch if event.id in expected})

    @precondition(lambda self: self.model.waiting)
    @rule()
    def settle_all(self) -> None:
        batch, self.model.waiting = self.model.waiting, []
        new = {event.id: event for event in batch if event.id not in self.model.settled}
        with connection.cursor() as cur:
            assert settle(cur, batch) == new.keys()
        self._count(new)

    def _count(self, new: dict[str, UsageEvent]) -> None:
        self.model.settled |= new
        for event in new.values():
            lease = self.model.leases.get(event.hold_id or "")
            if lease is not None:
                lease.settled += event.charge_nanos
                lease.settled_count += 1
            if (lease.source if lease else event.source) != "plan":
                self.model.posted -= event.charge_nanos
            else:
                excess = UsageExcess.objects.filter(usage_id=event.id).first()
                self.model.posted -= excess.wallet_nanos if excess else 0

    @precondition(lambda self: self.model.leases)
    @rule(which=INDEX)
    def give_back(self, which: int) -> None:
        lease = list(self.model.leases.values())[which % len(self.model.leases)]
        changed = self._ask(GIVE_BACK, [[lease.id], [lease.spent], [lease.count]])[0]
        assert changed == (not lease.returned and not lease.swept)
        lease.returned = True

    @precondition(lambda self: self._running())
    @rule(which=INDEX, nanos=AMOUNTS)
    def shrink(self, which: int, nanos: int) -> None:
        lease = self._running()[which % len(self._running())]
        released = self._ask(RELEASE, [lease.id, min(nanos, max(0, lease.amount - lease.spent))])[0]
        lease.amount -= released

    @precondition(lambda self: self.model.leases)
    @rule(which=INDEX)
    def sweep(self, which: int) -> None:
        """A process that died: its hold has expired."""
        lease = list(self.model.leases.values())[which % len(self.model.leases)]
        done = lease.swept or (lease.returned and lease.settled_count >= lease.count)
        with connection.cursor() as cur:
            cur.execute("UPDATE billing_hold SET expires_at = now() - interval '1 hour' WHERE id = %s", [lease.id])
            assert holds.sweep(cur, before=datetime.now(UTC) - timedelta(minutes=30)) == (0 if done else 1)
        lease.swept = lease.swept or not done

    # --- Plans -----------------------------------------------------------------------------------------------------
    @rule(limit=AMOUNTS)
    def change_the_plan(self, limit: int) -> None:
        self.subscription.terms["five_hours_nanos"] = limit
        self.subscription.save()
        with connection.cursor() as cur:
            ledger.raise_epoch(cur, self.organization.pk)

    @rule(name=st.sampled_from(["five_hours", "day", "month"]))
    def a_window_closes(self, name: str) -> None:
        Window.objects.filter(name=name, closes_at__gt=datetime.now(UTC)).update(closes_at=datetime.now(UTC))

    # --- What must be true after every step ------------------------------------------------------------------------
    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "organization"):
            return
        with connection.cursor() as cur:
            for wrong, question in BOOKS.items():
                cur.execute(question)
                assert cur.fetchall() == [], wrong

    @invariant()
    def the_model_agrees(self) -> None:
        if not hasattr(self, "organization"):
            return
        assert ledger.balance(self.organization.pk).posted_nanos == self.model.posted
        with connection.cursor() as cur:
            cur.execute("SELECT id::text, remaining_nanos FROM billing_hold")
            assert dict(cur.fetchall()) == {id_: lease.remaining() for id_, lease in self.model.leases.items()}
        charges, count, _ = self._ask(CHARGES, [])
        assert (charges, count) == (sum(e.charge_nanos for e in self.model.settled.values()), len(self.model.settled))
        by_plan = sum(Window.objects.filter(name="period").values_list("spent_nanos", flat=True))
        wallet, absorbed = (self._ask(DEBITS, [kind])[0] for kind in ("wallet", "absorbed"))
        assert charges == wallet + absorbed + by_plan

    def _ask(self, question: str, parameters: list[Any]) -> tuple[Any, ...]:
        with connection.cursor() as cur:
            cur.execute(question, parameters)
            row: tuple[Any, ...] = cur.fetchone()
            return row
