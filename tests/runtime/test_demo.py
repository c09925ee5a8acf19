from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from accounts.key_format import looks_valid
from accounts.models import ApiKey, Organization, User
from billing.ledger import balance
from routerone.management.commands.demo import CREDIT_NANOS, EMAIL

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo(settings: Any, tmp_path: Path) -> Path:
    """The file of a clone whose demo organization has been made once."""
    settings.HOME = tmp_path
    call_command("demo")
    return tmp_path / "demo.json"


def test_it_makes_staff_credit_and_a_key(demo: Path) -> None:
    known = json.loads(demo.read_text())
    user = User.objects.get(email=EMAIL)
    assert user.is_superuser and user.check_password(known["password"])
    assert looks_valid(known["key"])
    assert balance(Organization.objects.get().pk).available_nanos >= CREDIT_NANOS
    assert stat.S_IMODE(demo.stat().st_mode) == 0o600


def test_a_second_time_changes_nothing(demo: Path) -> None:
    before, credit = demo.read_text(), balance(Organization.objects.get().pk)
    call_command("demo")
    assert demo.read_text() == before
    assert balance(Organization.objects.get().pk) == credit
    assert (User.objects.count(), ApiKey.objects.count()) == (1, 1)


def test_a_revoked_key_is_replaced(demo: Path) -> None:
    from accounts.keys import revoke_key

    before = json.loads(demo.read_text())["key"]
    revoke_key(ApiKey.objects.get())
    call_command("demo")
    assert json.loads(demo.read_text())["key"] != before
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


def test_a_password_that_was_changed_is_not_printed_any_more(demo: Path) -> None:
    user = User.objects.get(email=EMAIL)
    user.set_password("chosen by a person")
    user.save()
    call_command("demo")
    assert json.loads(demo.read_text())["password"] == ""
    assert User.objects.get().check_password("chosen by a person")
