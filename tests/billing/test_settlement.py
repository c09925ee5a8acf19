"""Events become charges once, whatever happens to them on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from billing import holds, ledger, proof
from billing.events import UsageEvent
from billing.models.holds import Hold
from billing.models.ledger import Entry, LedgerAccount, Transfer
from billing.models.usage import UsageRecord
from billing.settlement import close_hold_without_usage, settle
from billing.usage_records import card_has_billed
from tests.billing.cast import NOON, USD, an_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(alice_organization: Any, grant: Any) -> Any:
    grant(alice_organization, 10 * USD)
    return alice_organization


@pytest.fixture(autouse=True)
def _books_agree(db: None) -> Iterator[None]:
    """Every test here ends with a proof."""
    yield
    assert proof.check() == []


def a_hold(organization: Any, amount_nanos: int, *, expires_at: datetime = NOON) -> UUID:
    """A hold as a reservation leaves it."""
    account = LedgerAccount.objects.get(organization=organization, kind="wallet")
    account.held_nanos += amount_nanos
    account.save()
    hold = Hold.objects.create(
        id=uuid4(),
        account=account,
        organization_id=organization.pk,
        amount_nanos=amount_nanos,
        remaining_nanos=amount_nanos,
        created_at=NOON,
        expires_at=expires_at,
    )
    return hold.id


def settled(*events: UsageEvent) -> set[UUID]:
    with transaction.atomic(), connection.cursor() as cur:
        return settle(cur, events)


def test_a_charge_is_posted_and_its_hold_given_back(organization: Any) -> None:
    event = an_event(organization.pk, charge_nanos=300, hold_id=a_hold(organization, 1_000))
    assert settled(event) == {event.id}
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 0)
    assert Hold.objects.get().state == "settled"
    record = UsageRecord.objects.get()
    assert record.transfer is not None
    assert record.transfer.idempotency_key == f"usage:{event.request_id}:0"
    assert (record.usage, record.rates, record.occurred_at) == (event.usage, event.rates, event.occurred_at)
    assert card_has_billed(7)
    assert not card_has_billed(8)


def test_an_event_counts_once_however_often_it_comes(organization: Any) -> None:
    event = an_event(organization.pk, charge_nanos=300)
    assert settled(event, event) == {event.id}
    assert settled(event) == set()
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD - 300


@pytest.mark.parametrize("together", [True, False])
def test_a_request_part_is_charged_once_by_whatever_event(organization: Any, together: bool) -> None:
    hold_id = a_hold(organization, 50)
    request_id = uuid4()
    events = [an_event(organization.pk, request_id=request_id, charge_nanos=n, hold_id=hold_id) for n in (300, 400)]
    new = settled(*events) if together else settled(events[0]) | settled(events[1])
    assert len(new) == 1
    (charged,) = [event for event in events if event.id in new]
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - charged.charge_nanos, 0)


def test_two_parts_of_a_request_are_two_charges_and_free_the_hold_once(organization: Any) -> None:
    hold_id, request_id = a_hold(organization, 1_000), uuid4()
    parts = [an_event(organization.pk, request_id=request_id, part=n, charge_nanos=10, hold_id=hold_id) for n in (0, 1)]
    assert len(settled(*parts)) == 2
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 20, 0)


def test_a_free_answer_is_recorded_without_a_transfer_and_frees_its_hold(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=0, policy="failed_free", hold_id=a_hold(organization, 1_000)))
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD, 0)
    assert UsageRecord.objects.get().transfer is None
    assert not Transfer.objects.filter(kind="usage").exists()


def test_a_charge_above_its_hold_is_charged_in_full(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=11 * USD, hold_id=a_hold(organization, 10 * USD)))
    assert ledger.balance(organization.pk) == ledger.Balance(-USD, 0)


def test_a_late_event_for_a_swept_hold_is_still_charged(organization: Any) -> None:
    hold_id = a_hold(organization, 1_000)
    other = a_hold(organization, 500, expires_at=NOON + timedelta(hours=1))
    with connection.cursor() as cur:
        assert holds.sweep(cur, before=NOON + timedelta(minutes=1)) == 1
        assert holds.sweep(cur, before=NOON + timedelta(minutes=1)) == 0
    assert ledger.balance(organization.pk).held_nanos == 500
    settled(an_event(organization.pk, charge_nanos=300, hold_id=hold_id))
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 500)
    assert set(Hold.objects.values_list("id", "state")) == {(hold_id, "swept"), (other, "open")}


def test_a_hold_that_is_not_there_does_not_stop_the_charge(organization: Any) -> None:
    settled(an_event(organization.pk, charge_nanos=300, hold_id=uuid4()))
    assert UsageRecord.objects.get().hold is None
    assert ledger.balance(organization.pk).posted_nanos == 10 * USD - 300


def test_a_refused_request_gives_its_hold_back_and_leaves_no_record(organization: Any) -> None:
    hold_id = a_hold(organization, 1_000)
    with connection.cursor() as cur:
        close_hold_without_usage(cur, [hold_id, hold_id])
        close_hold_without_usage(cur, [hold_id])
        close_hold_without_usage(cur, [])
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD, 0)
    assert not UsageRecord.objects.exists()


def test_a_big_batch_over_many_wallets_takes_few_statements(organization: Any, grant: Any) -> None:
    from accounts.models import Organization

    others = [Organization.objects.create(name=f"org {n}") for n in range(5)]
    for other in others:
        grant(other, USD)
    everyone = [organization, *others]
    events = [an_event(everyone[n % 6].pk, charge_nanos=n, hold_id=a_hold(everyone[n % 6], 2 * n)) for n in range(500)]
    with connection.execute_wrapper(lambda execute, *args: (statements.append(1), execute(*args))[1]):
        statements: list[int] = []
        assert len(settled(*events)) == 500
    assert len(statements) <= 12
    charged = sum(event.charge_nanos for event in events if event.organization_id == organization.pk)
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - charged, 0)
    assert Entry.objects.filter(account__kind="revenue").order_by("id").last().balance_after_nanos == sum(range(500))  # type: ignore[union-attr]


def test_an_event_of_an_unknown_organization_fails_before_the_commit(organization: Any) -> None:
    """So that whoever drains the journal can tell which event of a batch is bad."""
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, charge_nanos=5), an_event(999_999_999, charge_nanos=5)])
    assert not UsageRecord.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_settles_through_a_plain_psycopg_cursor_too(organization: Any, conninfo: str) -> None:
    event = an_event(organization.pk, charge_nanos=300, hold_id=a_hold(organization, 1_000))
    with psycopg.connect(conninfo) as raw, raw.cursor() as cur:
        assert settle(cur, [event, event]) == {event.id}
        assert settle(cur, []) == set()
    assert ledger.balance(organization.pk) == ledger.Balance(10 * USD - 300, 0)


def test_an_event_survives_its_json_form() -> None:
    event = an_event(1, hold_id=uuid4(), usage_flags=("cached_clamped",), units_per_usd="7.12", part=3)
    assert UsageEvent.from_json(event.to_json() | {"from_a_newer_version": 1}) == event
    assert UsageEvent.from_json(an_event(1, price_card_id=None).to_json()).hold_id is None


@pytest.mark.parametrize(
    "broken", [{"charge_nanos": -1}, {"charge_nanos": 1.5}, {"occurred_at": "2026-11-22T12:00:00"}]
)
def test_an_event_that_makes_no_sense_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"charge|aware"):
        UsageEvent.from_json(an_event(1).to_json() | broken)
