"""Alice, signed in, with something on every page of hers; and the sandbox's models in the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.keys import create_key
from accounts.models import Project, User
from accounts.signup import create_organization
from billing.grants import grant_trial_credit
from routing.management.commands.load_catalogue import load


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def catalogue(db: None) -> None:
    load(Path(django_settings.BASE_DIR) / "routing" / "data" / "sandbox")


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice@example.com", "correct horse battery")


@pytest.fixture
def project(alice: User) -> Project:
    organization, project = create_organization(name="Personal", owner=alice)
    grant_trial_credit(organization)
    create_key(project, "claude-code-mac", created_by=alice)
    return project


@pytest.fixture
def signed_in(client: Client, alice: User, project: Project) -> Client:
    client.force_login(alice)
    return client
