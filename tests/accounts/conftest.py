"""Alice, with an organization and a project of her own."""

from __future__ import annotations

import pytest

from accounts.models import Organization, Project, User
from accounts.signup import create_organization

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: object) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # type: ignore[attr-defined]


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice@example.com", PASSWORD)


@pytest.fixture
def organization(alice: User) -> Organization:
    return create_organization(name="Personal", owner=alice)[0]


@pytest.fixture
def project(organization: Organization) -> Project:
    return organization.projects.get()


@pytest.fixture
def bob(db: None) -> User:
    user = User.objects.create_user("bob@example.com", PASSWORD)
    create_organization(name="Personal", owner=user)
    return user
