from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def directives(client: Client, path: str) -> dict[str, set[str]]:
    policy = client.get(path).headers["Content-Security-Policy"]
    return {words[0]: set(words[1:]) for words in (part.split() for part in policy.split(";"))}


@pytest.mark.parametrize("path", ["/", "/docs", "/models", "/accounts/login/", "/nothing-here", "/zh/", "/robots.txt"])
def test_pages_take_scripts_and_styles_from_us_alone(client: Client, path: str) -> None:
    policy = directives(client, path)
    for name in ("default-src", "script-src", "style-src", "connect-src", "form-action"):
        assert policy[name] == {"'self'"}, name
    for name in ("object-src", "base-uri", "frame-ancestors"):
        assert policy[name] == {"'none'"}, name


def test_the_admin_may_style_itself_but_not_bring_scripts(client: Client) -> None:
    policy = directives(client, "/admin/login/")
    assert "'unsafe-inline'" in policy["style-src"]
    assert "'unsafe-inline'" not in policy["script-src"]


def test_a_path_that_only_looks_like_the_admin_is_strict(client: Client) -> None:
    assert "'unsafe-inline'" not in directives(client, "/zh/admin/")["style-src"]


def test_browsers_do_not_guess_types_or_hand_out_devices(client: Client) -> None:
    headers = client.get("/").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]
    assert headers["Referrer-Policy"] == "strict-origin-when-cross-origin"
