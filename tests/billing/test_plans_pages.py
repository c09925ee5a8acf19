"""The customer's plan pages, the price list, and the docs about charges."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from accounts.announce import FUNDS
from accounts.keys import create_key
from accounts.models import Membership, Organization, Project, User
from accounts.signup import create_organization
from billing import plan_pages
from billing.models.plans import Plan, Subscription
from billing.plans import choices, purchase, renewal, windows_view
from gateway import credit_signals
from tests.billing.plan_cast import DAY, MONTH, USD, available, give_credit, plan, use

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _three_plans(db: None) -> None:
    Plan.objects.update(is_sold=False)
    plan("pro", 10, 20, 25, covered_models=["anthropic/claude-sonnet-*", "deepseek/*"])
    plan("max", 20, 100, 140)
    plan("ultra", 30, 200, 320, covered_models=["*"])


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice@example.com", "correct horse battery")


@pytest.fixture
def project(alice: User, settings: Any) -> Project:
    settings.TRIAL_CREDIT_USD = "0"
    return create_organization(name="Alice's", owner=alice)[1]


@pytest.fixture
def organization(project: Project) -> Organization:
    return project.organization


@pytest.fixture
def hers(client: Client, alice: User, organization: Organization) -> Client:
    client.force_login(alice)
    return client


def running(organization: Organization, slug: str = "pro", *, days_ago: int = 0) -> Subscription:
    wanted = Plan.objects.get(slug=slug)
    give_credit(organization, wanted.price_nanos)
    now = timezone.now() - days_ago * DAY
    return purchase.subscribe(organization.pk, wanted, most_nanos=wanted.price_nanos, now=now)


def token(client: Client, slug: str) -> str:
    html = client.get(f"/plans/choose/{slug}").content.decode()
    found = re.search(r'name="token" value="([^"]+)"', html)
    assert found, html
    return found[1]


def page(client: Client, path: str = "/plans") -> str:
    return client.get(path).content.decode()


def test_without_a_plan_the_page_compares_and_sells(hers: Client) -> None:
    html = page(hers)
    assert "No plan is running." in html
    assert [html.index(f"Take {name}") for name in ("Pro", "Max", "Ultra")] == sorted(
        html.index(f"Take {name}") for name in ("Pro", "Max", "Ultra")
    )
    for fact in ("$20.00", "$2.50 every 5 hours", "$8.33 every 7 days", "$25.00 per period", "claude-sonnet-*"):
        assert fact in html
    assert "None yet." in html
    assert 'aria-current="page"' in html and 'href="/plans"' in html


def test_taking_a_plan_shows_the_sum_first_and_takes_it_once(hers: Client, organization: Organization) -> None:
    give_credit(organization, 45 * USD)
    html = page(hers, "/plans/choose/pro")
    assert "From the wallet, now" in html and "Pay $20.00" in html and "$25.00" in html
    sent = token(hers, "pro")
    assert hers.post("/plans/choose/pro", {"token": sent}).url == "/plans"
    assert hers.post("/plans/choose/pro", {"token": sent}).url == "/plans"  # a double click
    assert available(organization) == 25 * USD
    html = page(hers)
    assert "The running plan" in html and "Upgrade to Max" in html and "Renews" in html
    assert "Pro, " in page(hers, "/wallet")  # in the statement


def test_a_short_wallet_is_told_how_much_is_missing(hers: Client, organization: Organization) -> None:
    give_credit(organization, 15 * USD - 1)
    html = page(hers, "/plans/choose/pro")
    assert '$5.00<span class="fine">0000001</span>' in html
    assert 'href="/wallet?need=5000000001"' in html and "Pay $20.00" not in html
    answer = hers.post("/plans/choose/pro", {"token": token(hers, "pro")}, follow=True)
    assert "The wallet lacks $5.00. Nothing was charged." in answer.content.decode()
    assert not Subscription.objects.exists()


def test_an_upgrade_shows_the_figures_of_the_formula(hers: Client, organization: Organization) -> None:
    old = running(organization, days_ago=15)
    use(old, 5 * USD)
    give_credit(organization, 100 * USD)
    html = page(hers, "/plans/choose/max")
    assert "Unused part of Pro, by time" in html and "/ 2,592,000 s" in html
    assert re.search(r'× <span class="money">\$20\.00<span class="fine">0000</span></span> / \$25\.00', html)
    assert "Pay $90.00" in html
    hers.post("/plans/choose/max", {"token": token(hers, "max")})
    assert 9_999_000_000 < available(organization) - 0 <= 10 * USD
    assert "Max" in page(hers)


def test_a_sum_that_grew_meanwhile_is_shown_anew(hers: Client, organization: Organization) -> None:
    old = running(organization)
    give_credit(organization, 100 * USD)
    sent = token(hers, "max")
    use(old, 20 * USD)
    answer = hers.post("/plans/choose/max", {"token": sent}, follow=True)
    assert "The sum has changed meanwhile. Nothing was charged." in answer.content.decode()
    assert available(organization) == 100 * USD


def test_a_forged_old_or_foreign_offer_takes_nothing(
    hers: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_credit(organization, 100 * USD)
    sent = token(hers, "pro")
    for wrong in ("", "x", sent[:-2] + "zz"):
        assert hers.post("/plans/choose/pro", {"token": wrong}).url == "/plans/choose/pro"
    assert hers.post("/plans/choose/max", {"token": sent}).status_code == 403
    monkeypatch.setattr(plan_pages, "OFFER_GOOD_FOR_S", -1)
    assert hers.post("/plans/choose/pro", {"token": sent}).url == "/plans/choose/pro"
    assert available(organization) == 100 * USD


def test_a_downgrade_is_confirmed_and_taken_back(hers: Client, organization: Organization) -> None:
    running(organization, "max")
    html = page(hers, "/plans/choose/pro")
    assert "Nothing is charged now" in html
    hers.post("/plans/choose/pro", {"token": token(hers, "pro")})
    html = page(hers)
    assert "From the next period" in html and "Keep Max" in html and "Pro, for $20.00" in html
    hers.post("/plans/choose/max", {"token": token(hers, "max")})
    assert "Change to Pro next" in page(hers)
    assert available(organization) == 0


def test_cancel_asks_once_more_and_can_be_taken_back(hers: Client, organization: Organization) -> None:
    running(organization)
    assert "Cancel Pro?" in page(hers, "/plans/cancel")
    hers.post("/plans/cancel")
    html = page(hers)
    assert "does not renew" in html and "Let it renew" in html
    hers.post("/plans/resume")
    assert "Cancel the plan" in page(hers)


def test_the_windows_are_bars_with_spent_limit_and_reset_in_the_readers_zone(
    hers: Client, alice: User, organization: Organization
) -> None:
    User.objects.filter(pk=alice.pk).update(timezone="Asia/Tokyo")
    subscription = running(organization)
    now = timezone.now()
    window = use(subscription, 2 * USD, name="five_hours", opens_at=now - timedelta(hours=1))
    use(subscription, 4 * USD, held=USD)
    for path in ("/plans", "/overview", "/wallet"):
        html = page(hers, path)
        assert "$2.00 / $2.50" in html and "$4.00 / $25.00" in html and "$1.00 reserved" in html, path
        assert 'aria-valuenow="80"' in html and 'class="hot" width="80"' in html, path
        reset = timezone.localtime(window.closes_at, timezone=__import__("zoneinfo").ZoneInfo("Asia/Tokyo"))
        assert f"resets {reset:%Y-%m-%d %H:%M}" in html, path
        assert "begins with the next request" in html, path


def test_the_overview_and_the_wallet_stand_without_a_plan_and_when_it_cannot_be_read(
    hers: Client, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "plan-panel" not in page(hers, "/overview")
    running(organization)

    def away(*_: Any) -> Any:
        raise OperationalError

    monkeypatch.setattr(windows_view, "uses_of", away)
    assert "windows cannot be read now" in page(hers, "/wallet")


def test_spending_beyond_the_plan_is_switched_and_capped(hers: Client, organization: Organization) -> None:
    running(organization)
    assert "The wallet does not pay." in page(hers, "/overview")
    hers.post("/plans/overflow", {"allowed": "on", "cap_usd": "12.50"})
    subscription = Subscription.objects.get()
    assert (subscription.overflow, subscription.overflow_cap_nanos) == (True, 12_500_000_000)
    assert "$0.00 / $12.50" in page(hers) and "at most $12.50 this month" in page(hers, "/overview")
    for wrong in ("0", "-3", "much", "1.001"):
        answer = hers.post("/plans/overflow", {"allowed": "on", "cap_usd": wrong})
        assert answer.status_code == 200 and 'id="overflow-cap_usd_error"' in answer.content.decode()
    hers.post("/plans/overflow", {"cap_usd": ""})
    subscription.refresh_from_db()
    assert (subscription.overflow, subscription.overflow_cap_nanos) == (False, None)


def test_a_renewal_that_is_due_is_seen_and_paid_by_a_click(hers: Client, organization: Organization) -> None:
    subscription = running(organization, days_ago=30)
    renewal.renew(subscription.pk)
    html = page(hers)
    assert "The renewal is due: $20.00" in html and "$20.00 is missing." in html and "need=20000000000" in html
    assert "Payment due" in page(hers, "/overview")
    assert "not have the price yet" in hers.post("/plans/pay", follow=True).content.decode()
    give_credit(organization, 20 * USD)
    assert "The new period has begun." in hers.post("/plans/pay", follow=True).content.decode()
    assert "Payment due" not in page(hers)
    assert "ends at once" not in page(hers, "/plans/cancel")


def test_the_history_lists_periods_with_what_was_spent(hers: Client, organization: Organization) -> None:
    subscription = running(organization, days_ago=40)
    use(subscription, 3 * USD)
    give_credit(organization, 20 * USD)
    renewal.renew(subscription.pk, subscription.period_end)
    html = page(hers)
    turn = timezone.localtime(subscription.period_end, ZoneInfo("Asia/Shanghai"))  # the user's day
    assert "$3.00 / $25.00" in html and html.count(f"{turn:%Y-%m-%d}") >= 2


def test_members_see_the_plan_and_cannot_change_it(client: Client, organization: Organization) -> None:
    running(organization)
    bob = User.objects.create_user("bob@example.com", "correct horse battery")
    Membership.objects.create(user=bob, organization=organization, role=Membership.Role.MEMBER)
    client.force_login(bob)
    html = page(client)
    assert "Owners and admins" in html and "Upgrade to Max" not in html and "Cancel the plan" not in html
    assert client.get("/plans/choose/max").status_code == 403
    for path in ("cancel", "resume", "overflow", "pay"):
        assert client.post(f"/plans/{path}").status_code == 403
    assert Subscription.objects.get().renews


def test_a_plan_off_sale_is_kept_by_who_has_it_and_sold_to_nobody(hers: Client, organization: Organization) -> None:
    Plan.objects.filter(slug="ultra").update(is_sold=False)
    assert hers.get("/plans/choose/ultra").status_code == 404
    assert "Ultra" not in page(hers, "/pricing")
    running(organization)
    Plan.objects.filter(slug="pro").update(is_sold=False, price_nanos=5 * USD)
    html = page(hers)
    assert '<span class="price">$20.00</span>' in html and '<span class="price">$5.00</span>' not in html
    assert "The running plan" in html
    Plan.objects.update(is_sold=False)
    assert "No plan is on sale." in page(hers, "/pricing")


def test_nobody_without_an_account_gets_further_than_the_price_list(client: Client) -> None:
    assert client.get("/plans").status_code == 302
    html = page(client, "/pricing")
    assert "Take Pro" in html and 'href="/accounts/signup/"' in html and 'hreflang="zh-Hans"' in html
    chinese = page(client, "/zh/pricing")
    assert '<html lang="zh-Hans">' in chinese and 'href="/zh/docs/charges#plans"' in chinese
    assert 'href="/pricing"' in page(client, "/")


def test_the_docs_name_every_policy_that_receipts_carry(client: Client) -> None:
    html = page(client, "/docs/charges")
    code = (Path(django_settings.BASE_DIR) / "gateway" / "settlement.py").read_text()
    policies = set(re.findall(r'"((?:\w+_free)|answered|left|unreported|broken_off)"', code))
    assert len(policies) >= 8
    for policy in policies:
        assert f">{policy}</td>" in html, policy


def test_a_change_tells_the_gateways_at_once(
    hers: Client, organization: Organization, project: Project, redis_url: str, django_capture_on_commit_callbacks: Any
) -> None:
    import redis

    key = create_key(project, "laptop")[0]
    assert credit_signals.FUNDS == FUNDS
    with redis.Redis.from_url(redis_url) as store, store.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe("r1:keys", FUNDS)
        heard.get_message(timeout=1)
        heard.get_message(timeout=1)
        with django_capture_on_commit_callbacks(execute=True):
            running(organization)
            choices.cancel(organization.pk)
        said = set()
        while (message := heard.get_message(timeout=0.3)) is not None:
            said.add((message["channel"].decode(), message["data"].decode()))
    assert said == {("r1:keys", bytes(key.key_hash).hex()), (FUNDS, str(organization.pk))}


def test_a_period_is_as_long_as_the_plan_says(organization: Organization) -> None:
    plan("week", 5, 7, 8, period_days=7)
    subscription = running(organization, "week")
    assert subscription.period_end - subscription.period_start == 7 * DAY != MONTH
