"""The wallet page and the side bar's wallet."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from accounts.caller import Caller
from accounts.models import Organization, User
from accounts.signup import create_organization
from billing import ledger, statement
from billing.context import wallet as wallet_context
from billing.reservation import GIVE_BACK, RESERVE, Shortage
from billing.settlement import settle
from gateway.credit_words import no_credit
from tests.billing.cast import USD, an_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice@example.com", "correct horse battery")


@pytest.fixture
def organization(alice: User, settings: Any) -> Organization:
    settings.TRIAL_CREDIT_USD = "1.00"
    return create_organization(name="Alice", owner=alice)[0]


@pytest.fixture
def page(client: Client, alice: User, organization: Organization) -> Client:
    client.force_login(alice)
    return client


def charge(organization: Organization, *amounts: int) -> None:
    with connection.cursor() as cur:
        for amount in amounts:
            settle(cur, [an_event(organization.pk, charge_nanos=amount, request_id=uuid4())])


def test_a_sign_up_gets_its_trial_credit_on_the_wallet_page(page: Client) -> None:
    html = page.get("/wallet").content.decode()
    assert "Trial credit" in html
    assert html.count("$1.00") >= 4
    assert "Top-ups open later" in html


def test_charges_stand_in_the_statement_with_the_balance_after(page: Client, organization: Organization) -> None:
    charge(organization, 1_234_567)
    html = page.get("/wallet").content.decode()
    assert '−$0.00<span class="fine">1234567</span>' in html
    assert '$0.99<span class="fine">8765433</span>' in html
    assert "Usage" in html


def test_what_is_only_reserved_still_counts(page: Client, organization: Organization) -> None:
    wanted = [uuid4(), organization.pk, 1, 1, "wallet", USD // 4, 0, USD // 4, 60.0, True]
    with connection.cursor() as cur:
        cur.execute(RESERVE, wanted)
        charge(organization, USD // 10)
        cur.execute(GIVE_BACK, [[wanted[0]], [USD // 5], [1]])
        assert ledger.balance(organization.pk).shown_nanos == USD * 7 // 10, "spent, and not settled yet"
        cur.execute(RESERVE, [uuid4(), *wanted[1:]])
    html = page.get("/wallet").content.decode()
    assert "<dt>Balance</dt><dd>$0.70</dd>" in html and "<dt>Reserved</dt><dd>$0.25</dd>" in html
    assert html.count("<b>$0.70</b>") == 2, "the side bar and the top bar"


def test_an_empty_wallet_says_what_to_do_next(client: Client, settings: Any) -> None:
    settings.TRIAL_CREDIT_USD = "0"
    bob = User.objects.create_user("bob@example.com", "correct horse battery")
    create_organization(name="Bob", owner=bob)
    client.force_login(bob)
    html = client.get("/wallet").content.decode()
    assert "No money has moved yet" in html
    assert "$0.00" in html


def test_visitors_are_sent_to_the_login(client: Client) -> None:
    response = client.get("/wallet")
    assert response.status_code == 302
    assert "login" in response["Location"]


def test_nobody_sees_another_organizations_charges(page: Client, organization: Organization) -> None:
    bob = Organization.objects.create(name="Bob")
    charge(bob, 777_777)
    assert "777777" not in page.get("/wallet").content.decode()


@pytest.mark.parametrize("query", ["before=x", "before=-1", "after=%F0%9F%92%B0", "before=" + "9" * 40, "before="])
def test_a_key_that_is_none_shows_the_first_page(page: Client, query: str) -> None:
    assert "Trial credit" in page.get(f"/wallet?{query}").content.decode()


def test_the_statement_turns_pages_both_ways(organization: Organization) -> None:
    charge(organization, *range(1, 7))
    first = statement.page(organization.pk, size=3)
    assert [line.amount_nanos for line in first.lines] == [-6, -5, -4]
    assert first.newer is None
    second = statement.page(organization.pk, before=first.older, size=3)
    assert [line.amount_nanos for line in second.lines] == [-3, -2, -1]
    last = statement.page(organization.pk, before=second.older, size=3)
    assert [line.amount_nanos for line in last.lines] == [USD]
    assert last.older is None
    assert statement.page(organization.pk, after=second.newer, size=3).lines == first.lines
    assert statement.page(organization.pk, after=last.newer, size=3) == second


def test_the_side_bar_has_the_wallet_of_who_is_signed_in(alice: User, organization: Organization) -> None:
    request = RequestFactory().get("/")
    request.user = alice
    assert wallet_context(request)["wallet"].available_nanos == USD
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert wallet_context(request) == {"wallet": None}
    assert wallet_context(RequestFactory().get("/")) == {"wallet": None}


def test_the_side_bar_stays_quiet_when_there_is_nothing_to_read(
    alice: User, organization: Organization, monkeypatch: Any
) -> None:
    def away(organization_id: int) -> ledger.Balance:
        raise OperationalError

    monkeypatch.setattr(ledger, "balance", away)
    request = RequestFactory().get("/")
    request.user = alice
    assert not wallet_context(request)["wallet"]
    staff = User.objects.create_user("staff@example.com", "correct horse battery")
    request = RequestFactory().get("/")
    request.user = staff
    assert not wallet_context(request)["wallet"]


@pytest.mark.parametrize(
    ("need", "lacks", "top_up"),
    [
        (1, "$0.01", "$5.00"),
        (5 * USD, "$5.00", "$5.00"),
        (5 * USD + 1, "$5.01", "$20.00"),
        (100 * USD + 1, "$100.01", "$101.00"),
        (5_000 * USD, "$5,000.00", "$5,000.00"),
        (5_000 * USD + 1, "$5,000.01", None),
    ],
)
def test_who_comes_for_want_of_credit_reads_what_covers_it(
    page: Client, need: int, lacks: str, top_up: str | None
) -> None:
    html = page.get(f"/wallet?need={need}").content.decode()
    assert f"The wallet lacks {lacks}." in html
    assert ("more than one top-up can be" in html) is (top_up is None)
    assert top_up is None or f"The smallest top-up that covers it is {top_up}." in html


@pytest.mark.parametrize("need", ["", "0", "-1", "1.5", "x", "9" * 40])
def test_a_need_that_is_none_changes_nothing(page: Client, need: str) -> None:
    assert "The wallet lacks" not in page.get(f"/wallet?need={need}").content.decode()


def test_a_402_links_to_the_page_with_what_is_missing() -> None:
    shortage = Shortage("wallet", "", 3 * USD, 0, None, None, False)
    refusal = no_credit("https://router.example", [shortage], 7 * USD, Caller(1, 1, 1, None, None))
    assert refusal.problem.details["top_up_url"] == f"https://router.example/wallet?need={4 * USD}"
    assert refusal.problem.message.endswith(f"/wallet?need={4 * USD}")
