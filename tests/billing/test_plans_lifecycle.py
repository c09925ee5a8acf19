"""Subscriptions from the first payment to the last day, with the time given."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.db import connection

from accounts.model_limits import allows
from accounts.model_patterns import clean
from accounts.models import Organization, User
from billing import tasks
from billing.ledger import NotEnough
from billing.models.ledger import Transfer
from billing.models.plans import Plan, PlanChange, PlanPeriod, Subscription, Window
from billing.plans import choices, payments, purchase, renewal, staff
from billing.plans.changes import PlanRefused, live_subscription
from billing.plans.history import periods_of
from billing.plans.windows_view import overflow_of, uses_of
from tests.billing.plan_cast import (
    DAY,
    FIRST,
    MONTH,
    USD,
    available,
    books_agree,
    epoch,
    give_credit,
    plan,
    plans_account,
    use,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def pro() -> Plan:
    return plan("pro", 10, 20, 25)


@pytest.fixture
def max_(pro: Plan) -> Plan:
    return plan("max", 20, 100, 140)


@pytest.fixture
def rich(alice_organization: Organization) -> Organization:
    give_credit(alice_organization, 500 * USD)
    return alice_organization


def take(organization: Organization, wanted: Plan, **more: Any) -> Subscription:
    return purchase.subscribe(organization.pk, wanted, **{"most_nanos": wanted.price_nanos, "now": FIRST} | more)


# --- Taking a plan ---------------------------------------------------------------------------------------------------


def test_a_plan_is_paid_from_the_wallet_and_keeps_its_terms(rich: Organization, pro: Plan) -> None:
    before = epoch(rich)
    subscription = take(rich, pro)
    assert available(rich) == 480 * USD
    assert plans_account() == 20 * USD
    assert (subscription.period_start, subscription.period_end) == (FIRST, FIRST + MONTH)
    assert subscription.overflow is False
    assert epoch(rich) > before
    Plan.objects.filter(pk=pro.pk).update(price_nanos=99 * USD, covered_models=["other/*"], period_nanos=1)
    subscription.refresh_from_db()
    assert subscription.terms["price_nanos"] == 20 * USD
    assert subscription.terms["covered_models"] == ["maker/*"]
    assert renewal.renew(subscription.pk, FIRST + MONTH) == "renewed"
    assert available(rich) == 460 * USD  # the terms it was sold with, also when it renews
    books_agree()


def test_one_form_subscribes_once(rich: Organization, pro: Plan) -> None:
    form = uuid4()
    first = take(rich, pro, form_id=form)
    assert take(rich, pro, form_id=form) == first
    assert available(rich) == 480 * USD
    assert Subscription.objects.count() == PlanPeriod.objects.count() == PlanChange.objects.count() == 1


def test_a_second_plan_beside_the_first_is_refused(rich: Organization, pro: Plan, max_: Plan) -> None:
    take(rich, pro)
    with pytest.raises(PlanRefused, match="subscribed"):
        take(rich, max_)
    assert available(rich) == 480 * USD


def test_a_wallet_that_is_short_by_one_nano_pays_nothing(alice_organization: Organization, pro: Plan) -> None:
    give_credit(alice_organization, 20 * USD - 1)
    with pytest.raises(NotEnough):
        take(alice_organization, pro)
    assert not Subscription.objects.exists()
    give_credit(alice_organization, 1)
    take(alice_organization, pro)
    assert available(alice_organization) == 0


@pytest.mark.parametrize(
    ("why", "spoil"),
    [
        ("not_sold", lambda org, pro: Plan.objects.filter(pk=pro.pk).update(is_sold=False)),
        ("sum_changed", lambda org, pro: Plan.objects.filter(pk=pro.pk).update(price_nanos=21 * USD)),
        ("suspended", lambda org, pro: Organization.objects.filter(pk=org.pk).update(suspended_at=FIRST)),
    ],
)
def test_what_cannot_be_taken_is_refused_and_costs_nothing(rich: Organization, pro: Plan, why: str, spoil: Any) -> None:
    shown = pro.price_nanos
    spoil(rich, pro)
    with pytest.raises(PlanRefused, match=why):
        purchase.subscribe(rich.pk, pro, most_nanos=shown, now=FIRST)
    assert available(rich) == 500 * USD


def test_a_free_plan_costs_nothing_and_posts_nothing(alice_organization: Organization) -> None:
    give_credit(alice_organization, 1)
    free = plan("free", 1, 0, 1)
    take(alice_organization, free)
    assert not Transfer.objects.filter(kind="plan").exists()


# --- Upgrades --------------------------------------------------------------------------------------------------------


def test_an_upgrade_credits_by_time_where_that_is_less(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    use(old, 5 * USD)  # a fifth; the time says a half
    now = FIRST + 15 * DAY
    new = purchase.upgrade(rich.pk, max_, most_nanos=90 * USD, now=now)
    assert available(rich) == 480 * USD - 90 * USD
    assert (new.period_start, new.period_end, new.terms["slug"]) == (now, now + MONTH, "max")
    old.refresh_from_db()
    assert (old.state, old.ended_at) == ("ended", now)
    period = PlanPeriod.objects.get(subscription=old)
    assert (period.closed_at, period.credit_nanos, period.credit_is_final) == (now, 10 * USD, True)
    books_agree(windows=False)


def test_an_upgrade_credits_by_allowance_where_that_is_less(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    use(old, 24 * USD)
    purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, now=FIRST + DAY)
    assert available(rich) == 480 * USD - 100 * USD + 800_000_000  # 20 x 1 / 25


def test_an_upgrade_ends_the_windows_of_the_old_plan(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    now = FIRST + DAY
    windows = [use(old, 1), use(old, 1, name="seven_days"), use(old, 1, name="five_hours", opens_at=now - DAY / 24)]
    closed = use(old, 1, name="five_hours")
    new = purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, now=now)
    assert {Window.objects.get(pk=window.pk).closes_at for window in windows} == {now}
    assert Window.objects.get(pk=closed.pk).closes_at == FIRST + timedelta(hours=5)
    assert [item.spent_nanos for item in uses_of(new, now)] == [0, 0, 0]


def test_no_more_than_the_sum_that_was_shown_is_taken(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    now = FIRST + 15 * DAY
    window = use(old, 5 * USD)
    shown = purchase.offer(max_, old, now).due_nanos
    Window.objects.filter(pk=window.pk).update(spent_nanos=13 * USD)  # due is 90.40 now, within a hundredth
    purchase.upgrade(rich.pk, max_, most_nanos=shown, now=now)
    assert available(rich) == 480 * USD - shown


def test_a_sum_that_has_grown_much_is_shown_again(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    shown = purchase.offer(max_, old, FIRST + DAY).due_nanos
    use(old, 20 * USD)
    with pytest.raises(PlanRefused, match="sum_changed"):
        purchase.upgrade(rich.pk, max_, most_nanos=shown, now=FIRST + DAY)
    assert live_subscription(rich.pk) == old
    assert available(rich) == 480 * USD


def test_one_form_upgrades_once(rich: Organization, pro: Plan, max_: Plan) -> None:
    take(rich, pro)
    form = uuid4()
    results = {purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, form_id=form, now=FIRST + DAY).pk for _ in "12"}
    assert len(results) == 1
    assert PlanChange.objects.filter(kind="upgraded").count() == 1


def test_an_upgrade_that_cannot_be_paid_changes_nothing(
    alice_organization: Organization, pro: Plan, max_: Plan
) -> None:
    give_credit(alice_organization, 50 * USD)
    old = take(alice_organization, pro)
    window = use(old, USD)
    with pytest.raises(NotEnough):
        purchase.upgrade(alice_organization.pk, max_, most_nanos=100 * USD, now=FIRST + DAY)
    assert live_subscription(alice_organization.pk) == old
    assert Window.objects.get(pk=window.pk).closes_at == window.closes_at
    assert available(alice_organization) == 30 * USD


def test_a_smaller_plan_is_no_upgrade(rich: Organization, pro: Plan, max_: Plan) -> None:
    take(rich, max_)
    with pytest.raises(PlanRefused, match="no_upgrade"):
        purchase.upgrade(rich.pk, pro, most_nanos=100 * USD, now=FIRST + DAY)


def test_what_running_requests_leave_unused_is_credited_when_they_have_ended(
    rich: Organization, pro: Plan, max_: Plan
) -> None:
    old = take(rich, pro)
    window = use(old, 0, held=25 * USD)
    now = FIRST + 15 * DAY
    purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, now=now)
    assert available(rich) == 380 * USD  # all of it may still be spent
    period = PlanPeriod.objects.get(subscription=old)
    assert renewal.periods_to_credit() == [period.pk]
    assert renewal.credit_what_was_left(period.pk) == 0
    Window.objects.filter(pk=window.pk).update(held_nanos=0, spent_nanos=20 * USD)
    assert renewal.credit_what_was_left(period.pk) == 4 * USD  # by allowance: 20 x 5 / 25; by time it were 10
    assert renewal.credit_what_was_left(period.pk) == 0
    assert renewal.periods_to_credit() == []
    assert available(rich) == 384 * USD
    assert Transfer.objects.filter(kind="adjustment").count() == 1  # credit to use, not to be paid out
    books_agree(windows=False)


def test_a_lower_price_than_the_credit_gives_the_rest_back(rich: Organization, max_: Plan) -> None:
    take(rich, max_)
    cheap = plan("cheap", 30, 10, 500)
    purchase.upgrade(rich.pk, cheap, most_nanos=0, now=FIRST)
    assert available(rich) == 500 * USD - 10 * USD
    books_agree()


# --- Later changes ---------------------------------------------------------------------------------------------------


def test_a_downgrade_begins_with_the_next_period(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, max_)
    choices.set_overflow(rich.pk, allowed=True, cap_nanos=7 * USD)
    choices.change_at_period_end(rich.pk, pro)
    assert available(rich) == 400 * USD
    assert renewal.renew(old.pk, FIRST + MONTH - DAY) == "nothing"
    assert renewal.renew(old.pk, FIRST + MONTH) == "renewed"
    new = live_subscription(rich.pk)
    assert new is not None and new.terms["slug"] == "pro"
    assert (new.period_start, new.overflow, new.overflow_cap_nanos) == (FIRST + MONTH, True, 7 * USD)
    assert available(rich) == 380 * USD
    assert renewal.renew(old.pk, FIRST + MONTH) == "nothing"


def test_a_planned_change_is_taken_back_by_choosing_the_running_plan(rich: Organization, pro: Plan, max_: Plan) -> None:
    take(rich, max_)
    choices.change_at_period_end(rich.pk, pro)
    choices.change_at_period_end(rich.pk, max_)
    found = live_subscription(rich.pk)
    assert found is not None and found.next_plan is None and found.renews


def test_a_cancelled_plan_covers_until_its_end_and_can_be_resumed(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    choices.cancel(rich.pk)
    choices.cancel(rich.pk)
    assert PlanChange.objects.filter(kind="cancelled").count() == 1
    choices.resume(rich.pk)
    assert renewal.renew(subscription.pk, FIRST + MONTH) == "renewed"
    choices.cancel(rich.pk)
    assert live_subscription(rich.pk) is not None
    assert renewal.renew(subscription.pk, FIRST + 2 * MONTH) == "ended"
    assert live_subscription(rich.pk) is None
    assert available(rich) == 460 * USD


# --- Renewal and grace -----------------------------------------------------------------------------------------------


def test_renewals_follow_one_another_without_a_gap(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    old_day = use(subscription, USD, name="seven_days", opens_at=FIRST + 28 * DAY)
    for number in range(1, 4):
        at = FIRST + number * MONTH + timedelta(seconds=3)
        assert renewal.renew(subscription.pk, at) == "renewed"
        assert renewal.renew(subscription.pk, at) == "nothing"
    subscription.refresh_from_db()
    assert subscription.period_start == FIRST + 3 * MONTH
    old_day.refresh_from_db()
    assert old_day.closes_at == FIRST + MONTH + timedelta(seconds=3)  # all three windows begin anew
    assert [period.starts_at for period in periods_of(rich.pk, 9)] == [FIRST + n * MONTH for n in (3, 2, 1, 0)]
    assert available(rich) == 420 * USD
    books_agree(windows=False)


def test_a_wallet_without_the_price_has_three_days_of_grace(alice_organization: Organization, pro: Plan) -> None:
    give_credit(alice_organization, 25 * USD)
    subscription = take(alice_organization, pro)
    end = FIRST + MONTH
    assert renewal.renew(subscription.pk, end) == "due"
    assert renewal.renew(subscription.pk, end + DAY) == "due"
    subscription.refresh_from_db()
    assert (subscription.state, subscription.grace_until) == ("grace", end + 3 * DAY)
    assert PlanChange.objects.filter(kind="due").count() == 1
    assert available(alice_organization) == 5 * USD
    give_credit(alice_organization, 15 * USD)
    assert renewal.renew(subscription.pk, end + 2 * DAY) == "renewed"
    subscription.refresh_from_db()
    assert (subscription.state, subscription.grace_until) == ("active", None)
    assert (subscription.period_start, subscription.period_end) == (end, end + MONTH)  # grace is part of it
    assert available(alice_organization) == 0


def test_after_grace_the_plan_ends_and_nothing_is_owed(alice_organization: Organization, pro: Plan) -> None:
    give_credit(alice_organization, 20 * USD)
    subscription = take(alice_organization, pro)
    renewal.renew(subscription.pk, FIRST + MONTH)
    assert renewal.renew(subscription.pk, FIRST + MONTH + 3 * DAY) == "ended"
    assert available(alice_organization) == 0
    give_credit(alice_organization, 20 * USD)
    assert renewal.renew(subscription.pk, FIRST + MONTH + 4 * DAY) == "nothing"
    assert available(alice_organization) == 20 * USD
    again = take(alice_organization, pro, now=FIRST + 2 * MONTH)
    assert again.pk != subscription.pk


def test_a_job_that_comes_after_grace_to_an_empty_wallet_ends_the_plan(
    alice_organization: Organization, pro: Plan
) -> None:
    give_credit(alice_organization, 20 * USD)
    subscription = take(alice_organization, pro)
    assert renewal.renew(subscription.pk, FIRST + MONTH + 4 * DAY) == "ended"
    assert live_subscription(alice_organization.pk) is None


def test_a_cancellation_during_grace_ends_at_once(alice_organization: Organization, pro: Plan) -> None:
    give_credit(alice_organization, 20 * USD)
    subscription = take(alice_organization, pro)
    renewal.renew(subscription.pk, FIRST + MONTH)
    choices.cancel(alice_organization.pk, now=FIRST + MONTH + DAY)
    assert live_subscription(alice_organization.pk) is None


def test_a_job_that_comes_days_late_begins_the_period_when_it_comes(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    late = FIRST + MONTH + 10 * DAY
    assert renewal.renew(subscription.pk, late) == "renewed"
    subscription.refresh_from_db()
    assert subscription.period_start == late  # nobody pays for days in which nothing was covered


def test_a_suspended_organization_is_not_charged(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    Organization.objects.filter(pk=rich.pk).update(suspended_at=FIRST)
    assert renewal.renew(subscription.pk, FIRST + MONTH) == "due"
    assert available(rich) == 480 * USD


def test_the_job_renews_all_that_are_due_and_one_that_fails_stops_no_other(
    rich: Organization, pro: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = Organization.objects.create(name="Bob")
    give_credit(bob, 100 * USD)
    bad, good = take(rich, pro), take(bob, pro)
    now = FIRST + MONTH
    later: list[Any] = []
    renew = renewal.renew

    def broken(subscription_id: int, at: Any = None) -> Any:
        if subscription_id == bad.pk:
            raise RuntimeError
        return renew(subscription_id, now)

    monkeypatch.setattr(renewal, "renew", broken)
    monkeypatch.setattr(renewal, "now_by_database", lambda: now)
    monkeypatch.setattr(tasks.renew_plan, "apply_async", lambda args, eta: later.append((args, eta)))
    soon = take(Organization.objects.create(name="Carol"), plan("free", 1, 0, 1), now=FIRST + timedelta(seconds=30))
    tasks.renew_plans()
    good.refresh_from_db()
    assert good.period_start == now
    assert later == [((soon.pk,), soon.period_end + tasks.CLOCKS_DIFFER)]


@pytest.mark.django_db(transaction=True)
def test_two_workers_renew_once(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    outcomes = at_once(lambda: renewal.renew(subscription.pk, FIRST + MONTH), 4)
    assert sorted(outcomes) == ["nothing"] * 3 + ["renewed"]
    assert available(rich) == 460 * USD
    assert PlanPeriod.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_forms_at_once_make_one_subscription(alice_organization: Organization, pro: Plan) -> None:
    give_credit(alice_organization, 40 * USD)
    outcomes = at_once(lambda: take(alice_organization, pro).pk, 4)
    assert len([one for one in outcomes if isinstance(one, int)]) == 1
    assert {one.why for one in outcomes if isinstance(one, PlanRefused)} == {"subscribed"}
    assert available(alice_organization) == 20 * USD


@pytest.mark.django_db(transaction=True)
def test_the_same_form_sent_twice_at_once_upgrades_once(rich: Organization, pro: Plan, max_: Plan) -> None:
    take(rich, pro)
    form = uuid4()
    outcomes = at_once(
        lambda: purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, form_id=form, now=FIRST + DAY).pk, 4
    )
    assert len(set(outcomes)) == 1 and isinstance(outcomes[0], int)
    books_agree()


def at_once(work: Any, times: int) -> list[Any]:
    """What each thread returned or raised."""
    outcomes: list[Any] = []
    gate = threading.Barrier(times)

    def run() -> None:
        gate.wait()
        try:
            outcomes.append(work())
        except Exception as error:
            outcomes.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# --- Beyond the plan -------------------------------------------------------------------------------------------------


def test_spending_beyond_the_plan_is_off_and_can_be_capped(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    assert overflow_of(subscription, FIRST, "UTC") is None
    before = epoch(rich)
    changed = choices.set_overflow(rich.pk, allowed=True, cap_nanos=5 * USD)
    assert (changed.overflow, changed.overflow_cap_nanos) == (True, 5 * USD)
    assert epoch(rich) == before + 1
    choices.set_overflow(rich.pk, allowed=True, cap_nanos=5 * USD)
    assert epoch(rich) == before + 1  # nothing changed
    shown = overflow_of(changed, FIRST, "Asia/Shanghai")
    assert shown is not None and shown.resets_at is not None
    assert shown.resets_at.isoformat() == "2027-01-01T00:00:00+08:00"
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            choices.set_overflow(rich.pk, allowed=True, cap_nanos=wrong)


def test_an_upgrade_does_not_reset_the_monthly_cap(rich: Organization, pro: Plan, max_: Plan) -> None:
    old = take(rich, pro)
    choices.set_overflow(rich.pk, allowed=True, cap_nanos=5 * USD)
    Window.objects.create(
        organization_id=rich.pk, kind="overflow", subscription=old, name="month", limit_nanos=5 * USD,
        spent_nanos=4 * USD, opens_at=FIRST.replace(day=1, hour=0), closes_at=FIRST + 31 * DAY,
    )  # fmt: skip
    new = purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, now=FIRST + DAY)
    shown = overflow_of(new, FIRST + DAY, "UTC")
    assert shown is not None and (shown.spent_nanos, shown.percent) == (4 * USD, 80)


def test_windows_show_what_is_open_and_nothing_of_before(rich: Organization, pro: Plan) -> None:
    subscription = take(rich, pro)
    use(subscription, 10 * USD, held=USD)
    use(subscription, 2 * USD, name="five_hours")
    now = FIRST + timedelta(hours=2)
    five, seven, period = uses_of(subscription, now)
    assert (five.spent_nanos, five.percent, five.resets_at) == (2 * USD, 80, FIRST + timedelta(hours=5))
    assert (seven.spent_nanos, seven.resets_at) == (0, None)
    assert (period.spent_nanos, period.reserved_nanos, period.percent) == (10 * USD, USD, 40)
    assert period.resets_at == FIRST + MONTH
    assert uses_of(subscription, FIRST + timedelta(hours=5))[0].spent_nanos == 0


# --- Staff -----------------------------------------------------------------------------------------------------------


def test_staff_give_a_plan_that_costs_nothing_and_ends(alice_organization: Organization, pro: Plan, db: None) -> None:
    boss = User.objects.create_superuser("boss@example.com", "correct horse battery")
    given = staff.give(alice_organization.pk, pro, days=7, reason="beta", by=boss, now=FIRST)
    assert (given.period_end, given.renews) == (FIRST + 7 * DAY, False)
    change = PlanChange.objects.get()
    assert (change.kind, change.reason, change.created_by) == ("given", "beta", boss)
    with pytest.raises(PlanRefused):
        staff.give(alice_organization.pk, pro, days=7, reason="again", by=boss, now=FIRST)
    assert renewal.renew(given.pk, FIRST + 7 * DAY) == "ended"


def test_a_given_plan_has_no_credit(rich: Organization, pro: Plan, max_: Plan) -> None:
    staff.give(rich.pk, pro, days=30, reason="beta", by=None, now=FIRST)
    purchase.upgrade(rich.pk, max_, most_nanos=100 * USD, now=FIRST)
    assert available(rich) == 400 * USD


@pytest.mark.parametrize(("credits_unused", "back"), [(True, 10 * USD), (False, 0)])
def test_staff_end_a_plan_with_or_without_credit(
    rich: Organization, pro: Plan, credits_unused: bool, back: int
) -> None:
    subscription = take(rich, pro)
    now = FIRST + 15 * DAY
    assert staff.end_now(subscription, reason="asked", credits_unused=credits_unused, by=None, now=now) == back
    assert available(rich) == 480 * USD + back
    assert live_subscription(rich.pk) is None
    with pytest.raises(PlanRefused):
        staff.end_now(subscription, reason="again", credits_unused=True, by=None, now=now)
    with pytest.raises(ValueError, match="reason"):
        staff.end_now(subscription, reason=" ", credits_unused=True, by=None, now=now)
    books_agree()


# --- What gateways hold idle, and what is there from the start -------------------------------------------------------


def hold_everything(organization: Organization) -> UUID:
    hold_id = uuid4()
    with connection.cursor() as cur:
        cur.execute(
            "SELECT amount FROM billing_reserve(%s, %s, 1, 1, 'wallet', %s, 1, 0, 600, true)",
            [hold_id, organization.pk, available(organization)],
        )
        assert cur.fetchone()[0] > 0
    return hold_id


def test_credit_that_gateways_hold_idle_is_not_missing(
    alice_organization: Organization, pro: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_credit(alice_organization, 20 * USD)
    hold = hold_everything(alice_organization)
    assert available(alice_organization) == 0

    def called_back(organization_id: int) -> None:
        with connection.cursor() as cur:
            cur.execute("SELECT billing_give_back(ARRAY[%s]::uuid[], ARRAY[0]::bigint[], ARRAY[0]::bigint[])", [hold])

    monkeypatch.setattr(payments, "announce_recall", called_back)
    take(alice_organization, pro)
    assert available(alice_organization) == 0 and plans_account() == 20 * USD


def test_credit_that_running_requests_hold_is_waited_for_a_moment_only(
    alice_organization: Organization, pro: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_credit(alice_organization, 20 * USD)
    hold_everything(alice_organization)
    monkeypatch.setattr(payments, "_WAIT_S", 0.2)
    monkeypatch.setattr(payments, "announce_recall", lambda organization_id: None)
    with pytest.raises(NotEnough):
        take(alice_organization, pro)


def test_three_plans_are_there_and_are_not_made_again() -> None:
    seeds = import_module("billing.migrations.0007_first_plans")
    Plan.objects.filter(slug__in=["pro", "max", "ultra"]).delete()
    seeds.add(apps, None)
    Plan.objects.filter(slug="pro").update(price_nanos=21 * USD, is_sold=False)
    seeds.add(apps, None)
    pro, max_, ultra = Plan.objects.filter(slug__in=["pro", "max", "ultra"]).order_by("rank")
    assert (pro.price_nanos, pro.is_sold, max_.price_nanos, ultra.price_nanos) == (
        21 * USD,
        False,
        100 * USD,
        200 * USD,
    )
    for plan_, worth in ((pro, 25), (max_, 140), (ultra, 320)):
        assert plan_.period_nanos == worth * USD
        assert plan_.seven_days_nanos * 100 == plan_.period_nanos * 35
        assert plan_.five_hours_nanos * 100 == plan_.period_nanos * 12
        assert list(clean(plan_.covered_models)) == plan_.covered_models
    for plan_, slug, covered in (
        (pro, "anthropic/claude-sonnet-5.5", True),
        (pro, "anthropic/claude-opus-5.5", False),
        (pro, "openai/gpt-6.1-terra", True),
        (pro, "openai/gpt-6.1-sol", False),
        (max_, "openai/gpt-6.1-sol", True),
        (max_, "perplexity/sonar", False),
        (ultra, "perplexity/sonar", True),
    ):
        assert allows(plan_.covered_models, slug) is covered, (plan_.slug, slug)


def test_every_larger_seeded_plan_covers_what_the_smaller_ones_do() -> None:
    seeds = import_module("billing.migrations.0007_first_plans")
    models = json.loads((Path(settings.BASE_DIR) / "routing/data/catalogue/models.json").read_text())
    slugs = [model["slug"] for model in (models if isinstance(models, list) else models["models"])]
    assert len(slugs) > 100
    covered = [{slug for slug in slugs if allows(patterns, slug)} for *_, patterns in seeds.PLANS]
    assert len(covered[0]) > 20 and covered[0] < covered[1] < covered[2] == set(slugs)
