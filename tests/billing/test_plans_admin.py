"""Staff edit plans, give and end subscriptions with a reason, and look at windows."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Organization, User
from billing.models.plans import Plan, PlanChange, Subscription
from billing.plans import purchase
from tests.billing.plan_cast import USD, available, give_credit, plan, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_superuser("staff@example.com", "correct horse battery")


@pytest.fixture
def desk(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def pro(db: None) -> Plan:
    return plan("pro", 10, 20, 25)


@pytest.fixture
def sold(alice_organization: Organization, pro: Plan) -> Subscription:
    give_credit(alice_organization, 100 * USD)
    return purchase.subscribe(alice_organization.pk, pro, most_nanos=20 * USD)


def form(**changes: Any) -> dict[str, Any]:
    values = {
        "slug": "pro", "name": "Pro", "rank": "10", "period_days": "30", "is_sold": "on", "price_usd": "25",
        "five_hours_usd": "3.50", "seven_days_usd": "9", "period_usd": "30", "models": "maker/*\nOther/x-*\n",
    }  # fmt: skip
    return values | changes


def test_an_edit_is_for_new_subscriptions_and_says_so(desk: Client, sold: Subscription, pro: Plan) -> None:
    path = f"/admin/billing/plan/{pro.pk}/change/"
    html = desk.get(path).content.decode()
    assert "1 running subscriptions keep the terms they were sold with" in html
    assert 'value="20.00"' in html
    assert desk.post(path, form()).status_code == 302
    pro.refresh_from_db()
    assert (pro.price_nanos, pro.five_hours_nanos, pro.covered_models) == (
        25 * USD,
        3_500_000_000,
        ["maker/*", "other/x-*"],
    )
    sold.refresh_from_db()
    assert sold.terms["price_nanos"] == 20 * USD


@pytest.mark.parametrize(
    "wrong",
    [{"models": "gpt-4o"}, {"models": ""}, {"price_usd": "-1"}, {"five_hours_usd": "10"}, {"period_days": "0"}],
)
def test_a_plan_that_cannot_be_is_refused(desk: Client, pro: Plan, wrong: dict[str, str]) -> None:
    answer = desk.post(f"/admin/billing/plan/{pro.pk}/change/", form(**wrong))
    assert answer.status_code == 200
    pro.refresh_from_db()
    assert pro.price_nanos == 20 * USD


def test_a_plan_is_added_and_never_deleted(desk: Client, pro: Plan) -> None:
    assert desk.get("/admin/billing/plan/add/").status_code == 200
    assert desk.post("/admin/billing/plan/add/", form(slug="team", name="Team")).status_code == 302
    assert Plan.objects.get(slug="team").period_nanos == 30 * USD
    assert desk.post(f"/admin/billing/plan/{pro.pk}/delete/", {"post": "yes"}).status_code == 403


def test_subscriptions_are_listed_filtered_and_not_edited(desk: Client, sold: Subscription) -> None:
    use(sold, 5)
    assert "Alice" in desk.get("/admin/billing/subscription/?state__exact=active").content.decode()
    assert desk.get("/admin/billing/subscription/?state__exact=ended").context["cl"].result_count == 0
    html = desk.get(f"/admin/billing/subscription/{sold.pk}/change/").content.decode()
    assert "Subscribed" in html
    assert desk.post(f"/admin/billing/subscription/{sold.pk}/change/", {"state": "ended"}).status_code == 403
    assert desk.get("/admin/billing/subscription/add/").status_code == 403
    assert desk.get("/admin/billing/window/").status_code == 200
    assert desk.get("/admin/billing/window/add/").status_code == 403


def test_a_subscription_is_given_once_with_a_reason(
    desk: Client, staff: User, alice_organization: Organization, pro: Plan
) -> None:
    give_credit(alice_organization, USD)
    path = "/admin/billing/subscription/give/"
    html = desk.get(path).content.decode()
    token = re.search(r'name="token" value="([^"]+)"', html)
    assert token
    sent = {"organization": alice_organization.pk, "plan": pro.pk, "days": "14", "reason": "beta", "token": token[1]}
    assert desk.post(path, sent | {"reason": ""}).status_code == 200
    assert desk.post(path, sent | {"organization": "99999999"}).status_code == 200
    assert not Subscription.objects.exists()
    assert desk.post(path, sent).status_code == 302
    assert desk.post(path, sent).status_code == 302
    change = PlanChange.objects.get()
    assert (change.kind, change.reason, change.created_by) == ("given", "beta", staff)
    assert available(alice_organization) == USD
    other = desk.get(path).context["form"]["token"].value()
    assert "End that first" in desk.post(path, sent | {"token": str(other)}).content.decode()


def test_a_subscription_is_ended_with_a_reason_and_a_credit(desk: Client, staff: User, sold: Subscription) -> None:
    path = f"/admin/billing/subscription/{sold.pk}/end/"
    assert desk.get(path).status_code == 200
    assert desk.post(path, {"reason": ""}).status_code == 200
    assert Subscription.objects.get().state == "active"
    assert desk.post(path, {"reason": "asked by mail", "credits_unused": "on"}).status_code == 302
    assert Subscription.objects.get().state == "ended"
    change = PlanChange.objects.get(kind="stopped")
    assert (change.reason, change.created_by) == ("asked by mail", staff)
    assert 19_900_000_000 < -change.amount_nanos <= 20 * USD
    assert "It has ended already" in desk.post(path, {"reason": "x"}, follow=True).content.decode()


def test_who_may_only_look_can_neither_give_nor_end(client: Client, sold: Subscription) -> None:
    clerk = User.objects.create_user("clerk@example.com", "correct horse battery", is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_subscription"))
    client.force_login(clerk)
    assert client.get("/admin/billing/subscription/").status_code == 200
    assert client.get("/admin/billing/subscription/give/").status_code == 403
    assert client.post(f"/admin/billing/subscription/{sold.pk}/end/", {"reason": "x"}).status_code == 403
    assert Subscription.objects.get().state == "active"
