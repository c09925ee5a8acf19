"""The published upgrade formula: its properties, its worked example, and chains of upgrades that make no money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization
from billing.models.plans import PlanPeriod, Window
from billing.plans import purchase, renewal
from billing.plans.proration import unused
from tests.billing.plan_cast import FIRST, USD, available, books_agree, give_credit, plan, plans_account, use

START = datetime(2026, 12, 1, tzinfo=UTC)
NANOS = st.integers(0, 10**15)
SECONDS = st.integers(-(10**7), 10**7)


@given(price=NANOS, allowance=NANOS, used=st.integers(-(10**9), 2 * 10**15), length=st.integers(0, 10**7), gone=SECONDS)
def test_a_credit_is_never_negative_and_never_more_than_the_price(
    price: int, allowance: int, used: int, length: int, gone: int
) -> None:
    found = unused(
        price_nanos=price,
        allowance_nanos=allowance,
        used_nanos=used,
        starts_at=START,
        ends_at=START + timedelta(seconds=length),
        now=START + timedelta(seconds=gone),
    )
    assert 0 <= found.credit_nanos <= price
    assert found.credit_nanos == min(found.by_time_nanos, found.by_allowance_nanos)
    if found.left_s == 0 or found.allowance_left_nanos == 0:
        assert found.credit_nanos == 0


@given(price=NANOS, used=st.lists(NANOS, min_size=2, max_size=5), gone=st.lists(SECONDS, min_size=2, max_size=5))
def test_more_use_or_more_time_never_credits_more(price: int, used: list[int], gone: list[int]) -> None:
    def credit(spent: int, seconds: int) -> int:
        return unused(
            price_nanos=price,
            allowance_nanos=10**14,
            used_nanos=spent,
            starts_at=START,
            ends_at=START + timedelta(days=30),
            now=START + timedelta(seconds=seconds),
        ).credit_nanos

    by_use = [credit(spent, 1) for spent in sorted(used)]
    by_time = [credit(0, seconds) for seconds in sorted(gone)]
    assert all(later <= earlier for earlier, later in [*pairwise(by_use), *pairwise(by_time)])


@given(price=NANOS, used=NANOS, gone=st.integers(0, 2_592_000))
def test_it_is_the_formula_as_the_docs_have_it_rounded_down(price: int, used: int, gone: int) -> None:
    allowance, length = 10**15, 2_592_000
    found = unused(
        price_nanos=price,
        allowance_nanos=allowance,
        used_nanos=used,
        starts_at=START,
        ends_at=START + timedelta(seconds=length),
        now=START + timedelta(seconds=gone),
    )
    exact = min(Fraction(price * (length - gone), length), Fraction(price * (allowance - used), allowance))
    assert found.credit_nanos == exact.__floor__()


@pytest.mark.django_db
def test_the_worked_example_of_the_docs_is_right(client: Client) -> None:
    """Recomputed here from its words: 12 of 30 days, 18 of 25 dollars, 20 and 100 dollars."""
    html = client.get("/docs/charges").content.decode()
    shown = html[html.index('id="example"') :].split("</section>")[0]
    by_time, by_allowance = Fraction(20 * 18, 30), Fraction(20 * 7, 25)
    credit = min(by_time, by_allowance)
    for amount in (by_time, by_allowance, credit, 100 - credit):
        assert f"${float(amount):.2f}" in shown
    assert "12 of 30 days, with $18 of $25 spent" in shown
    assert "$94.40" in shown
    assert f"× {18 * 86_400:,} / {30 * 86_400:,}" in shown and "× $7.00 / $25.00" in shown


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 40 * 86_400), st.fractions(0, 1), st.fractions(0, 1), st.sampled_from(["up", "renew"])
        ),
        max_size=6,
    )
)
def test_whatever_is_changed_when_no_more_comes_back_than_was_paid(
    steps: list[tuple[int, Fraction, Fraction, str]],
) -> None:
    with transaction.atomic():
        organization = Organization.objects.create(name="Alice")
        give_credit(organization, 10_000 * USD)
        paid_before, now = plans_account(), FIRST
        subscription = purchase.subscribe(organization.pk, plan("p0", 0, 20, 25), most_nanos=20 * USD, now=now)
        for number, (seconds, spent, held, what) in enumerate(steps, 1):
            now += timedelta(seconds=seconds)
            period = int(spent * subscription.terms["period_nanos"])
            if not subscription.windows.filter(opens_at=subscription.period_start, name="period").exists():
                use(subscription, period, held=int(held * (subscription.terms["period_nanos"] - period)))
            before, in_plans = available(organization), plans_account()
            if what == "up":
                price = 20 * (number + 1)
                larger = plan(f"p{number}", number, price, 30 * number)
                subscription = purchase.upgrade(organization.pk, larger, most_nanos=price * USD, now=now)
                assert 0 <= before - available(organization) <= price * USD
            elif what == "renew":
                renewal.renew(subscription.pk, now)
            subscription.refresh_from_db()
            assert available(organization) - before == in_plans - plans_account()
            if subscription.state == "ended":
                break
        Window.objects.filter(organization_id=organization.pk).update(held_nanos=0)
        for left in renewal.periods_to_credit():
            renewal.credit_what_was_left(left, now)
        for row in PlanPeriod.objects.filter(organization_id=organization.pk):
            assert 0 <= row.credit_nanos <= row.price_nanos
        assert 0 <= plans_account() - paid_before == 10_000 * USD - available(organization)
        books_agree(windows=False)
        transaction.set_rollback(True)
