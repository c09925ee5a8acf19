"""Budgets of keys and projects, as their owners set and see them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.keys import create_key, revoke_key
from accounts.models import ApiKey, Project, User
from accounts.signup import create_organization
from billing.budgets import end_of, limits_of, set_budgets, uses_of
from billing.models.plans import Budget, Window

pytestmark = pytest.mark.django_db
DOLLAR = 1_000_000_000


@pytest.fixture
def carol(db: None) -> User:
    return User.objects.create_user("carol@example.com", "correct horse battery")


@pytest.fixture
def project(carol: User) -> Project:
    return create_organization(name="Carol's", owner=carol)[1]


@pytest.fixture
def key(project: Project) -> ApiKey:
    return create_key(project, "laptop")[0]


@pytest.fixture
def hers(client: Client, carol: User, key: ApiKey) -> Client:
    client.force_login(carol)
    return client


def window(budget: Budget, spent: int, held: int = 0, **more: Any) -> Window:
    now = timezone.now()
    values = {"opens_at": now - timedelta(hours=1), "closes_at": now + timedelta(hours=1)} | more
    return Window.objects.create(
        organization_id=budget.organization_id,
        kind="budget",
        budget=budget,
        name=budget.period,
        limit_nanos=budget.limit_nanos,
        spent_nanos=spent,
        held_nanos=held,
        **values,
    )


def test_budgets_are_set_changed_and_taken_away(key: ApiKey, project: Project) -> None:
    set_budgets(key, {"day": 2 * DOLLAR, "total": 50 * DOLLAR})
    set_budgets(project, {"month": 9 * DOLLAR})
    assert limits_of(key) == {"day": 2 * DOLLAR, "total": 50 * DOLLAR}
    assert limits_of(project) == {"month": 9 * DOLLAR}
    set_budgets(key, {"day": 3 * DOLLAR, "total": None})
    assert limits_of(key) == {"day": 3 * DOLLAR}
    assert Budget.objects.get(api_key=key).organization_id == project.organization_id


@pytest.mark.parametrize("wrong", [{"day": 0}, {"day": -1}, {"year": 5}])
def test_a_budget_that_cannot_be_is_refused(key: ApiKey, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive amount"):
        set_budgets(key, wrong)


def test_what_was_spent_still_counts_when_the_limit_changes(key: ApiKey) -> None:
    set_budgets(key, {"day": 2 * DOLLAR})
    budget = Budget.objects.get()
    running = window(budget, DOLLAR)
    past = window(budget, DOLLAR, opens_at=timezone.now() - timedelta(days=2), closes_at=timezone.now())
    set_budgets(key, {"day": 4 * DOLLAR})
    running.refresh_from_db()
    past.refresh_from_db()
    assert (running.limit_nanos, running.spent_nanos, past.limit_nanos) == (4 * DOLLAR, DOLLAR, 2 * DOLLAR)
    (use,) = uses_of(key)
    assert (use.spent_nanos, use.limit_nanos, use.percent) == (DOLLAR, 4 * DOLLAR, 25)
    assert use.resets_at == running.closes_at


def test_a_reserved_amount_is_shown_apart_and_an_old_window_not_at_all(key: ApiKey) -> None:
    set_budgets(key, {"day": 10 * DOLLAR, "week": 10 * DOLLAR, "total": DOLLAR})
    day, week, total = (Budget.objects.get(period=period) for period in ("day", "week", "total"))
    window(day, 9 * DOLLAR, 5 * DOLLAR)
    window(week, 8 * DOLLAR, closes_at=timezone.now() - timedelta(minutes=1))
    window(total, 2 * DOLLAR, closes_at=None)
    uses = {use.period: use for use in uses_of(key)}
    assert list(uses) == ["day", "week", "total"]
    assert (uses["day"].percent, uses["day"].reserved_percent) == (90, 10)
    assert uses["week"].spent_nanos == 0 and uses["week"].resets_at is not None
    assert (uses["total"].percent, uses["total"].resets_at) == (100, None)


@pytest.mark.parametrize(
    ("period", "now", "zone", "ends"),
    [
        ("day", "2026-03-01T15:59:00+00:00", "Asia/Shanghai", "2026-03-01T16:00:00+00:00"),
        ("day", "2026-03-01T16:00:00+00:00", "Asia/Shanghai", "2026-03-02T16:00:00+00:00"),
        ("week", "2026-03-01T15:59:00+00:00", "Asia/Shanghai", "2026-03-01T16:00:00+00:00"),  # a Sunday evening
        ("week", "2026-03-02T00:00:00+00:00", "UTC", "2026-03-09T00:00:00+00:00"),
        ("month", "2026-12-31T23:00:00+00:00", "UTC", "2027-01-01T00:00:00+00:00"),
        ("month", "2026-01-31T12:00:00+00:00", "UTC", "2026-02-01T00:00:00+00:00"),
        ("day", "2026-03-29T00:30:00+00:00", "Europe/Berlin", "2026-03-29T22:00:00+00:00"),  # 23 hours long
    ],
)
def test_periods_end_in_the_time_zone_of_the_organization(period: str, now: str, zone: str, ends: str) -> None:
    end = end_of(period, datetime.fromisoformat(now), zone)
    assert end is not None and end.astimezone(UTC).isoformat() == ends
    assert end_of("total", datetime.fromisoformat(now), zone) is None


def test_the_page_of_a_key_shows_and_sets_them(hers: Client, key: ApiKey) -> None:
    assert "Save the budgets" in hers.get(f"/keys/{key.pk}").content.decode()
    answer = hers.post(f"/keys/{key.pk}/budgets", {"day": "2.50", "month": "", "total": "100"})
    assert (answer.status_code, answer.url) == (302, f"/keys/{key.pk}")
    assert limits_of(key) == {"day": 2_500_000_000, "total": 100 * DOLLAR}
    window(Budget.objects.get(period="day"), 2 * DOLLAR, DOLLAR // 4)
    page = hers.get(f"/keys/{key.pk}").content.decode()
    assert "$2.00 of $2.50 spent" in page and "$0.25 reserved" in page and 'value="2.50"' in page
    assert "never resets" in page


def test_the_page_of_a_project_too(hers: Client, project: Project) -> None:
    answer = hers.post(f"/projects/{project.pk}/budgets", {"week": "7"})
    assert answer.url == f"/projects/{project.pk}"
    assert limits_of(project) == {"week": 7 * DOLLAR}
    assert "$0.00 of $7.00 spent" in hers.get(f"/projects/{project.pk}").content.decode()


@pytest.mark.parametrize("wrong", ["-1", "0", "1.001", "much", "1e12", "NaN"])
def test_a_wrong_amount_is_named_at_its_field_and_changes_nothing(hers: Client, key: ApiKey, wrong: str) -> None:
    set_budgets(key, {"day": DOLLAR})
    answer = hers.post(f"/keys/{key.pk}/budgets", {"day": "5", "week": wrong})
    assert answer.status_code == 200
    assert 'id="budget-week_error"' in answer.content.decode()
    assert limits_of(key) == {"day": DOLLAR}


def test_nobody_sets_budgets_of_others(hers: Client, key: ApiKey) -> None:
    other = create_organization(name="Dave's", owner=None)[1]
    foreign = create_key(other, "daves")[0]
    assert hers.post(f"/keys/{foreign.pk}/budgets", {"day": "1"}).status_code == 404
    assert hers.post(f"/projects/{other.pk}/budgets", {"day": "1"}).status_code == 404
    revoke_key(key)
    assert hers.post(f"/keys/{key.pk}/budgets", {"day": "1"}).url == "/keys"
    assert not Budget.objects.exists()


def test_amounts_are_exact(hers: Client, key: ApiKey) -> None:
    hers.post(f"/keys/{key.pk}/budgets", {"day": "0.29"})
    assert limits_of(key) == {"day": 290_000_000}
    assert Decimal(hers.get(f"/keys/{key.pk}/budgets").context["form"]["day"].value()) == Decimal("0.29")
