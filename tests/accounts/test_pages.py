"""Keys, projects and settings, as a signed-in user meets them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.key_format import looks_valid
from accounts.keys import create_key, revoke_key
from accounts.models import ApiKey, Organization, Project, User
from accounts.signup import create_organization

pytestmark = pytest.mark.django_db
KEY = re.compile(r"sk-ro-[0-9A-Za-z]{40}")
TAGS = re.compile(r"<[^>]+>")


@pytest.fixture
def hers(client: Client, alice: User, organization: Organization) -> Client:
    client.force_login(alice)
    return client


def form_of(client: Client) -> dict[str, str]:
    form = client.get("/keys/new").context["form"]
    return {"form_id": str(form["form_id"].value()), "project": str(form["project"].value()), "name": "laptop"}


def test_pages_ask_for_a_log_in(client: Client) -> None:
    for path in ("/keys", "/keys/new", "/keys/1", "/keys/1/revoke", "/projects", "/projects/1", "/settings"):
        answer = client.get(path)
        assert (answer.status_code, answer.url) == (302, f"/accounts/login/?next={path}")


def test_without_keys_the_page_says_what_to_do(hers: Client) -> None:
    page = hers.get("/keys").content.decode()
    assert "No keys yet" in page
    assert "Make the first key" in page


def test_a_new_key_is_shown_once_and_kept_nowhere(hers: Client) -> None:
    answer = hers.post("/keys/new", form_of(hers))
    page = answer.content.decode()
    (raw,) = set(KEY.findall(page))
    assert looks_valid(raw)
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    plain = TAGS.sub("", page)
    for line in ("OpenAI(", f"export ANTHROPIC_AUTH_TOKEN={raw}", f"export ROUTER_ONE_API_KEY={raw}", "curl http"):
        assert line in plain, line
    assert not KEY.search(hers.get("/keys").content.decode())
    assert raw not in str([session.get_decoded() for session in Session.objects.all()])
    assert raw not in str(hers.cookies)


def test_reloading_the_page_that_shows_a_key_makes_no_second_one(hers: Client) -> None:
    form = form_of(hers)
    hers.post("/keys/new", form)
    again = hers.post("/keys/new", form)
    assert (again.status_code, again.url) == (302, "/keys")
    assert ApiKey.objects.count() == 1
    assert "was made already" in hers.get("/keys").content.decode()


def test_in_the_dialog_the_key_comes_with_the_new_list(hers: Client) -> None:
    form = form_of(hers)
    page = hers.post("/keys/new", form, headers={"hx-request": "true"}).content.decode()
    assert "<html" not in page
    assert KEY.search(page)
    assert 'id="key-list" hx-swap-oob="true"' in page
    again = hers.post("/keys/new", form, headers={"hx-request": "true"})
    assert again["HX-Redirect"] == "/keys"


def test_limit_and_expiry_are_kept(hers: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(timezone="Asia/Shanghai")
    day = timezone.localdate() + timedelta(days=7)
    hers.post("/keys/new", form_of(hers) | {"requests_per_minute": "30", "expires_on": day.isoformat()})
    key = ApiKey.objects.get()
    assert key.requests_per_minute == 30
    assert key.expires_at is not None
    assert key.expires_at.isoformat() == f"{day.isoformat()}T16:00:00+00:00"  # midnight at its end in Shanghai
    assert key.created_by == alice


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"requests_per_minute": "0"},
        {"expires_on": "2020-01-01"},
        {"form_id": "x"},
        {"project": "0"},
        {"models": "gpt-4o"},
    ],
)
def test_a_wrong_form_is_shown_again(hers: Client, wrong: dict[str, str]) -> None:
    answer = hers.post("/keys/new", form_of(hers) | wrong)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not ApiKey.objects.exists()


def test_the_list_shows_every_state(hers: Client, project: Project) -> None:
    create_key(project, "works")
    old, _raw = create_key(project, "old")
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(days=1))
    gone, _raw = create_key(project, "gone")
    revoke_key(gone)
    archived = Project.objects.create(organization=project.organization, name="Past")
    create_key(archived, "shelved")
    Project.objects.filter(pk=archived.pk).update(archived_at=timezone.now())
    answer = hers.get("/keys")
    states = {row["key"].name: row["state"] for row in answer.context["rows"]}
    assert states == {"works": "active", "old": "expired", "gone": "revoked", "shelved": "archived"}
    page = answer.content.decode()
    assert all(word in page for word in ("Active", "Expired", "Revoked", "Project archived"))
    assert f"sk-ro-…{gone.last_four}" in page


def test_a_key_is_limited_to_models_and_the_list_says_so(hers: Client) -> None:
    assert "All models" not in hers.get("/keys").content.decode()
    hers.post("/keys/new", form_of(hers) | {"models": "Anthropic/*, openai/gpt-4o\n\nopenai/gpt-4o-mini"})
    key = ApiKey.objects.get()
    assert key.allowed_models == ["anthropic/*", "openai/gpt-4o", "openai/gpt-4o-mini"]
    page = hers.get("/keys").content.decode()
    assert "anthropic/*" in page and "and 1 more" in page and "All models" not in page


def test_a_key_that_names_no_maker_is_told_how_to(hers: Client) -> None:
    page = hers.post("/keys/new", form_of(hers) | {"models": "gpt-4o"}).content.decode()
    assert "“gpt-4o” lacks its maker: write maker/gpt-4o, or */gpt-4o for any maker." in page


def test_a_key_is_edited(hers: Client, project: Project) -> None:
    expires_at = timezone.now() + timedelta(days=3, minutes=7)
    key, _raw = create_key(project, "laptop", expires_at=expires_at, allowed_models=["openai/*"])
    form = hers.get(f"/keys/{key.pk}").context["form"]
    values = {name: form[name].value() or "" for name in form.fields}
    assert values["models"] == "openai/*"
    assert hers.post(f"/keys/{key.pk}", values | {"name": "phone", "requests_per_minute": "9"}).url == "/keys"
    key.refresh_from_db()
    assert (key.name, key.requests_per_minute, key.expires_at) == ("phone", 9, expires_at)
    hers.post(f"/keys/{key.pk}", values | {"models": "", "expires_on": ""})
    key.refresh_from_db()
    assert (key.allowed_models, key.expires_at) == ([], None)
    assert hers.post(f"/keys/{key.pk}", values | {"models": "?"}).context["form"].errors


def test_an_expired_key_can_be_renamed_and_brought_back(hers: Client, project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(days=3))
    values = {"name": "phone", "expires_on": hers.get(f"/keys/{key.pk}").context["form"]["expires_on"].value()}
    assert hers.post(f"/keys/{key.pk}", values).status_code == 302
    tomorrow = timezone.localdate() + timedelta(days=1)
    hers.post(f"/keys/{key.pk}", values | {"expires_on": tomorrow.isoformat()})
    key.refresh_from_db()
    assert key.expires_at is not None and key.expires_at > timezone.now()


def test_a_revoked_key_has_nothing_to_edit(hers: Client, project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    revoke_key(key)
    assert hers.post(f"/keys/{key.pk}", {"name": "again"}).url == "/keys"
    page = hers.get("/keys").content.decode()
    assert "laptop is revoked and cannot be changed." in page and f'href="/keys/{key.pk}"' not in page


def test_a_project_is_made_strict(hers: Client, project: Project) -> None:
    page = hers.get(f"/projects/{project.pk}").content.decode()
    assert "x-router-dropped" in page and "checked" not in page
    hers.post(f"/projects/{project.pk}", {"name": "Default", "strict_translation": "on"})
    project.refresh_from_db()
    assert project.strict_translation
    assert "checked" in hers.get(f"/projects/{project.pk}").content.decode()


def test_revoking_asks_first(hers: Client, project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    assert "Revoke laptop?" in hers.get(f"/keys/{key.pk}/revoke").content.decode()
    key.refresh_from_db()
    assert key.revoked_at is None
    assert hers.post(f"/keys/{key.pk}/revoke").url == "/keys"
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_nobody_reaches_what_is_not_theirs(hers: Client, bob: User) -> None:
    foreign = Project.objects.get(organization__memberships__user=bob)
    key, _raw = create_key(foreign, "bobs")
    assert "bobs" not in hers.get("/keys").content.decode()
    assert hers.post(f"/keys/{key.pk}/revoke").status_code == 404
    assert hers.post(f"/keys/{key.pk}", {"name": "mine"}).status_code == 404
    assert hers.post("/keys/new", form_of(hers) | {"project": str(foreign.pk)}).context["form"].errors
    for path in (f"/projects/{foreign.pk}", f"/projects/{foreign.pk}/archive"):
        assert hers.post(path, {"name": "Mine"}).status_code == 404
    key.refresh_from_db()
    foreign.refresh_from_db()
    assert (key.revoked_at, foreign.name, foreign.archived_at) == (None, "Default", None)


def test_somebody_of_no_organization_is_told_so(client: Client, alice: User) -> None:
    client.force_login(alice)
    assert client.get("/keys").status_code == 403
    assert client.get("/settings").status_code == 200


def test_projects_are_made_renamed_and_archived(hers: Client, project: Project) -> None:
    assert hers.post("/projects", {"name": "Bot"}).url == "/projects"
    bot = Project.objects.get(name="Bot")
    hers.post(f"/projects/{bot.pk}", {"name": "Robot"})
    hers.post(f"/projects/{project.pk}/archive")
    project.refresh_from_db()
    assert project.archived_at is not None
    page = hers.get("/projects").content.decode()
    assert "Robot" in page and "Archived" in page
    assert list(hers.get("/keys/new").context["form"].fields["project"].queryset) == [bot]
    assert hers.get(f"/projects/{bot.pk}").status_code == 200


def test_the_last_project_stays(hers: Client, project: Project) -> None:
    hers.post(f"/projects/{project.pk}/archive")
    project.refresh_from_db()
    assert project.archived_at is None


def test_an_empty_name_is_refused(hers: Client, project: Project) -> None:
    assert hers.post("/projects", {"name": " "}).context["form"].errors
    assert hers.post(f"/projects/{project.pk}", {"name": ""}).context["form"].errors


def test_the_language_of_the_account_wins_over_the_browser(hers: Client, alice: User) -> None:
    hers.post("/settings", {"language": "zh-hans", "timezone": "Europe/Berlin"})
    alice.refresh_from_db()
    assert (alice.language, alice.timezone) == ("zh-hans", "Europe/Berlin")
    page = hers.get("/settings", headers={"accept-language": "en"})
    assert '<html lang="zh-Hans"' in page.content.decode()
    hers.post("/settings", {"language": "", "timezone": ""})
    assert '<html lang="en"' in hers.get("/settings", headers={"accept-language": "en"}).content.decode()


def test_switching_the_language_is_remembered_by_the_account(hers: Client, alice: User) -> None:
    hers.post("/i18n/setlang/", {"language": "zh-hans", "next": "/settings"})
    alice.refresh_from_db()
    assert alice.language == "zh-hans"
    hers.cookies.pop("django_language", None)
    assert '<html lang="zh-Hans"' in hers.get("/settings").content.decode()
    hers.post("/i18n/setlang/", {"language": "xx"})
    alice.refresh_from_db()
    assert alice.language == "zh-hans"


def test_visitors_get_their_cookie_then_their_browser(client: Client) -> None:
    page = client.get("/accounts/login/", headers={"accept-language": "zh-CN"}).content.decode()
    assert '<html lang="zh-Hans"' in page
    client.post("/i18n/setlang/", {"language": "en"})
    page = client.get("/accounts/login/", headers={"accept-language": "zh-CN"}).content.decode()
    assert '<html lang="en"' in page


def test_times_are_shown_in_the_users_zone(hers: Client, alice: User, project: Project) -> None:
    create_key(project, "laptop", expires_at=timezone.now().replace(year=2099, month=1, day=1, hour=20, minute=5))
    User.objects.filter(pk=alice.pk).update(timezone="Asia/Tokyo")
    assert "2099-01-02 05:05" in hers.get("/keys").content.decode()
    User.objects.filter(pk=alice.pk).update(timezone="")  # the organization's: Asia/Shanghai
    assert "2099-01-02 04:05" in hers.get("/keys").content.decode()
    assert timezone.get_current_timezone_name() == "UTC"


def test_signing_out_elsewhere_keeps_this_session(hers: Client, alice: User) -> None:
    elsewhere = Client()
    elsewhere.force_login(alice)
    assert elsewhere.get("/settings").status_code == 200
    assert hers.post("/settings/sessions").url == "/settings"
    assert elsewhere.get("/settings").status_code == 302
    assert hers.get("/settings").status_code == 200


def test_staff_see_and_revoke_keys_but_never_their_hash(client: Client, project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    staff = User.objects.create_superuser("staff@example.com", None)
    client.force_login(staff)
    for path in ("user", "organization", "project", "apikey"):
        assert client.get(f"/admin/accounts/{path}/").status_code == 200, path
    assert client.get("/admin/accounts/user/add/").status_code == 200
    assert client.get("/admin/mfa/authenticator/").status_code == 404
    assert client.get(f"/admin/accounts/user/{staff.pk}/change/").status_code == 200
    assert client.get(f"/admin/accounts/organization/{project.organization_id}/change/").status_code == 200
    page = client.get(f"/admin/accounts/apikey/{key.pk}/change/").content.decode()
    assert bytes(key.key_hash).hex() not in page and "key_hash" not in page
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_staff_suspend_and_readmit_an_organization(client: Client, organization: Organization) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com", None))
    path = "/admin/accounts/organization/"
    client.post(path, {"action": "suspend", "_selected_action": [organization.pk]})
    organization.refresh_from_db()
    assert organization.suspended_at is not None
    client.post(path, {"action": "readmit", "_selected_action": [organization.pk]})
    organization.refresh_from_db()
    assert organization.suspended_at is None


def test_an_owner_may_have_a_second_organization_and_sees_the_first(hers: Client, alice: User) -> None:
    second, _project = create_organization(name="Second", owner=alice)
    create_key(second.projects.get(), "of-the-second")
    assert "of-the-second" not in hers.get("/keys").content.decode()


MORE_OF_A_KEY = {
    "requests_per_minute": "30",
    "tokens_per_minute": "200000",
    "max_concurrent": "4",
    "addresses": "203.0.113.7\n2001:db8::/32, 203.0.113.7",
    "funding": "wallet_only",
}


def test_limits_addresses_and_payment_of_a_key_are_kept_and_shown_again(hers: Client) -> None:
    hers.post("/keys/new", form_of(hers) | MORE_OF_A_KEY)
    key = ApiKey.objects.get()
    assert (key.requests_per_minute, key.tokens_per_minute, key.max_concurrent) == (30, 200_000, 4)
    assert (key.allowed_ips, key.funding) == (["203.0.113.7", "2001:db8::/32"], "wallet_only")
    answer = hers.get(f"/keys/{key.pk}")
    form = answer.context["form"]
    values = {name: form[name].value() or "" for name in form.fields}
    assert "<details open>" in answer.content.decode()
    hers.post(f"/keys/{key.pk}", values | {"max_concurrent": ""})
    key.refresh_from_db()
    assert (key.tokens_per_minute, key.max_concurrent, key.funding) == (200_000, None, "wallet_only")
    assert key.allowed_ips == ["203.0.113.7", "2001:db8::/32"]


def test_a_plain_new_key_has_its_further_fields_folded_up(hers: Client) -> None:
    page = hers.get("/keys/new").content.decode()
    assert "<details>" in page and "<details open>" not in page
    hers.post("/keys/new", form_of(hers))
    key = ApiKey.objects.get()
    assert (key.tokens_per_minute, key.allowed_ips, key.funding) == (None, [], "plan_first")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"addresses": "203.0.113.7\nexample.com"}, "“example.com” is no address. Write 203.0.113.7, or"),
        ({"addresses": "10.1.2.3/8"}, "Write 10.0.0.0/8 for the whole network."),
        ({"addresses": "\n".join(f"10.0.0.{n}" for n in range(101))}, "At most 100 addresses."),
        ({"tokens_per_minute": "0"}, "greater than or equal to 1"),
        ({"max_concurrent": "-1"}, "greater than or equal to 1"),
        ({"tokens_per_minute": "3000000000"}, "less than or equal to 2000000000"),
        ({"funding": "nobody"}, "Select a valid choice"),
    ],
)
def test_a_wrong_further_field_is_named_and_unfolded(hers: Client, wrong: dict[str, str], words: str) -> None:
    answer = hers.post("/keys/new", form_of(hers) | wrong)
    assert list(answer.context["form"].errors) == list(wrong)
    page = answer.content.decode().replace("&lt;", "<")
    assert words in page and "<details open>" in page
    assert not ApiKey.objects.exists()


def test_a_project_has_limits_of_its_own(hers: Client, project: Project) -> None:
    values = {"name": "Default", "requests_per_minute": "100", "tokens_per_minute": "", "max_concurrent": "9"}
    assert hers.post(f"/projects/{project.pk}", values).url == "/projects"
    project.refresh_from_db()
    assert (project.requests_per_minute, project.tokens_per_minute, project.max_concurrent) == (100, None, 9)
    page = hers.get(f"/projects/{project.pk}").content.decode()
    assert 'value="100"' in page and 'value="9"' in page
    assert hers.post(f"/projects/{project.pk}", values | {"max_concurrent": "0"}).context["form"].errors


def test_staff_set_the_limits_of_an_organization(client: Client, organization: Organization) -> None:
    client.force_login(User.objects.create_superuser("root@example.com", "a long password"))
    path = f"/admin/accounts/organization/{organization.pk}/change/"
    form = client.get(path).context["adminform"].form
    values = {name: form[name].value() or "" for name in form.fields}
    managed = {
        f"{prefix}-{name}": number
        for prefix in ("memberships", "projects")
        for name, number in (("TOTAL_FORMS", "0"), ("INITIAL_FORMS", "0"))
    }
    answer = client.post(path, values | managed | {"requests_per_minute": "1000", "max_concurrent": "50"})
    assert answer.status_code == 302
    organization.refresh_from_db()
    assert (organization.requests_per_minute, organization.max_concurrent) == (1000, 50)
