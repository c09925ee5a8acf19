"""Pages in the system's Chromium, against the running product of `stack`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.scenarios.conftest import Stack

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # root may run the tests
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Without one the browser tests are skipped, or fail where CI=true."""
    chosen = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if chosen:
        return chosen
    message = "no Chromium: install it, or name one with CHROMIUM=/path; the browser tests did not run"
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")  # closed with its module: Playwright keeps an event loop running in this thread
def browser(chromium: str) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch:
        # Playwright runs an event loop in this thread, and Django would refuse the ORM in it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        with sync_playwright() as playwright:
            found = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(ARGUMENTS))
            yield found
            found.close()


# What htmx says of a request that was under way when the visitor went on, or that a newer one replaced.
_GIVEN_UP = ("htmx:sendAbort", "htmx:afterRequest")


def _is_problem(line: ConsoleMessage) -> bool:
    return line.type == "error" and not line.text.startswith(_GIVEN_UP)


@pytest.fixture(params=["desktop"])
def page(browser: Browser, stack: Stack, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A fresh visitor. Fails the test if a script broke or the Content-Security-Policy blocked something."""
    problems: list[str] = []
    context = browser.new_context(
        base_url=stack.url, viewport=PHONE if request.param == "phone" else DESKTOP, locale="en-GB"
    )
    visitor = context.new_page()
    visitor.on("pageerror", lambda error: problems.append(str(error)))
    visitor.on("console", lambda line: problems.append(line.text) if _is_problem(line) else None)
    yield visitor
    context.close()
    assert problems == []
