"""A project's routing by keyboard: weights with their live ranking, a rule, and the order of rules."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, expect

from routing.models import ProjectRouting
from tests.scenarios.conftest import Customer, Stack


def sign_in(page: Page, customer: Customer) -> None:
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(customer.email)
    page.locator("input[type=password]").fill("a long password 1")
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/overview")


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_weights_are_tried_and_saved(page: Page, stack: Stack) -> None:
    customer = stack.customer()
    sign_in(page, customer)
    page.goto("/routing")
    expect(page.get_by_role("radio", name="Balanced")).to_be_checked()
    expect(page.locator("#ranking .rank > li").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.get_by_role("radio", name="Cheapest").press("Space")
    expect(page.locator("output[for=r-cost_weight]")).to_have_text("85%")
    with page.expect_response("**/routing/ranking?**") as fetched:
        page.get_by_role("slider", name="Speed").press("ArrowRight")
    assert fetched.value.ok
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    with page.expect_response(lambda answer: "preview_model=sandbox%2Fflaky" in answer.url):
        page.locator("#preview_model").select_option("sandbox/flaky")
    expect(page.locator("#ranking .rank > li")).to_have_count(2)

    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_text("Saved. The next request is routed by it.")).to_be_visible()
    stored = ProjectRouting.objects.get(project_id=customer.project_id)
    assert (stored.preset, stored.latency_weight, stored.cost_weight) == ("custom", 15, 85)


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_rules_are_written_and_ordered_with_the_keyboard(page: Page, stack: Stack) -> None:
    customer = stack.customer()
    sign_in(page, customer)
    for name in ("first", "second"):
        page.goto(f"/projects/{customer.project_id}/routing")
        page.locator("#rules").get_by_role("link", name="Add").first.press("Enter")
        page.get_by_label("Name").fill(name)
        page.get_by_role("button", name="Save").press("Enter")
        expect(page.get_by_text("Say what the rule does")).to_be_visible()
        page.get_by_label("Use these models instead").fill("sandbox/echo")
        page.get_by_text("At certain times").press("Enter")
        page.get_by_label("Mon").check()
        page.get_by_role("button", name="Save").press("Enter")
        expect(page.get_by_text("The rule is added")).to_be_visible()
    expect(page.locator(".rule-list b")).to_have_text(["first", "second"])
    page.get_by_role("button", name="Move second up").press("Enter")
    expect(page.locator(".rule-list b")).to_have_text(["second", "first"])
    expect(page.get_by_role("button", name="Move second up")).to_be_focused()
    page.get_by_role("button", name="Switch off").first.press("Enter")
    expect(page.get_by_role("button", name="Switch on")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    compiled = json.loads(ProjectRouting.objects.get(project_id=customer.project_id).compiled)
    assert [rule["name"] for rule in compiled["rules"]] == ["first"]


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_what_if_fits_its_screen(page: Page, stack: Stack) -> None:
    customer = stack.customer()
    client = stack.openai(customer)
    for model in ("sandbox/echo", "sandbox/flaky"):
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "go"}], max_tokens=50)
    stack.until(lambda: stack.wallet(customer)[1] == 0)
    sign_in(page, customer)
    page.goto(f"/projects/{customer.project_id}/what-if")
    expect(page.get_by_role("heading", name="Against what happened")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
