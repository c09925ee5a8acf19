"""The staff pages of routing: they fit their screens, a deployment is tested by a click, and much is ticked at once."""

from __future__ import annotations

import json
import re

import pytest
import redis
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from routing import uploads
from routing.live_health import KEY
from routing.models import Check, Deployment
from tests.scenarios.conftest import Stack
from tests.scenarios.processes import ROOT

FITS = "document.documentElement.scrollWidth <= window.innerWidth"
BOARD = "/admin/routing/provider/board/"


@pytest.fixture
def staff(page: Page, stack: Stack) -> Page:
    email = stack.customer("0").email
    User.objects.filter(email=email).update(is_staff=True, is_superuser=True)
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(email)
    page.locator("input[type=password]").fill("a long password 1")
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/overview")
    return page


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_the_board_fits_its_screen_and_asks_for_a_test(staff: Page, stack: Stack) -> None:
    staff.goto(f"{BOARD}?q=sandbox/echo")
    expect(staff.get_by_role("link", name="sandbox/echo", exact=True)).to_be_visible()
    assert staff.evaluate(FITS)
    row = staff.locator("tr", has=staff.get_by_role("link", name="sandbox/echo", exact=True))
    row.get_by_role("button", name="Test").press("Enter")
    expect(row.get_by_text(re.compile("waiting for the worker|answered"))).to_be_visible()
    deployment = Deployment.objects.get(provider__slug="sandbox", model__slug="sandbox/echo")
    staff.goto(f"{BOARD}deployment/{deployment.pk}/out/")
    assert staff.evaluate(FITS)
    staff.get_by_role("link", name="Cancel").press("Enter")
    staff.wait_for_url(f"**{BOARD}")


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_the_board_fits_with_all_that_it_may_have_to_say(staff: Page) -> None:
    deployment = Deployment.objects.get(provider__slug="sandbox", model__slug="sandbox/reasoning-anthropic")
    ended = {"ended_at": timezone.now(), "error_class": "first_byte_timeout", "status": 503}
    Check.objects.create(deployment=deployment, kind=Check.Kind.TEST, **ended)
    with redis.Redis.from_url(settings.REDIS_URL) as store:
        store.hset(
            KEY, str(deployment.pk), json.dumps([1.4, 118_000.0, 0.45, 50_000, 50_000, 0.5, "half_open", 90_000])
        )
        staff.goto(f"{BOARD}?q=reasoning-anthropic")
        expect(staff.get_by_text("being tried again")).to_be_visible()
        expect(staff.get_by_text("no answer in time")).to_be_visible()
        assert staff.evaluate(FITS)
        assert staff.evaluate("[...document.querySelectorAll('.r1-scroll')].every(e => e.scrollWidth <= e.clientWidth)")
        store.hdel(KEY, str(deployment.pk))
        Check.objects.all().delete()


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_a_reviewed_catalogue_is_ticked_at_once_but_for_large_moves(staff: Page, stack: Stack) -> None:
    named = {path.name: json.loads(path.read_text()) for path in (ROOT / "routing/data/sandbox").glob("*.json")}
    cards = [
        card
        for model in named["models.json"]["models"]
        for offering in model["offerings"]
        for card in offering["price_cards"]
    ]
    for number, card in enumerate(cards):
        factor = 3 if number == 0 else 1.1
        card["rates"] = {name: f"{float(rate) * factor:.4f}" for name, rate in card["rates"].items()}
    upload = uploads.keep("browser", named, None)
    staff.goto(f"/admin/routing/catalogueupload/{upload.pk}/change/")
    assert staff.evaluate(FITS)
    marked = staff.locator("input[data-marked]").count()
    staff.get_by_role("button", name="Tick all but the marked").press("Enter")
    prices = staff.locator("[data-group]", has_text="Changed prices").locator("input[name=key]")
    assert 0 < marked < prices.count()
    expect(prices.and_(staff.locator(":checked"))).to_have_count(prices.count() - marked)
    assert staff.locator("input[data-marked]:checked").count() == 0
