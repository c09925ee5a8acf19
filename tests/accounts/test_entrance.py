"""Signing up, in and out, through the pages."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret, hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.core.cache import cache
from django.test import Client

from accounts import fallback_cache
from accounts.models import Membership, Organization, Project, User
from billing import ledger
from tests.accounts.conftest import PASSWORD

pytestmark = pytest.mark.django_db


def sign_up(client: Client, email: str = "new@example.com", password: str = PASSWORD) -> object:
    return client.post("/accounts/signup/", {"email": email, "password1": password})


def sign_in(client: Client, email: str = "alice@example.com", password: str = PASSWORD, **more: object) -> object:
    return client.post("/accounts/login/", {"login": email, "password": password, **more})


def totp_code(secret: str) -> str:
    counter = next(iter(yield_hotp_counters_from_time()))
    return f"{hotp_value(secret, counter):06}"


def test_signing_up_makes_organization_project_and_credit_and_shows_the_overview(client: Client) -> None:
    answer = sign_up(client)
    assert (answer.status_code, answer.url) == (302, "/overview")
    user = User.objects.get(email="new@example.com")
    organization = Organization.objects.get()
    assert organization.memberships.get(user=user).role == Membership.Role.OWNER
    assert (organization.name, Project.objects.get().name) == ("Personal", "Default")
    assert ledger.balance(organization.pk).available_nanos == 1_000_000_000
    assert client.session["_auth_user_id"] == str(user.pk)


def test_a_signup_that_fails_halfway_leaves_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("allauth.account.forms.setup_user_email", fail)
    with pytest.raises(RuntimeError):
        sign_up(client)
    assert not User.objects.exists()
    assert not Organization.objects.exists()


@pytest.mark.parametrize("password", ["rh7Fk2", "password123", "new@example.com"])
def test_a_weak_password_is_refused_with_a_reason(client: Client, password: str) -> None:
    answer = sign_up(client, password=password)
    assert answer.status_code == 200
    page = answer.content.decode()
    assert 'aria-invalid="true"' in page
    assert 'id="id_password1_error"' in page
    assert password not in re.sub(r'value="new@example.com"', "", page)
    assert not User.objects.exists()


def test_with_confirmation_an_address_in_use_looks_like_any_other(
    client: Client, alice: User, settings: object
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"  # type: ignore[attr-defined]
    settings.PUBLIC_URL = "https://router.example"  # type: ignore[attr-defined]
    new, used = sign_up(client), sign_up(Client(), "alice@example.com")
    assert (new.status_code, new.url) == (used.status_code, used.url) == (302, "/accounts/confirm-email/")
    assert User.objects.count() == 2
    to_new, to_alice = mail.outbox
    assert (to_new.to, to_alice.to) == (["new@example.com"], ["alice@example.com"])
    assert "https://router.example/accounts/password/reset/" in to_alice.body
    assert "testserver" not in to_new.subject + to_alice.subject


def test_confirming_the_address_lets_one_in(client: Client, settings: object) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"  # type: ignore[attr-defined]
    settings.PUBLIC_URL = "https://router.example"  # type: ignore[attr-defined]
    sign_up(client)
    assert client.get("/keys").status_code == 302
    link = re.search(r"https://router\.example(/accounts/confirm-email/\S+)", mail.outbox[0].body)
    assert link is not None
    assert client.get(link[1]).status_code == 200
    answer = client.post(link[1])
    assert (answer.status_code, answer.url) == (302, "/overview")
    assert client.get("/keys").status_code == 200
    assert EmailAddress.objects.get().verified


def test_signing_in_and_out(client: Client, alice: User) -> None:
    assert sign_in(client, "ALICE@example.com").url == "/overview"
    assert client.get("/accounts/logout/").status_code == 200
    assert client.post("/accounts/logout/").url == "/"
    assert client.get("/keys").url == "/accounts/login/?next=/keys"


def test_signing_in_leads_to_the_page_that_asked_but_never_to_a_foreign_one(client: Client, alice: User) -> None:
    assert sign_in(client, next="/keys").url == "/keys"
    assert sign_in(Client(), next="https://evil.example/").url == "/overview"


def test_a_wrong_password_and_an_unknown_user_look_the_same(client: Client, alice: User) -> None:
    def errors(email: str) -> list[str]:
        answer = sign_in(Client(), email, "wrong password")
        assert answer.status_code == 200
        return answer.context["form"].non_field_errors()

    assert errors("alice@example.com") == errors("nobody@example.com")
    assert errors("alice@example.com")


def test_guessing_a_password_is_limited_even_without_redis(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _guesses_until_blocked(alice) == 5
    for each in ("add", "get", "set", "delete"):
        monkeypatch.setattr(f"django_redis.cache.RedisCache.{each}", _unreachable)
    monkeypatch.setattr(fallback_cache._Outage, "until", 0.0)
    bob = User.objects.create_user("bob@example.com", PASSWORD)
    assert _guesses_until_blocked(bob) == 5
    cache._memory.clear()


def _unreachable(*_: object, **__: object) -> None:
    raise ConnectionError


def _guesses_until_blocked(user: User) -> int:
    for guess in range(20):
        page = sign_in(Client(REMOTE_ADDR="192.0.2.7"), user.email, "wrong password").context["form"]
        if "too_many_login_attempts" in {error.code for error in page.non_field_errors().as_data()}:
            return guess
    raise AssertionError("never blocked")


def test_signing_in_works_while_redis_is_away(client: Client, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("add", "get", "set", "delete"):
        monkeypatch.setattr(f"django_redis.cache.RedisCache.{each}", _unreachable)
    monkeypatch.setattr(fallback_cache._Outage, "until", 0.0)
    assert sign_in(client).url == "/overview"


def test_a_forgotten_password_is_set_anew(client: Client, alice: User, settings: object) -> None:
    settings.PUBLIC_URL = "https://router.example"  # type: ignore[attr-defined]
    for email in ("alice@example.com", "nobody@example.com"):
        answer = client.post("/accounts/password/reset/", {"email": email}, headers={"host": "evil.example"})
        assert (answer.status_code, answer.url) == (302, "/accounts/password/reset/done/")
    letter = next(m for m in mail.outbox if m.to == ["alice@example.com"]).body
    assert "evil.example" not in "".join(m.body + m.subject for m in mail.outbox)
    link = re.search(r"https://router\.example(/accounts/password/reset/key/\S+)", letter)
    assert link is not None
    form = client.get(link[1], follow=True)
    address = form.redirect_chain[-1][0]
    client.post(address, {"password1": "another long word", "password2": "another long word"})
    assert sign_in(Client(), password="another long word").url == "/overview"
    assert sign_in(Client()).status_code == 200


def test_staff_sign_in_on_the_customers_page_and_so_meet_the_second_factor(client: Client, settings: object) -> None:
    staff = User.objects.create_superuser("staff@example.com", PASSWORD)
    secret = generate_totp_secret()
    TOTP.activate(staff, secret)
    login = client.get("/admin/", follow=True).redirect_chain[-1][0]
    assert login.startswith("/accounts/login/?next=")
    assert client.post("/admin/login/", {"username": staff.email, "password": PASSWORD}).status_code == 302
    answer = sign_in(client, staff.email, next="/admin/")
    assert answer.url.startswith("/accounts/2fa/authenticate/")
    assert client.get("/admin/").status_code == 302
    assert client.get("/accounts/2fa/authenticate/").status_code == 200
    assert client.post("/accounts/2fa/authenticate/", {"code": totp_code(secret)}).url == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_customers_are_kept_out_of_the_admin(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/admin/", follow=True).status_code == 403


def test_a_second_factor_is_set_up_on_the_pages_and_stored_encrypted(client: Client, alice: User) -> None:
    sign_in(client)
    asked = client.get("/accounts/2fa/totp/activate/").url
    assert asked.startswith("/accounts/reauthenticate/")
    page = client.post(asked, {"password": PASSWORD}, follow=True)
    secret = page.context["form"].secret
    assert "data:image/svg+xml" in page.content.decode()
    assert client.post("/accounts/2fa/totp/activate/", {"code": totp_code(secret)}).status_code == 302
    stored = Authenticator.objects.get(type="totp").data["secret"]
    assert secret not in stored
    for path in ("", "recovery-codes/", "recovery-codes/generate/", "totp/deactivate/"):
        assert client.get(f"/accounts/2fa/{path}").status_code == 200, path


@pytest.mark.parametrize(
    "path", ["signup", "login", "password/reset", "password/reset/done", "confirm-email", "inactive"]
)
@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_public_page_is_there_without_inline_script_or_style(client: Client, path: str, language: str) -> None:
    page = client.get(f"/accounts/{path}/", headers={"accept-language": language})
    assert page.status_code == 200
    _has_no_inline(page.content.decode())


@pytest.mark.parametrize("path", ["email", "password/change", "2fa", "logout", "reauthenticate"])
def test_every_private_page_is_there_without_inline_script_or_style(client: Client, alice: User, path: str) -> None:
    sign_in(client)
    page = client.get(f"/accounts/{path}/")
    assert page.status_code == 200
    _has_no_inline(page.content.decode())


def _has_no_inline(page: str) -> None:
    assert not re.search(r"\sstyle=|\son[a-z]+=", page)
    scripts = re.findall(r"<script([^>]*)>", page)
    assert all("src=" in each or "application/json" in each for each in scripts)
