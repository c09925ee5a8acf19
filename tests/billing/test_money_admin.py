"""Staff can read all money and grant credit; nothing else."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from accounts.models import Organization, User
from billing import ledger, proof
from billing.models.ledger import LedgerAccount, Transfer
from billing.settlement import settle
from tests.billing.cast import USD, an_event

pytestmark = pytest.mark.django_db
TABLES = ("ledgeraccount", "transfer", "entry", "hold", "usagerecord", "unsettledevent", "exchangerate")


@pytest.fixture
def staff() -> User:
    return User.objects.create_superuser("staff@example.com", "correct horse battery")


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def account(alice_organization: Organization, grant: Any) -> LedgerAccount:
    grant(alice_organization, USD)
    with connection.cursor() as cur:
        settle(cur, [an_event(alice_organization.pk, charge_nanos=100)])
    return LedgerAccount.objects.get(organization=alice_organization)


@pytest.mark.parametrize("table", TABLES)
def test_staff_can_look_at_every_table_and_change_no_row(desk: Client, account: LedgerAccount, table: str) -> None:
    assert desk.get(f"/admin/billing/{table}/").status_code == 200
    added = desk.get(f"/admin/billing/{table}/add/").status_code
    assert added == (200 if table == "exchangerate" else 403)


def test_a_transfer_shows_its_entries(desk: Client, account: LedgerAccount) -> None:
    transfer = Transfer.objects.get(kind="usage")
    html = desk.get(f"/admin/billing/transfer/{transfer.id}/change/").content.decode()
    assert '−$0.00<span class="fine">00001</span>' in html
    assert desk.post(f"/admin/billing/transfer/{transfer.id}/change/", {"reason": "other"}).status_code == 403
    assert desk.post(f"/admin/billing/transfer/{transfer.id}/delete/", {"post": "yes"}).status_code == 403


def test_a_charge_is_found_by_its_request_id(desk: Client, account: LedgerAccount) -> None:
    event = an_event(account.organization_id or 0, charge_nanos=5, request_id=uuid4(), model="maker/found-model")
    with connection.cursor() as cur:
        settle(cur, [event])
    html = desk.get(f"/admin/billing/usagerecord/?q={event.request_id}").content.decode()
    assert "maker/found-model" in html
    assert "gpt-6.1-sol" not in html


def grant_page(desk: Client, account: LedgerAccount) -> tuple[str, dict[str, str]]:
    url = f"/admin/billing/ledgeraccount/{account.pk}/grant/"
    response = desk.get(url, follow=True)
    assert response.status_code == 200
    (token,) = re.findall(r'name="token" value="([^"]+)"', response.content.decode())
    return response.request["PATH_INFO"], {"amount_usd": "12.50", "reason": "Goodwill", "token": token}


def test_a_grant_sent_twice_is_granted_once(desk: Client, staff: User, account: LedgerAccount) -> None:
    url, form = grant_page(desk, account)
    for _ in range(2):
        assert desk.post(url, form).status_code == 302
    transfer = Transfer.objects.get(reason="Goodwill")
    assert transfer.created_by == staff
    assert ledger.balance(account.organization_id or 0).posted_nanos == USD - 100 + 12_500_000_000
    assert proof.check() == []
    assert "grant" in desk.get(f"/admin/billing/ledgeraccount/{account.pk}/change/").content.decode()


def test_a_form_sent_again_with_another_amount_grants_nothing_and_says_so(desk: Client, account: LedgerAccount) -> None:
    url, form = grant_page(desk, account)
    desk.post(url, form)
    html = desk.post(url, form | {"amount_usd": "99"}, follow=True).content.decode()
    assert "Nothing was granted this time" in html
    assert ledger.balance(account.organization_id or 0).posted_nanos == USD - 100 + 12_500_000_000


@pytest.mark.parametrize(
    "wrong",
    [{"reason": ""}, {"reason": "  "}, {"token": ""}, {"token": "x"}]
    + [{"amount_usd": text} for text in ("", "0", "-5", "0.001", "100000.01", "NaN")],
)
def test_a_grant_that_is_not_right_shows_the_form_again(
    desk: Client, account: LedgerAccount, wrong: dict[str, str]
) -> None:
    url, form = grant_page(desk, account)
    before = Transfer.objects.count()
    assert desk.post(url, form | wrong).status_code == 200
    assert Transfer.objects.count() == before


def test_only_wallets_can_be_granted_to(desk: Client, account: LedgerAccount) -> None:
    ours = LedgerAccount.objects.get(kind="grants").pk
    for account_id in (ours, 0, "x"):
        assert desk.get(f"/admin/billing/ledgeraccount/{account_id}/grant/").status_code == 404


def test_granting_needs_its_own_permission(client: Client, account: LedgerAccount) -> None:
    clerk = User.objects.create_user("clerk@example.com", "correct horse battery", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_ledgeraccount"))
    client.force_login(clerk)
    assert client.get(f"/admin/billing/ledgeraccount/{account.pk}/change/").status_code == 200
    assert client.get(f"/admin/billing/ledgeraccount/{account.pk}/grant/").status_code == 403
    clerk.user_permissions.add(Permission.objects.get(codename="grant_credit"))
    assert client.get(f"/admin/billing/ledgeraccount/{account.pk}/grant/").status_code == 200


def test_strangers_are_kept_out(client: Client, account: LedgerAccount) -> None:
    client.force_login(User.objects.create_user("bob@example.com", "correct horse battery"))
    response = client.get(f"/admin/billing/ledgeraccount/{account.pk}/grant/")
    assert response.status_code == 302
