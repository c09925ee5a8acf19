"""Everything that can happen to the money of two organizations, in any order, on a real database.

Their requests take turns and are settled in the same batches. A small model in Python says what the books must show;
what the tables say of each other is asked of them after every step. Each example runs in a transaction that is rolled
back.
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
WHO = st.sampled_from([0, 1])

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
  FROM billing_usagerecord u WHERE u.organization_id = %s
"""
DEBITS = """
SELECT COALESCE(-SUM(e.amount_nanos), 0) FROM billing_entry e
  JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind = 'usage' AND t.organization_id = %s
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
class Party:
    """An organization, and what its books should say."""

    organization: Organization
    key: ApiKey
    subscription: Subscription
    posted: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)

    def running(self) -> list[Lease]:
        return [lease for lease in self.leases.values() if not lease.returned]

    def balance(self) -> ledger.Balance:
        return ledger.balance(self.organization.pk)


@dataclass
class Model:
    parties: list[Party] = field(default_factory=list)
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
        for who, name in enumerate(("Alice", "Bob")):
            self.model.parties.append(_a_party(name, limits, overflow, cap))
            if opening:
                self.top_up(who, opening)

    # --- Credit ----------------------------------------------------------------------------------------------------
    @rule(who=WHO, amount=AMOUNTS)
    def top_up(self, who: int, amount: int) -> None:
        party = self.model.parties[who]
        legs = ledger.move(AccountName("topups"), AccountName("wallet", party.organization.pk), amount)
        with connection.cursor() as cur:
            ledger.post(cur, [NewTransfer("topup", str(uuid4()), legs, party.organization.pk)])
        party.posted += amount

    @rule(who=WHO, amount=AMOUNTS, hours=st.none() | st.integers(1, 9))
    def grant(self, who: int, amount: int, hours: int | None) -> None:
        party = self.model.parties[who]
        ends = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
        grants.grant_credit(party.organization, amount, reason="x", idempotency_key=str(uuid4()), expires_at=ends)
        party.posted += amount

    @rule(which=INDEX)
    def a_lot_ends(self, which: int) -> None:
        living = CreditLot.objects.filter(expires_at__gt=datetime.now(UTC)).order_by("id")
        if living:
            CreditLot.objects.filter(pk=living[which % len(living)].pk).update(expires_at=datetime.now(UTC))

    @rule(settled=st.booleans())
    def expire(self, settled: bool) -> None:
        before = [party.balance() for party in self.model.parties]
        with connection.cursor() as cur:
            lots.expire(cur, settled_to=datetime.now(UTC) if settled else None)
        for party, old in zip(self.model.parties, before, strict=True):
            new = party.balance()
            assert new.available_nanos >= min(0, old.available_nanos), "expiry made the wallet fall below zero"
            assert new.available_nanos <= old.available_nanos
            if not settled:
                assert new.posted_nanos == old.posted_nanos, "posted before everything was settled"
            party.posted -= old.posted_nanos - new.posted_nanos

    @rule(who=WHO, amount=AMOUNTS, may_exceed=st.booleans(), twice=st.booleans())
    def take(self, who: int, amount: int, may_exceed: bool, twice: bool) -> None:
        """A refund, or a chargeback that may exceed what is there."""
        party = self.model.parties[who]
        available = party.balance().available_nanos
        kind, key = ("chargeback" if may_exceed else "refund"), str(uuid4())
        with connection.cursor() as cur:
            try:
                for attempt in range(1 + twice):
                    new = ledger.debit_wallet(
                        cur, party.organization.pk, amount, AccountName("topups"), kind, key, may_exceed=may_exceed
                    )
                    assert new == (attempt == 0)
            except ledger.NotEnough:
                assert not may_exceed
                assert available < amount
                return
        assert may_exceed or available >= amount
        party.posted -= amount

    # --- Reserving and spending ------------------------------------------------------------------------------------
    @rule(
        who=WHO,
        source=st.sampled_from(["wallet", "plan", "overflow"]),
        need=st.integers(0, 1_000),
        floor=AMOUNTS,
        wish=st.integers(0, 2_000),
        opens=st.booleans(),
        with_key=st.booleans(),
    )
    def reserve(self, who: int, source: str, need: int, floor: int, wish: int, opens: bool, with_key: bool) -> None:
        party = self.model.parties[who]
        id_, before = str(uuid4()), party.balance().available_nanos
        key_id = party.key.pk if with_key else 0
        wanted = [id_, party.organization.pk, 0, key_id, source, need, min(need, floor), wish, 60.0, opens]
        amount, _, _, scope, _, available, *_ = self._ask(RESERVE, wanted)
        if amount is None:
            assert scope
            assert available < need or available <= 0
            return
        assert min(need, floor) <= amount <= max(need, wish)
        party.leases[id_] = Lease(id_, amount, source)
        after = party.balance().available_nanos
        assert after == before - (amount if source != "plan" else 0)
        assert source == "plan" or after >= 0
        for window in Window.objects.filter(pk__in=Hold.objects.get(pk=id_).window_ids):
            assert window.limit_nanos - window.spent_nanos - window.held_nanos >= 0
            assert window.organization_id == party.organization.pk

    @rule(
        who=WHO,
        source=st.sampled_from(["wallet", "plan", "overflow"]),
        amount=AMOUNTS,
        percent=st.sampled_from([30, 100, 150]),
        returned=st.booleans(),
        twice=st.booleans(),
    )
    def a_whole_request(self, who: int, source: str, amount: int, percent: int, returned: bool, twice: bool) -> None:
        """What otherwise takes four steps in the right order."""
        lease = self._begin(who, source, amount)
        if lease is None:
            return
        self._end(who, lease, percent)
        if returned:
            self._give_back(who, lease)
        self.settle_all()
        if twice:
            self.model.waiting.append(self.model.journaled[-1])
            self.settle_all()

    @rule(
        first=WHO,
        sources=st.tuples(*[st.sampled_from(["wallet", "plan", "overflow"])] * 2),
        amount=AMOUNTS,
        percents=st.tuples(*[st.sampled_from([0, 30, 100, 150])] * 2),
    )
    def two_requests_at_once(
        self, first: int, sources: tuple[str, str], amount: int, percents: tuple[int, int]
    ) -> None:
        """One of each organization; both run before either ends, and they are settled together."""
        running = [
            (who, self._begin(who, source, amount)) for who, source in zip((first, 1 - first), sources, strict=True)
        ]
        for (who, lease), percent in zip(reversed(running), percents, strict=True):
            if lease is not None:
                self._end(who, lease, percent)
        self.settle_all()
        for who, lease in running:
            if lease is not None:
                self._give_back(who, lease)

    def _begin(self, who: int, source: str, amount: int) -> Lease | None:
        leases = self.model.parties[who].leases
        known = len(leases)
        self.reserve(who=who, source=source, need=amount, floor=1, wish=0, opens=True, with_key=False)
        return list(leases.values())[-1] if len(leases) > known else None

    def _running(self) -> list[tuple[int, Lease]]:
        return [(who, lease) for who, party in enumerate(self.model.parties) for lease in party.running()]

    def _leases(self) -> list[tuple[int, Lease]]:
        return [(who, lease) for who, party in enumerate(self.model.parties) for lease in party.leases.values()]

    @precondition(lambda self: self._running())
    @rule(which=INDEX, percent=st.sampled_from([0, 1, 30, 50, 100, 150, 300]))
    def a_request_ends(self, which: int, percent: int) -> None:
        """Below, at or above its estimate, or failed and free; the client may have left."""
        running = self._running()
        self._end(*running[which % len(running)], percent)

    def _end(self, who: int, lease: Lease, percent: int) -> None:
        party = self.model.parties[who]
        charge = lease.amount * percent // 100
        event = an_event(
            party.organization.pk,
            charge_nanos=charge,
            hold_id=lease.id,
            source=lease.source,
            api_key_id=party.key.pk,
            admitted_at=datetime.now(UTC).isoformat(),
        )
        lease.spent += charge
        lease.count += 1
        self.model.waiting.append(event)
        self.model.journaled.append(event)

    @rule(who=WHO, charge=st.integers(0, 100), source=st.sampled_from(["wallet", "plan"]), hold=st.none() | st.uuids())
    def an_event_without_its_hold(self, who: int, charge: int, source: str, hold: Any) -> None:
        organization_id = self.model.parties[who].organization.pk
        event = an_event(organization_id, charge_nanos=charge, hold_id=hold, source=source)
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
            (party,) = (one for one in self.model.parties if one.organization.pk == event.organization_id)
            lease = party.leases.get(event.hold_id or "")
            if lease is not None:
                lease.settled += event.charge_nanos
                lease.settled_count += 1
            if (lease.source if lease else event.source) != "plan":
                party.posted -= event.charge_nanos
            else:
                excess = UsageExcess.objects.filter(usage_id=event.id).first()
                party.posted -= excess.wallet_nanos if excess else 0

    @precondition(lambda self: self._leases())
    @rule(which=INDEX)
    def give_back(self, which: int) -> None:
        leases = self._leases()
        self._give_back(*leases[which % len(leases)])

    def _give_back(self, who: int, lease: Lease) -> None:
        changed = self._ask(GIVE_BACK, [[lease.id], [lease.spent], [lease.count]])[0]
        assert changed == (not lease.returned and not lease.swept)
        lease.returned = True

    @precondition(lambda self: self._running())
    @rule(which=INDEX, nanos=AMOUNTS)
    def shrink(self, which: int, nanos: int) -> None:
        _, lease = self._running()[which % len(self._running())]
        released = self._ask(RELEASE, [lease.id, min(nanos, max(0, lease.amount - lease.spent))])[0]
        lease.amount -= released

    @precondition(lambda self: self._leases())
    @rule(which=INDEX)
    def sweep(self, which: int) -> None:
        """A process that died: its hold has expired."""
        _, lease = self._leases()[which % len(self._leases())]
        done = lease.swept or (lease.returned and lease.settled_count >= lease.count)
        with connection.cursor() as cur:
            cur.execute("UPDATE billing_hold SET expires_at = now() - interval '1 hour' WHERE id = %s", [lease.id])
            assert holds.sweep(cur, before=datetime.now(UTC) - timedelta(minutes=30)) == (0 if done else 1)
        lease.swept = lease.swept or not done

    # --- Plans -----------------------------------------------------------------------------------------------------
    @rule(who=WHO, limit=AMOUNTS)
    def change_the_plan(self, who: int, limit: int) -> None:
        party = self.model.parties[who]
        party.subscription.terms["five_hours_nanos"] = limit
        party.subscription.save()
        with connection.cursor() as cur:
            ledger.raise_epoch(cur, party.organization.pk)

    @rule(name=st.sampled_from(["five_hours", "day", "month"]))
    def a_window_closes(self, name: str) -> None:
        Window.objects.filter(name=name, closes_at__gt=datetime.now(UTC)).update(closes_at=datetime.now(UTC))

    # --- What must be true after every step ------------------------------------------------------------------------
    @invariant()
    def the_books_agree(self) -> None:
        if not self.model.parties:
            return
        with connection.cursor() as cur:
            for wrong, question in BOOKS.items():
                cur.execute(question)
                assert cur.fetchall() == [], wrong

    @invariant()
    def the_model_agrees(self) -> None:
        for party in self.model.parties:
            id_ = party.organization.pk
            assert party.balance().posted_nanos == party.posted
            with connection.cursor() as cur:
                cur.execute("SELECT id::text, remaining_nanos FROM billing_hold WHERE organization_id = %s", [id_])
                assert dict(cur.fetchall()) == {lease.id: lease.remaining() for lease in party.leases.values()}
            charges, count, _ = self._ask(CHARGES, [id_])
            events = [event for event in self.model.settled.values() if event.organization_id == id_]
            assert (charges, count) == (sum(event.charge_nanos for event in events), len(events))
            periods = Window.objects.filter(organization_id=id_, name="period")
            by_plan = sum(periods.values_list("spent_nanos", flat=True))
            wallet, absorbed = (self._ask(DEBITS, [id_, kind])[0] for kind in ("wallet", "absorbed"))
            assert charges == wallet + absorbed + by_plan

    def _ask(self, question: str, parameters: list[Any]) -> tuple[Any, ...]:
        with connection.cursor() as cur:
            cur.execute(question, parameters)
            row: tuple[Any, ...] = cur.fetchone()
            return row


def _a_party(name: str, limits: tuple[int, int, int], overflow: bool, cap: int | None) -> Party:
    now = datetime.now(UTC)
    organization = Organization.objects.create(name=name)
    project = Project.objects.create(organization=organization, name="Default")
    key = ApiKey.objects.create(project=project, name="k", key_hash=uuid4().bytes * 2, prefix="sk-", last_four="1111")
    Budget.objects.create(organization=organization, api_key=key, period="day", limit_nanos=3_000)
    names = ("five_hours_nanos", "seven_days_nanos", "period_nanos")
    terms = dict(zip(names, limits, strict=True))
    plan = Plan.objects.create(slug=str(uuid4()), name="P", rank=1, price_nanos=1, **terms)
    subscription = Subscription.objects.create(
        organization=organization,
        plan=plan,
        terms=terms,
        period_start=now - timedelta(days=1),
        period_end=now + timedelta(days=29),
        overflow=overflow,
        overflow_cap_nanos=cap,
    )
    with connection.cursor() as cur:
        ledger.ensure_wallet(cur, organization.pk)
    return Party(organization, key, subscription)
