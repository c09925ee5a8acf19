"""A customer takes a plan with the keyboard; the plan then pays for a request, and the page shows it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.billing.plan_cast import USD, plan
from tests.scenarios.conftest import Stack


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_a_plan_is_taken_and_pays(page: Page, stack: Stack) -> None:
    plan("browser", 1, 3, 10, name="Browser", covered_models=["sandbox/*"], five_hours_nanos=5 * USD)
    customer = stack.customer("5")
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(customer.email)
    page.locator("input[type=password]").fill("a long password 1")
    page.locator("input[type=password]").press("Enter")
    page.wait_for_url("**/overview")

    page.goto("/plans")
    page.get_by_role("link", name="Take Browser").press("Enter")
    expect(page.locator(".receipt .sum")).to_contain_text("$3.00")
    page.get_by_role("button", name="Pay $3.00").press("Enter")
    page.wait_for_url("**/plans")
    expect(page.get_by_text("Browser is in force.")).to_be_visible()
    expect(page.get_by_text("The running plan")).to_be_visible()

    messages = [{"role": "user", "content": "Hello from the browser test"}]
    stack.openai(customer).chat.completions.create(model="sandbox/exact", messages=messages, max_tokens=2000)  # type: ignore[arg-type]
    assert stack.wallet(customer) == (2 * USD, 0)  # the plan paid, not the wallet
    page.goto("/plans")
    expect(page.locator(".panel:has(#yours)")).to_contain_text(re.compile(r"\$0\.0[1-9] / \$5\.00"))
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    page.get_by_role("link", name="Cancel the plan").press("Enter")
    page.get_by_role("button", name="Cancel the plan").press("Enter")
    expect(page.get_by_role("button", name="Let it renew")).to_be_visible()
    stack.assert_ledger_holds()
