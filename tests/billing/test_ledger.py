"""Posting, granting and the guards in the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from billing import grants, ledger, proof, statement
from billing.ledger import AccountName, Leg, NewTransfer
from billing.models.ledger import Entry, LedgerAccount, Transfer
from billing.models.usage import UsageRecord
from billing.settlement import settle
from tests.billing.cast import USD, an_event

pytestmark = pytest.mark.django_db
Grant = Callable[[Any, int], Any]


def check_now() -> None:
    """Run what is deferred to the commit."""
    with connection.cursor() as cur:
        cur.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def test_a_grant_adds_to_the_wallet_and_takes_from_our_grants(alice_organization: Any) -> None:
    before = LedgerAccount.objects.get(kind="grants").posted_nanos
    grants.grant_credit(alice_organization, 5 * USD, reason="welcome", idempotency_key="one")
    check_now()
    assert ledger.balance(alice_organization.pk) == ledger.Balance(5 * USD, 0)
    assert LedgerAccount.objects.get(kind="grants").posted_nanos == before - 5 * USD
    assert statement.granted_nanos(alice_organization.pk) == 5 * USD
    assert proof.check() == []


def test_the_same_key_grants_once(alice_organization: Any) -> None:
    ids = {grants.grant_credit(alice_organization, USD, reason="once", idempotency_key="one") for _ in range(3)}
    assert len(ids) == 1
    assert ledger.balance(alice_organization.pk).posted_nanos == USD


def test_a_key_that_granted_something_else_is_refused(alice_organization: Any) -> None:
    grants.grant_credit(alice_organization, USD, reason="once", idempotency_key="one")
    with pytest.raises(grants.OtherGrant):
        grants.grant_credit(alice_organization, 2 * USD, reason="once", idempotency_key="one")
    assert ledger.balance(alice_organization.pk).posted_nanos == USD


@pytest.mark.parametrize(("amount", "reason"), [(0, "x"), (-1, "x"), (1, "  ")])
def test_a_grant_needs_an_amount_and_a_reason(alice_organization: Any, amount: int, reason: str) -> None:
    with pytest.raises(ValueError, match="grant"):
        grants.grant_credit(alice_organization, amount, reason=reason, idempotency_key="one")


def test_trial_credit_is_granted_once_per_organization(alice_organization: Any, settings: Any) -> None:
    settings.TRIAL_CREDIT_USD = "0.50"
    grants.grant_trial_credit(alice_organization)
    grants.grant_trial_credit(alice_organization)
    assert ledger.balance(alice_organization.pk).posted_nanos == USD // 2


def test_an_organization_without_trial_credit_has_an_empty_wallet(alice_organization: Any, settings: Any) -> None:
    settings.TRIAL_CREDIT_USD = "0"
    grants.grant_trial_credit(alice_organization)
    assert LedgerAccount.objects.filter(organization=alice_organization, kind="wallet").count() == 1
    assert not Transfer.objects.filter(organization=alice_organization).exists()


@pytest.mark.parametrize(
    "legs",
    [
        (),
        (Leg(AccountName("grants"), -5), Leg(AccountName("revenue"), 4)),
        (Leg(AccountName("grants"), 0), Leg(AccountName("revenue"), 0)),
        (Leg(AccountName("grants"), -5), Leg(AccountName("revenue", currency="CNY"), 5)),
    ],
)
def test_an_unbalanced_transfer_is_refused_before_it_is_written(legs: tuple[Leg, ...]) -> None:
    with connection.cursor() as cur, pytest.raises(ledger.UnbalancedTransfer):
        ledger.post(cur, [NewTransfer("adjustment", "bad", legs)])
    assert not Transfer.objects.exists()


def test_balances_run_on_within_one_batch(alice_organization: Any) -> None:
    wallet = AccountName("wallet", alice_organization.pk)
    moves = [
        NewTransfer("adjustment", f"move {n}", ledger.move(AccountName("absorbed"), wallet, n)) for n in (5, 7, 11)
    ]
    with connection.cursor() as cur:
        assert len(ledger.post(cur, [*moves, moves[0]])) == 3
        assert ledger.post(cur, moves) == set()
    running = Entry.objects.filter(account__organization=alice_organization).order_by("id")
    assert list(running.values_list("balance_after_nanos", flat=True)) == [5, 12, 23]
    assert proof.check() == []


def a_transfer(*amounts: int) -> None:
    """Written past the ledger module, as a mistake would."""
    transfer = Transfer.objects.create(id=uuid4(), kind="adjustment", idempotency_key=str(uuid4()))
    account = LedgerAccount.objects.get(kind="absorbed")
    for amount in amounts:
        Entry.objects.create(transfer=transfer, account=account, amount_nanos=amount, balance_after_nanos=0)


@pytest.mark.parametrize(("amounts", "message"), [((5, -4), "do not sum to zero"), ((), "no entries")])
@pytest.mark.django_db(transaction=True)
def test_the_database_refuses_an_unbalanced_transfer_at_commit(amounts: tuple[int, ...], message: str) -> None:
    LedgerAccount.objects.get_or_create(kind="absorbed", organization=None)
    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        a_transfer(*amounts)
    assert not Transfer.objects.exists()


@pytest.mark.parametrize("table", ["billing_entry", "billing_transfer", "billing_usagerecord"])
@pytest.mark.parametrize("statement_", ["UPDATE {} SET currency = 'EUR'", "UPDATE {} SET id = id", "DELETE FROM {}"])
def test_what_is_written_about_money_cannot_be_changed(alice_organization: Any, table: str, statement_: str) -> None:
    if table == "billing_transfer":
        statement_ = statement_.replace("currency = 'EUR'", "reason = 'other'")
    with connection.cursor() as cur:
        settle(cur, [an_event(alice_organization.pk)])
        with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
            cur.execute(statement_.format(table))


@pytest.mark.parametrize("table", ["billing_entry", "billing_transfer", "billing_usagerecord"])
def test_the_tables_of_money_cannot_be_emptied(table: str) -> None:
    with connection.cursor() as cur:
        # Off during the tests, because that is how they clean up after themselves.
        cur.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_not_emptied")
        with pytest.raises(DatabaseError, match="is refused"), transaction.atomic():
            cur.execute(f"TRUNCATE {table} CASCADE")


def test_the_proof_finds_a_balance_that_was_touched(alice_organization: Any, grant: Grant, capsys: Any) -> None:
    grant(alice_organization, USD)
    call_command("prove_ledger")
    assert "invariants hold" in capsys.readouterr().out
    LedgerAccount.objects.filter(organization=alice_organization).update(posted_nanos=2 * USD, held_nanos=3)
    violations = proof.check()
    assert any("posted 2000000000, entries 1000000000" in line for line in violations)
    assert any("held 3, holds 0" in line for line in violations)
    assert any("posted 2000000000, lots 1000000000" in line for line in violations)
    with pytest.raises(CommandError, match="3 violations"):
        call_command("prove_ledger")


def test_the_proof_finds_a_usage_record_without_its_transfer(alice_organization: Any) -> None:
    with connection.cursor() as cur:
        settle(cur, [an_event(alice_organization.pk, charge_nanos=100)])
        cur.execute("ALTER TABLE billing_usagerecord DISABLE TRIGGER billing_usagerecord_unchanged")
    assert proof.check() == []
    UsageRecord.objects.update(transfer=None)
    assert {line.split(":")[0] for line in proof.check()} == {
        "usage records that are not debits, plan allowance and what we absorbed",
        "usage transfer that is not the sum of its records",
    }


def test_the_proof_shows_each_kind_of_violation_at_most_so_often(alice_organization: Any) -> None:
    with connection.cursor() as cur:
        cur.execute("ALTER TABLE billing_entry DISABLE TRIGGER entry_balanced")
        cur.execute("ALTER TABLE billing_transfer DISABLE TRIGGER transfer_balanced")
    for _ in range(proof.SHOWN_AT_MOST + 2):
        a_transfer()
    lines = [line for line in proof.check() if line.startswith("transfer without entries")]
    assert len(lines) == proof.SHOWN_AT_MOST + 1
    assert lines[-1].endswith("2 more")
