"""An organization at sign-up, and what operators do by command."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from accounts import signup
from accounts.key_format import looks_valid
from accounts.models import ApiKey, Membership, Organization, Project, User
from accounts.signup import create_organization
from billing import ledger
from billing.management.usd import nanos_of


def run(*args: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*args, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def fields(text: str) -> dict[str, str]:
    return dict(line.split(": ") for line in text.splitlines())


def test_an_organization_starts_with_an_owner_and_a_project(alice: User) -> None:
    organization, project = create_organization(name="Acme", owner=alice)
    assert (organization.name, project.name, project.organization) == ("Acme", "Default", organization)
    assert organization.memberships.get().role == Membership.Role.OWNER


def test_higher_apps_add_to_a_signup_and_can_undo_all_of_it(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(organization: Organization) -> None:
        assert organization.projects.exists()
        raise RuntimeError

    monkeypatch.setattr(signup, "AFTER_SIGNUP", [fail])
    with pytest.raises(RuntimeError):
        create_organization(name="Acme", owner=alice)
    assert not Organization.objects.exists()


@pytest.mark.django_db
def test_the_trial_credit_is_granted() -> None:
    organization, _project = create_organization(name="Acme", owner=None, email="New@Example.com")
    assert ledger.balance(organization.pk).available_nanos == 1_000_000_000
    assert not User.objects.get(email="new@example.com").has_usable_password()


@pytest.mark.django_db
def test_the_command_makes_organization_project_and_credit(settings: object) -> None:
    settings.TRIAL_CREDIT_USD = "0"  # type: ignore[attr-defined]
    out, err = run("create_organization", "--email", "ops@example.com", "--credit-usd", "12.000000001")
    ids = fields(out)
    project = Project.objects.get(pk=ids["project"])
    assert project.organization_id == int(ids["organization"])
    assert ledger.balance(project.organization_id).available_nanos == 12_000_000_001
    assert "Forgot password" in err


@pytest.mark.django_db
def test_the_command_takes_a_user_that_exists(alice: User) -> None:
    out, err = run("create_organization", "--email", "ALICE@example.com", "--name", "Second", "--credit-usd", "0")
    assert Organization.objects.get(pk=fields(out)["organization"]).memberships.get().user == alice
    assert err == ""


@pytest.mark.django_db
def test_more_credit_is_granted_by_project_or_organization_and_once_by_name(settings: object) -> None:
    settings.TRIAL_CREDIT_USD = "0"  # type: ignore[attr-defined]
    ids = fields(run("create_organization", "--email", "ops@example.com", "--credit-usd", "0")[0])
    run("grant_credit", "--project", ids["project"], "--usd", "1.5", "--reason", "Goodwill")
    run("grant_credit", "--organization", ids["organization"], "--usd", "1.5", "--reason", "Goodwill")
    for _ in range(2):
        run("grant_credit", "--project", ids["project"], "--usd", "2", "--reason", "Goodwill", "--once", "case-7")
    assert ledger.balance(int(ids["organization"])).available_nanos == 5_000_000_000


@pytest.mark.django_db
def test_a_key_made_by_command_is_alone_on_stdout(project: Project) -> None:
    out, err = run("create_key", "--project", str(project.pk), "--name", "script", "--rpm", "30")
    raw = out.strip()
    assert out == f"{raw}\n"
    assert looks_valid(raw)
    assert raw not in err
    key = ApiKey.objects.get()
    assert (key.name, key.requests_per_minute, key.last_four) == ("script", 30, raw[-4:])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "args",
    [
        ("create_key", "--project", "0", "--name", "x"),
        ("create_organization", "--email", "nobody", "--credit-usd", "1"),
        ("create_organization", "--email", "a@example.com", "--name", " "),
        ("create_organization", "--email", "a@example.com", "--credit-usd", "one"),
        ("grant_credit", "--project", "0", "--usd", "1", "--reason", "x"),
        ("grant_credit", "--organization", "0", "--usd", "1", "--reason", "x"),
    ],
)
def test_a_wrong_command_says_so_and_does_nothing(args: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*args)
    assert not Organization.objects.exists()
    assert not User.objects.exists()


@pytest.mark.parametrize(("rpm", "name"), [("0", "x"), ("1", " ")])
def test_a_senseless_key_is_a_command_error(project: Project, rpm: str, name: str) -> None:
    with pytest.raises(CommandError):
        run("create_key", "--project", str(project.pk), "--name", name, "--rpm", rpm)


def test_amounts_are_exact() -> None:
    assert nanos_of("0.1") == 100_000_000
    assert nanos_of(" 1000000000 ") == 10**18
    assert nanos_of("0.000000001") == 1
    assert nanos_of("1e-9") == 1
    assert Decimal(nanos_of("123456789.123456789")) == Decimal("123456789123456789")


@pytest.mark.parametrize("text", ["", "1,5", "$1", "-1", "NaN", "Infinity", "0.0000000001", "1000000001"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(CommandError):
        nanos_of(text)
