"""Staff take providers out of use, replace credentials, test deployments, and keep probes within a budget."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from routing import probes
from routing.credentials import decrypt, encrypt
from routing.management.commands.load_catalogue import load
from routing.models import CatalogueVersion, Check, Credential, Deployment, ProbePlan, Provider
from routing.page_catalogue import catalogue_for_checks, catalogue_for_pages
from routing.rotation import end_expired, rotate

pytestmark = pytest.mark.django_db
OLD, NEW = "sk-old-0123456789", "sk-new-9876543210"


@pytest.fixture
def staff(client: Client, write: Any) -> Client:
    load(write())
    client.force_login(
        get_user_model().objects.create_superuser(email="root@example.test", password="a long enough one")
    )
    return client


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any) -> list[int]:
    """The checks that the worker was asked to make."""
    asked: list[int] = []
    monkeypatch.setattr("routing.probes.send_check", asked.append)
    monkeypatch.setattr("routing.probes.transaction.on_commit", lambda call: call())
    return asked


@pytest.fixture
def credential(staff: Client) -> Credential:
    return Credential.objects.create(
        provider=Provider.objects.get(slug="acme"),
        name="main",
        secret_encrypted=encrypt(OLD, settings.CREDENTIAL_KEYS),
        last_four="6789",
        weight=3,
    )


def local() -> Deployment:
    return Deployment.objects.get(provider__slug="local")


# --- Out of use and back ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["provider", "deployment"])
def test_a_drained_one_gets_no_requests_until_it_is_taken_back(staff: Client, kind: str) -> None:
    row: Any = local() if kind == "deployment" else local().provider
    url = f"/admin/routing/provider/board/{kind}/{row.pk}"
    version = CatalogueVersion.objects.get().version
    assert staff.post(f"{url}/out/", {"how": "drain", "reason": "502s since noon"}).status_code == 302
    assert catalogue_for_pages().models["acme/one"].deployments[1].draining
    assert CatalogueVersion.objects.get().version > version
    page = staff.get("/admin/routing/provider/board/").content.decode()
    assert "502s since noon" in page and "draining" in page
    assert LogEntry.objects.filter(change_message__contains="502s since noon").exists()
    staff.post(f"{url}/back/")
    assert not catalogue_for_pages().models["acme/one"].deployments[1].draining
    row.refresh_from_db()
    assert (row.enabled, row.drained_at, row.drain_reason) == (True, None, "")


def test_one_that_is_switched_off_says_why(staff: Client) -> None:
    url = f"/admin/routing/provider/board/deployment/{local().pk}"
    staff.post(f"{url}/out/", {"how": "off", "reason": "wrong tokenizer"})
    assert not local().enabled
    assert "wrong tokenizer" not in staff.get("/admin/routing/provider/board/").content.decode()
    assert "wrong tokenizer" in staff.get("/admin/routing/provider/board/?shown=all").content.decode()


def test_a_reason_must_be_given(staff: Client) -> None:
    url = f"/admin/routing/provider/board/deployment/{local().pk}/out/"
    assert staff.post(url, {"how": "drain", "reason": " "}).status_code == 200
    assert local().drained_at is None


def test_who_may_only_look_cannot_change(client: Client, write: Any) -> None:
    from django.contrib.auth.models import Permission

    load(write())
    user = get_user_model().objects.create_user("eye@example.test", "a long enough one", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_provider"))
    client.force_login(user)
    page = client.get("/admin/routing/provider/board/")
    assert page.status_code == 200 and "Take out" not in page.content.decode()
    url = f"/admin/routing/provider/board/deployment/{local().pk}"
    assert client.post(f"{url}/out/", {"how": "drain", "reason": "x"}).status_code == 403
    assert client.post(f"{url}/test/").status_code == 403
    assert client.post("/admin/routing/provider/board/plan/", {"dollars": 5, "every_minutes": 5}).status_code == 403


def test_nothing_happens_on_a_link(staff: Client, sent: list[int]) -> None:
    url = f"/admin/routing/provider/board/deployment/{local().pk}"
    assert staff.get(f"{url}/test/").status_code == 404 and staff.get(f"{url}/back/").status_code == 404
    assert sent == []


# --- Credentials -----------------------------------------------------------------------------------------------------
def test_a_new_secret_takes_over_and_the_old_one_waits_behind_it(credential: Credential) -> None:
    new = rotate(credential, NEW, keep_until=timezone.now() + timedelta(hours=1))
    known = catalogue_for_checks().models["acme/one"].deployments[0].credentials
    assert [(one.id, one.secret, one.weight) for one in known] == [(new.pk, NEW, 3), (credential.pk, OLD, 0)]
    assert (new.name, new.last_four) == ("main 2", "3210")


def test_an_old_secret_is_erased_when_its_time_is_over(credential: Credential) -> None:
    rotate(credential, NEW, keep_until=timezone.now() + timedelta(hours=1))
    assert end_expired() == 0
    Credential.objects.filter(pk=credential.pk).update(valid_until=timezone.now() - timedelta(hours=1))
    assert [one.secret for one in catalogue_for_checks().models["acme/one"].deployments[0].credentials] == [NEW]
    assert end_expired() == 1 and end_expired() == 0
    credential.refresh_from_db()
    assert not credential.enabled and decrypt(credential.secret_encrypted, settings.CREDENTIAL_KEYS) == ""


def test_the_form_never_shows_a_secret(staff: Client, credential: Credential) -> None:
    url = f"/admin/routing/provider/{credential.provider_id}/rotate/"
    page = staff.get(url).content.decode()
    assert OLD not in page and "…6789" in page
    assert staff.post(url, {"credential": credential.pk, "secret": "with space", "keep": "0"}).status_code == 200
    answer = staff.post(url, {"credential": credential.pk, "secret": NEW, "keep": "0"}, follow=True)
    assert answer.status_code == 200 and NEW not in answer.content.decode()
    credential.refresh_from_db()
    assert not credential.enabled and credential.disabled_reason == "replaced"
    assert not LogEntry.objects.filter(change_message__contains=NEW).exists()


def test_a_secret_of_the_environment_does_not_come_back_after_it_was_replaced(
    staff: Client, write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_TEST_KEY", OLD)
    load(write())
    rotate(Credential.objects.get(name="environment"), NEW, keep_until=None)
    load(write())
    assert [one.secret for one in catalogue_for_checks().models["acme/one"].deployments[0].credentials] == [NEW] or (
        not Provider.objects.get(slug="acme").enabled
    )
    assert Credential.objects.filter(enabled=True).get().name == "environment 2"
    erased = Credential.objects.get(name="environment")
    assert decrypt(erased.secret_encrypted, settings.CREDENTIAL_KEYS) == ""


# --- Tests and probes ------------------------------------------------------------------------------------------------
def test_a_test_is_asked_for_and_its_result_shown(staff: Client, sent: list[int]) -> None:
    staff.post(f"/admin/routing/provider/board/deployment/{local().pk}/test/")
    check = Check.objects.get()
    assert sent == [check.pk] and check.asked_by is not None
    assert "waiting for the worker" in staff.get("/admin/routing/provider/board/rows/").content.decode()
    check.ended_at, check.status, check.error_class = timezone.now(), 503, "overloaded"
    check.save()
    assert "overloaded 503" in staff.get("/admin/routing/provider/board/rows/").content.decode()


def test_without_a_budget_nothing_is_probed(staff: Client, sent: list[int]) -> None:
    assert probes.probe_due() == 0 and sent == []


def test_probes_go_to_those_without_news_and_stop_at_the_budget(staff: Client, sent: list[int]) -> None:
    Provider.objects.update(enabled=True, auth="none")
    # 20 tokens in and 16 out: 84,000 nanos of local; 168,000 and 204,000 of acme.
    ProbePlan.objects.create(budget_nanos=300_000, every_minutes=10)
    assert probes.probe_due() == 2
    assert {Check.objects.get(pk=pk).deployment.provider.slug for pk in sent} == {"acme", "local"}
    now = timezone.now()
    assert probes.spent_today(now) == 252_000
    assert probes.probe_due(now + timedelta(minutes=1)) == 0
    ProbePlan.objects.update(budget_nanos=10_000_000)
    assert probes.probe_due(now + timedelta(minutes=1)) == 1  # the one that the budget had left out
    assert probes.probe_due(now + timedelta(minutes=12)) == 3


def test_tomorrow_there_is_a_new_budget(staff: Client, sent: list[int]) -> None:
    ProbePlan.objects.create(budget_nanos=100_000, every_minutes=10)
    assert probes.probe_due() == 1
    assert probes.probe_due(timezone.now() + timedelta(hours=25)) == 1


def test_the_plan_is_changed_on_the_board(staff: Client) -> None:
    staff.post("/admin/routing/provider/board/plan/", {"dollars": "0.25", "every_minutes": 15})
    assert ProbePlan.objects.get().budget_nanos == 250_000_000
    staff.post("/admin/routing/provider/board/plan/", {"dollars": "-1", "every_minutes": 15})
    assert ProbePlan.objects.get().budget_nanos == 250_000_000
    assert "of $0.25" in staff.get("/admin/routing/provider/board/").content.decode()


def test_old_checks_are_forgotten(staff: Client) -> None:
    old = Check.objects.create(deployment=local(), kind="probe")
    Check.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=31))
    Check.objects.create(deployment=local(), kind="probe")
    assert probes.forget_old_checks() == 1 and Check.objects.count() == 1
