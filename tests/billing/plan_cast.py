"""What the tests of plans share: small plans, money, and use of a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import connection

from accounts.models import Organization
from billing import grants, ledger, proof
from billing.models.plans import Plan, Subscription, Window

USD = 1_000_000_000
FIRST = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
MONTH = timedelta(days=30)
DAY = timedelta(days=1)


def plan(slug: str, rank: int, price: int, period: int, **values: Any) -> Plan:
    """A plan with amounts in whole dollars, made or brought to these values."""
    columns = {
        "name": slug.title(),
        "rank": rank,
        "price_nanos": price * USD,
        "period_days": 30,
        "covered_models": ["maker/*"],
        "five_hours_nanos": period * USD // 10,
        "seven_days_nanos": period * USD // 3,
        "period_nanos": period * USD,
        "is_sold": True,
    }
    return Plan.objects.update_or_create(slug=slug, defaults=columns | values)[0]


def give_credit(organization: Organization, nanos: int) -> None:
    grants.grant_credit(organization, nanos, reason="test", idempotency_key=str(uuid4()))


def available(organization: Organization) -> int:
    return ledger.balance(organization.pk).available_nanos


def epoch(organization: Organization) -> int:
    with connection.cursor() as cur:
        cur.execute(
            "SELECT epoch FROM billing_ledgeraccount WHERE organization_id = %s AND kind = 'wallet'", [organization.pk]
        )
        return int(cur.fetchone()[0])


def use(subscription: Subscription, spent: int, *, held: int = 0, name: str = "period", **times: Any) -> Window:
    """Allowance that was spent, as if requests had been settled. No holds or charges stand behind it."""
    opens_at = times.get("opens_at", subscription.period_start)
    ends = {"period": subscription.period_end, "five_hours": opens_at + timedelta(hours=5)}
    return Window.objects.create(
        organization_id=subscription.organization_id,
        kind="plan",
        subscription=subscription,
        name=name,
        limit_nanos=subscription.terms[f"{name}_nanos"],
        spent_nanos=spent,
        held_nanos=held,
        opens_at=opens_at,
        closes_at=times.get("closes_at", ends.get(name, opens_at + 7 * DAY)),
    )


def books_agree(*, windows: bool = True) -> None:
    """`windows=False` where a test has made use up."""
    problems = [one for one in proof.check() if windows or not one.startswith("window whose")]
    assert problems == []


def plans_account() -> int:
    with connection.cursor() as cur:
        cur.execute("SELECT COALESCE(SUM(posted_nanos), 0) FROM billing_ledgeraccount WHERE kind = 'plans'")
        return int(cur.fetchone()[0])
