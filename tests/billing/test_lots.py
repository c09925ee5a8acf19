"""Which credit is used up first, and how credit ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from billing import grants, ledger, lots, tasks
from billing.ledger import AccountName, NewTransfer
from billing.models.holds import JournalShard
from billing.models.ledger import CreditLot, LedgerAccount
from billing.settlement import settle
from tests.billing.cast import an_event

pytestmark = pytest.mark.django_db
NOW = datetime.now(UTC)


def top_up(organization: Any, amount: int) -> None:
    legs = ledger.move(AccountName("topups"), AccountName("wallet", organization.pk), amount)
    with connection.cursor() as cur:
        ledger.post(cur, [NewTransfer("topup", str(uuid4()), legs, organization.pk)])


def give(organization: Any, amount: int, hours: int | None = None) -> None:
    ends = None if hours is None else NOW + timedelta(hours=hours)
    grants.grant_credit(organization, amount, reason="x", idempotency_key=str(uuid4()), expires_at=ends)


def charge(organization: Any, nanos: int, *, hours: int = 0) -> None:
    at = (NOW + timedelta(hours=hours)).isoformat()
    with connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, charge_nanos=nanos, admitted_at=at)])


def expire(*, settled_to: datetime | None = None) -> int:
    with connection.cursor() as cur:
        return lots.expire(cur, settled_to=settled_to).done


def left() -> list[int]:
    return list(CreditLot.objects.order_by("id").values_list("remaining_nanos", flat=True))


def ended(hours: int) -> None:
    """As many hours pass for every lot that ends."""
    for lot in CreditLot.objects.exclude(expires_at=None):
        assert lot.expires_at is not None
        lot.expires_at -= timedelta(hours=hours)
        lot.save()


def test_granted_goes_before_bought_and_what_ends_sooner_first(alice_organization: Any) -> None:
    top_up(alice_organization, 100)
    give(alice_organization, 100)
    give(alice_organization, 100, hours=9)
    give(alice_organization, 100, hours=5)
    charge(alice_organization, 150)
    assert left() == [100, 100, 50, 0]
    charge(alice_organization, 200)
    assert left() == [50, 0, 0, 0]


def test_usage_takes_from_what_lived_when_it_was_admitted(alice_organization: Any) -> None:
    give(alice_organization, 100)
    give(alice_organization, 100, hours=5)
    charge(alice_organization, 30, hours=6)
    assert left() == [70, 100]
    charge(alice_organization, 30, hours=4)
    assert left() == [70, 70]
    charge(alice_organization, 100, hours=6)  # more than what lives: the wallet is the truth
    assert left() == [0, 40]


def test_new_credit_makes_up_for_a_deficit_first(alice_organization: Any) -> None:
    give(alice_organization, 10)
    charge(alice_organization, 50)
    top_up(alice_organization, 100)
    assert left() == [0, 60]


def test_a_refund_gives_bought_credit_back(alice_organization: Any) -> None:
    give(alice_organization, 100)
    top_up(alice_organization, 100)
    with connection.cursor() as cur:
        ledger.debit_wallet(cur, alice_organization.pk, 60, AccountName("topups"), "refund", "one")
        with pytest.raises(ledger.NotEnough):
            ledger.debit_wallet(cur, alice_organization.pk, 141, AccountName("topups"), "refund", "two")
    assert left() == [100, 40]


@pytest.mark.parametrize(("amount", "raised"), [(100, 0), (101, 1)])
def test_a_chargeback_beyond_what_is_there_stops_what_gateways_hold(
    alice_organization: Any, amount: int, raised: int
) -> None:
    top_up(alice_organization, 100)
    with connection.cursor() as cur:
        for _ in range(2):
            ledger.debit_wallet(
                cur, alice_organization.pk, amount, AccountName("topups"), "chargeback", "one", may_exceed=True
            )
    assert LedgerAccount.objects.get(organization=alice_organization).epoch == raised


def test_ended_credit_is_held_and_then_posted_back_to_our_grants(alice_organization: Any) -> None:
    before = LedgerAccount.objects.get(kind="grants").posted_nanos
    give(alice_organization, 100, hours=1)
    top_up(alice_organization, 5)
    assert expire(settled_to=NOW + timedelta(days=1)) == 0, "it has not ended"
    ended(2)
    for _ in range(2):
        assert expire() == 0
        assert ledger.balance(alice_organization.pk) == ledger.Balance(105, 100)
    charge(alice_organization, 30, hours=-3)
    assert ledger.balance(alice_organization.pk) == ledger.Balance(75, 70)
    assert expire(settled_to=NOW) == 1
    assert ledger.balance(alice_organization.pk) == ledger.Balance(5, 0)
    assert LedgerAccount.objects.get(kind="grants").posted_nanos == before - 30
    assert expire(settled_to=NOW) == 0


def test_expiry_leaves_what_running_requests_hold(alice_organization: Any) -> None:
    give(alice_organization, 100, hours=1)
    LedgerAccount.objects.filter(organization=alice_organization).update(held_nanos=30)
    ended(2)
    expire()
    assert ledger.balance(alice_organization.pk) == ledger.Balance(100, 100)
    assert expire(settled_to=NOW) == 0
    assert ledger.balance(alice_organization.pk) == ledger.Balance(30, 30)
    LedgerAccount.objects.filter(organization=alice_organization).update(held_nanos=0)
    assert expire(settled_to=NOW) == 1
    assert ledger.balance(alice_organization.pk) == ledger.Balance(0, 0)


def test_the_epoch_rises_and_makes_the_wallet_if_need_be(alice_organization: Any) -> None:
    with connection.cursor() as cur:
        assert [ledger.raise_epoch(cur, alice_organization.pk) for _ in range(2)] == [1, 2]


def settled(*times: datetime | None) -> None:
    for shard, at in enumerate(times):
        JournalShard.objects.update_or_create(shard=shard, defaults={"settled_to": at})


def test_the_job_goes_on_until_no_ended_lot_is_left(
    alice_organization: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """Also where the first ones of a batch cannot end yet."""
    settings.JOURNAL_SHARDS = 2
    settled(NOW, NOW)
    monkeypatch.setattr(lots.expire, "__kwdefaults__", {**(lots.expire.__kwdefaults__ or {}), "most": 2})
    bob = type(alice_organization).objects.create(name="Bob")
    for _ in range(3):
        give(alice_organization, 100, hours=1)
    LedgerAccount.objects.filter(organization=alice_organization).update(held_nanos=300)
    for _ in range(5):
        give(bob, 100, hours=2)
    ended(3)
    assert tasks.expire_credit() == 5
    assert ledger.balance(bob.pk) == ledger.Balance(0, 0)
    assert ledger.balance(alice_organization.pk) == ledger.Balance(300, 300)
    LedgerAccount.objects.filter(organization=alice_organization).update(held_nanos=0)
    assert tasks.expire_credit() == 3
    assert tasks.expire_credit() == 0


def test_the_job_stops_in_time_for_the_next_one(alice_organization: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    give(alice_organization, 100, hours=1)
    ended(2)
    monkeypatch.setattr(tasks, "EXPIRING_AT_MOST_S", 0.0)
    assert tasks.expire_credit() == 0
    assert ledger.balance(alice_organization.pk) == ledger.Balance(100, 0)


@pytest.mark.parametrize("times", [(), (NOW,), (NOW, None), (NOW, NOW - timedelta(hours=9))])
def test_credit_is_only_held_while_a_shard_may_still_bring_charges(
    alice_organization: Any, times: tuple[datetime | None, ...], settings: Any
) -> None:
    settings.JOURNAL_SHARDS = 2
    give(alice_organization, 100, hours=1)
    ended(2)
    settled(*times)
    assert tasks.expire_credit() == 0
    assert ledger.balance(alice_organization.pk) == ledger.Balance(100, 100)
    settled(NOW, NOW, None)  # the third is left over from when there were more
    assert tasks.expire_credit() == 1
    assert ledger.balance(alice_organization.pk) == ledger.Balance(0, 0)
