"""Events become charges once, whatever happens to them on the way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction

from billing import holds, ledger
from billing.events import UsageEvent
from billing.models.holds import Hold
from billing.models.ledger import CreditLot, Entry, LedgerAccount, Transfer
from billing.models.plans import Window
from billing.models.usage import UsageExcess, UsageRecord
from billing.settlement import settle
from billing.usage_records import card_has_billed
from tests.billing.cast import NOON, USD, an_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(alice_organization: Any, grant: Any) -> Any:
    grant(alice_organization, 10 * USD)
    return alice_organization


def a_hold(organization: Any, amount_nanos: int, **values: Any) -> UUID:
    """A hold as a reservation leaves it."""
    source, window_ids = values.setdefault("source", "wallet"), values.setdefault("window_ids", [])
    account = LedgerAccount.objects.get(organization=organization, kind="wallet")
    account.held_nanos += amount_nanos if source != "plan" else 0
    account.save()
    for window in Window.objects.filter(pk__in=window_ids):
        window.held_nanos += amount_nanos
        window.save()
    fields = {"created_at": NOON, "expires_at": NOON, "remaining_nanos": amount_nanos} | values
    hold = Hold.objects.create(
        id=uuid4(), account=account, organization_id=organization.pk, amount_nanos=amount_nanos, **fields
    )
    return hold.id


def a_window(organization: Any, limit: int, kind: str = "plan", spent: int = 0) -> int:
    window = Window.objects.create(
        organization_id=organization.pk,
        kind=kind,
        name="period",
        limit_nanos=limit,
        spent_nanos=spent,
        opens_at=NOON,
    )
    return int(window.pk)


def room_of(window_id: int) -> tuple[int, int]:
    window = Window.objects.get(pk=window_id)
    return window.spent_nanos, window.held_nanos


def give_back(hold_id: UUID, spent: int, count: int) -> None:
    with connection.cursor() as cur:
        cur.execute("SELECT billing_give_back(%s::uuid[], %s::bigint[], %s::bigint[])", [[hold_id], [spent], [count]])


def settled(*events: UsageEvent) -> set[str]:
    with transaction.atomic(), connection.cursor() as cur:
        return settle(cur, events)


def test_a_charge_is_posted_and_counted_into_its_hold(organization: Any) -> None:
    hold_id = a_hold(organization, 1_000)
    event = an_event(organization.pk, charge_nanos=300, hold_id=hold_id)
    assert settled(event) == {event.id}
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 700)
    hold = Hold.objects.get()
    assert (hold.state, hold.remaining_nanos, hold.settled_nanos, hold.settled_count) == ("open", 700, 300, 1)
    record = UsageRecord.objects.get()
    assert (record.source, record.hold_id, str(record.pk)) == ("wallet", hold_id, event.id)
    assert Transfer.objects.get(pk=record.transfer_id).kind == "usage"
    assert (record.usage, record.rates, record.occurred_at) == (event.usage, {"input": "2", "output": "10"}, NOON)
    assert card_has_billed(7)
    assert not card_has_billed(8)


def test_an_event_counts_once_however_often_it_comes(organization: Any) -> None:
    hold_id = a_hold(organization, 1_000)
    event, other = (an_event(organization.pk, charge_nanos=300, hold_id=hold_id) for _ in range(2))
    assert settled(event, event) == {event.id}
    assert settled(event) == set()
    assert settled(other, event) == {other.id}
    assert settled(event, other) == set()
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 600, 400)
    assert Hold.objects.get().settled_count == 2


def test_two_parts_of_a_request_are_two_charges(organization: Any) -> None:
    first = an_event(organization.pk, charge_nanos=10)
    second = an_event(organization.pk, charge_nanos=10, part=1, request_id=first.id)
    assert len(settled(first, second)) == 2
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 20, 0)


def test_a_first_part_with_another_id_than_its_request_is_refused(organization: Any) -> None:
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, id=str(uuid4()), request_id=str(uuid4()))])


def test_one_transfer_moves_the_money_of_a_batch(organization: Any) -> None:
    settled(*(an_event(organization.pk, charge_nanos=n) for n in (0, 1, 2, 3)))
    (transfer,) = Transfer.objects.filter(kind="usage")
    assert sorted(transfer.entries.values_list("amount_nanos", flat=True)) == [-6, 6]
    assert UsageRecord.objects.filter(transfer=transfer).count() == 3
    assert UsageRecord.objects.get(charge_nanos=0).transfer_id is None


def test_a_free_answer_is_recorded_without_a_transfer(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=0, policy="failed_free", hold_id=a_hold(organization, 1_000)))
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD, 1_000)
    assert not Transfer.objects.filter(kind="usage").exists()


def test_a_charge_above_its_hold_is_charged_in_full(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=11 * USD, hold_id=a_hold(organization, 10 * USD)))
    assert ledger.balance(organization.pk) == ledger.Balance(-USD, 0)
    assert CreditLot.objects.get().remaining_nanos == 0


@pytest.mark.parametrize("returned_first", [True, False])
def test_a_returned_hold_keeps_what_was_spent_until_it_has_settled(organization: Any, returned_first: bool) -> None:
    hold_id = a_hold(organization, 1_000)
    one, two = (an_event(organization.pk, charge_nanos=n, hold_id=hold_id) for n in (300, 200))
    if returned_first:
        give_back(hold_id, 500, 2)
        give_back(hold_id, 100, 1)  # only the first one counts
        assert ledger.balance(organization.pk).held_nanos == 500
        settled(two)
        assert ledger.balance(organization.pk).held_nanos == 300
        settled(one)
    else:
        settled(one, two)
        assert ledger.balance(organization.pk).held_nanos == 500
        give_back(hold_id, 500, 2)
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 500, 0)
    assert Hold.objects.get().state == "done"


def test_a_late_event_for_a_swept_hold_is_still_charged(organization: Any) -> None:
    hold_id = a_hold(organization, 1_000)
    other = a_hold(organization, 500, expires_at=NOON + timedelta(hours=1))
    with connection.cursor() as cur:
        assert holds.sweep(cur, before=NOON + timedelta(minutes=1)) == 1
        assert holds.sweep(cur, before=NOON + timedelta(minutes=1)) == 0
    assert ledger.balance(organization.pk).held_nanos == 500
    settled(an_event(organization.pk, charge_nanos=300, hold_id=hold_id))
    give_back(hold_id, 300, 1)
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 500)
    assert set(Hold.objects.values_list("id", "state")) == {(hold_id, "swept"), (other, "open")}


def test_a_hold_that_is_not_there_does_not_stop_the_charge(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=300, hold_id=uuid4()))
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD - 300


def test_without_its_hold_a_plans_charge_is_ours(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=300, hold_id=uuid4(), source="plan"))
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD
    assert UsageExcess.objects.get().absorbed_nanos == 300


def test_a_plans_charge_goes_to_its_windows_and_moves_no_money(organization: Any) -> None:
    plan, budget = a_window(organization, 1_000), a_window(organization, 5_000, "budget")
    hold_id = a_hold(organization, 400, source="plan", window_ids=[plan, budget])
    settled(an_event(organization.pk, charge_nanos=300, hold_id=hold_id))  # the hold decides, whatever the event says
    assert (room_of(plan), room_of(budget)) == ((300, 100), (300, 100))
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD, 0)
    record = UsageRecord.objects.get()
    assert (record.source, record.transfer_id) == ("plan", None)


@pytest.mark.parametrize("overflow", [True, False])
def test_beyond_a_plans_room_the_wallet_pays_or_we_do(organization: Any, overflow: bool) -> None:
    plan, budget = a_window(organization, 1_000), a_window(organization, 100, "budget")
    other = a_hold(organization, 500, source="plan", window_ids=[plan])
    hold_id = a_hold(organization, 300, source="plan", window_ids=[plan, budget], overflow_allowed=overflow)
    event = an_event(organization.pk, charge_nanos=700, hold_id=hold_id, source="plan")
    settled(event)
    assert (room_of(plan), room_of(budget)) == ((500, 500), (700, 0))
    excess = UsageExcess.objects.get(usage_id=event.id)
    assert (excess.wallet_nanos, excess.absorbed_nanos) == ((200, 0) if overflow else (0, 200))
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD - (200 if overflow else 0)
    assert Hold.objects.get(pk=other).remaining_nanos == 500


def test_overflow_counts_in_its_month_and_takes_from_the_wallet(organization: Any) -> None:
    month = a_window(organization, 1_000, "overflow")
    hold_id = a_hold(organization, 400, source="overflow", window_ids=[month])
    settled(an_event(organization.pk, charge_nanos=300, hold_id=hold_id, source="overflow"))
    assert room_of(month) == (300, 100)
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 100)


def test_an_event_on_somebody_elses_hold_is_refused(organization: Any, grant: Any) -> None:
    from accounts.models import Organization

    bob = Organization.objects.create(name="Bob")
    grant(bob, USD)
    with pytest.raises(ValueError, match="different organizations"), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(bob.pk, hold_id=a_hold(organization, 10))])


def test_a_big_batch_over_many_wallets_takes_few_statements(organization: Any, grant: Any) -> None:
    from accounts.models import Organization

    others = [Organization.objects.create(name=f"org {n}") for n in range(5)]
    for other in others:
        grant(other, USD)
    everyone = [organization, *others]
    holds_of = [a_hold(one, 10_000) for one in everyone]
    events = [an_event(everyone[n % 6].pk, charge_nanos=n, hold_id=holds_of[n % 6]) for n in range(500)]
    with connection.execute_wrapper(lambda execute, *args: (statements.append(1), execute(*args))[1]):
        statements: list[int] = []
        assert len(settled(*events)) == 500
    assert len(statements) <= 15
    charged = sum(event.charge_nanos for event in events if event.organization_id == organization.pk)
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD - charged
    assert Entry.objects.filter(account__kind="revenue").order_by("id").last().balance_after_nanos == sum(range(500))  # type: ignore[union-attr]


def test_an_event_of_an_unknown_organization_fails_before_the_commit(organization: Any) -> None:
    """So that whoever drains the journal can tell which event of a batch is bad."""
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, charge_nanos=5), an_event(999_999_999, charge_nanos=5)])
    assert not UsageRecord.objects.exists()


@pytest.mark.parametrize("charge", [-1, 1.5, True, "5", 10**15, None])
def test_a_charge_that_makes_no_sense_is_refused(organization: Any, charge: Any) -> None:
    with pytest.raises(ValueError, match="charge"):
        settled(an_event(organization.pk, charge_nanos=charge))


@pytest.mark.parametrize(
    "values",
    [{"occurred_at": "soon"}, {"rates": "{"}, {"model": "nul\x00"}, {"hold_id": "x"}, {"usage": None}, {"part": -1}],
)
def test_a_row_that_cannot_be_stored_fails_at_once(organization: Any, values: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, **values)])


def test_an_id_in_another_spelling_is_refused_and_not_left_uncharged(organization: Any) -> None:
    with pytest.raises(ValueError, match="usual form"), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, id=str(uuid4()).upper())])


@pytest.mark.django_db(transaction=True)
def test_it_settles_through_a_plain_psycopg_cursor_too(organization: Any, conninfo: str) -> None:
    event = an_event(organization.pk, charge_nanos=300, hold_id=a_hold(organization, 1_000))
    with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
        assert settle(cur, [event, event]) == {event.id}
        assert settle(cur, []) == set()
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 700)
