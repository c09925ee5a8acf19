"""The main job, as a newcomer does it: sign up, make a key, call a model, see it logged and charged."""

from __future__ import annotations

import re
import secrets

import pytest
from playwright.sync_api import Page, expect

from tests.scenarios.conftest import Stack


@pytest.mark.parametrize("page", ["desktop", "phone"], indirect=True)
def test_from_sign_up_to_the_smaller_balance(page: Page, stack: Stack) -> None:
    page.goto("/")
    page.get_by_role("link", name="Create an API key").first.click()
    page.get_by_label("Email").fill(f"{secrets.token_hex(6)}@example.com")
    page.locator("input[type=password]").fill("a long enough passphrase")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/overview")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("$1.00")  # the trial credit

    page.goto("/keys")
    page.get_by_role("link", name="New key").first.click()
    dialog = page.locator("dialog[open]")
    dialog.locator("input[name=name]").fill("my-laptop")
    dialog.get_by_role("button", name="Make key").click()
    shown = page.locator("#made-key")
    expect(shown).to_be_visible()
    key = shown.inner_text().strip()
    assert re.fullmatch(r"sk-ro-[0-9A-Za-z]{34,}", key)
    page.goto("/keys")
    expect(page.get_by_text("my-laptop").first).to_be_visible()
    assert key not in page.content()  # shown once

    page.goto("/overview")
    expect(page.get_by_text("listening")).to_be_visible()
    messages = [{"role": "user", "content": "Hello from the browser test"}]
    stack.openai(key).chat.completions.create(model="sandbox/exact", messages=messages, max_tokens=2000)  # type: ignore[arg-type]
    stack.settle()
    expect(page.get_by_text("listening")).to_have_count(0, timeout=10_000)  # noticed by itself

    page.goto("/logs")
    row = page.locator("tbody tr").first
    expect(row).to_contain_text("sandbox/exact")
    expect(row).to_contain_text("$0.02")
    row.get_by_role("link").first.click()
    expect(page.get_by_text("Charged").last).to_be_visible()
    page.goto("/wallet")
    expect(page.locator("main")).to_contain_text("$0.98")


def test_a_revoked_key_is_refused_within_a_second(page: Page, stack: Stack) -> None:
    customer = stack.customer()
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(customer.email)
    page.locator("input[type=password]").fill("a long password 1")
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/overview")
    client = stack.openai(customer)
    client.models.list()
    page.goto("/keys")
    page.get_by_role("button", name="Revoke").or_(page.get_by_role("link", name="Revoke")).first.click()
    page.locator("dialog[open]").get_by_role("button", name=re.compile("Revoke")).click()
    expect(page.get_by_text("Revoked").first).to_be_visible()
    stack.until(lambda: _refused(stack, customer.key), timeout_s=5)


def _refused(stack: Stack, key: str) -> bool:
    import openai

    try:
        stack.openai(key).models.list()
    except openai.AuthenticationError as refused:
        return refused.code == "api_key_revoked"
    return False
