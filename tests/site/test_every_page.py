from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urldefrag

import pytest
from django.contrib.staticfiles import finders
from django.test import Client

from tests.site.markup import Markup

pytestmark = pytest.mark.django_db
MORE = ("/accounts/login/", "/accounts/password/reset/", "/zh/", "/nothing-here")
MORE_SIGNED_IN = (
    "/keys/new",
    "/accounts/email/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/accounts/2fa/totp/activate/",
    "/accounts/logout/",
    "/logs?span=all&result=failed",
)


def crawl(client: Client, starts: Iterable[str]) -> dict[str, Markup]:
    """Every page of ours that can be reached by links, and what is in it."""
    found: dict[str, Markup] = {}
    todo = list(starts)
    while todo:
        path = todo.pop()
        if path in found or len(found) > 150:
            continue
        answer = client.get(path)
        if answer.status_code in (301, 302):
            todo.append(answer.headers["Location"])
            continue
        assert answer.status_code == (404 if path == "/nothing-here" else 200), path
        assert "Content-Security-Policy" in answer.headers
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        found[path] = Markup(path, answer.content.decode())
        todo += sorted(found[path].links)
    return found


@pytest.fixture
def pages(client: Client, catalogue: None) -> dict[str, Markup]:
    return crawl(client, ["/", *MORE])


@pytest.fixture
def own_pages(signed_in: Client, catalogue: None) -> dict[str, Markup]:
    return crawl(signed_in, ["/overview", *MORE_SIGNED_IN])


def check(pages: dict[str, Markup]) -> None:
    icons = set(re.findall(r'id="([^"]+)"', _asset("img/icons.svg")))
    for path, page in pages.items():
        assert page.refused == [], path
        assert sorted({one for one in page.ids if page.ids.count(one) > 1}) == [], path
        for asset in page.assets:
            address, fragment = urldefrag(asset)
            assert finders.find(address.removeprefix("/static/")), (path, asset)
            assert not fragment or fragment in icons, (path, asset)


def _asset(name: str) -> str:
    found = finders.find(name)
    assert isinstance(found, str)
    return Path(found).read_text()


def test_nothing_on_a_public_page_is_refused_by_the_content_security_policy(pages: dict[str, Markup]) -> None:
    assert {"/docs", "/models", "/zh/docs", "/zh/models/sandbox/echo", "/accounts/signup/"} <= set(pages)
    check(pages)


def test_nothing_on_a_page_of_a_customer_is_refused_by_it(own_pages: dict[str, Markup]) -> None:
    assert {"/overview", "/keys", "/logs", "/wallet", "/projects", "/settings", "/accounts/2fa/"} <= set(own_pages)
    check(own_pages)


def test_what_a_page_loads_can_be_loaded(client: Client) -> None:
    """By the middleware that serves them in production too, not only by the finders of development."""
    for name in ("css/tokens.css", "css/components.css", "js/app.js", "js/theme.js", "js/htmx.min.js", "img/logo.svg"):
        assert client.get(f"/static/{name}").status_code == 200, name


def test_public_pages_in_chinese_stay_in_chinese(pages: dict[str, Markup]) -> None:
    for path in ("/zh/", "/zh/docs", "/zh/models"):
        left = {link for link in pages[path].links if not link.startswith(("/zh/", "/accounts/", "/keys"))}
        assert left == set(), path
