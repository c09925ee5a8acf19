"""`manage.py demo`: a staff log-in and an organization with credit and a key, for evaluation."""

from __future__ import annotations

import json
import secrets
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils.translation import gettext_noop

from accounts.keys import create_key
from accounts.models import ApiKey, Organization, Project, User
from accounts.signup import create_organization
from billing.grants import grant_credit
from routerone.embedded.paths import embedded_paths, write_private

EMAIL = "admin@example.com"
ORGANIZATION = "Demo organization"
CREDIT_NANOS = 5_000_000_000


class Command(BaseCommand):
    help = "Make the demo organization, safe to repeat. The log-in and the key are kept in a file of mode 600."

    def handle(self, *args: Any, **options: Any) -> None:
        target = embedded_paths(settings.HOME).demo
        known: dict[str, str] = json.loads(target.read_text()) if target.exists() else {}
        with transaction.atomic():
            user, password = _user(known.get("password", ""))
            project = _project(user)
            key = _key(project, known.get("key", ""))
        write_private(target, json.dumps({"email": EMAIL, "password": password, "key": key}))


def _user(known_password: str) -> tuple[User, str]:
    """The staff user and its password: empty if its owner has changed it since."""
    user = User.objects.filter(email=EMAIL).first()
    if user is not None:
        return user, known_password if user.check_password(known_password) else ""
    password = secrets.token_urlsafe(15)
    return User.objects.create_superuser(EMAIL, password), password


def _project(owner: User) -> Project:
    project = Project.objects.filter(organization__memberships__user=owner).order_by("id").first()
    if project is not None:
        return project
    organization, project = create_organization(name=ORGANIZATION, owner=owner)
    _give_credit(organization)
    return project


def _give_credit(organization: Organization) -> None:
    key = f"demo:{organization.pk}"
    grant_credit(organization, CREDIT_NANOS, reason=gettext_noop("Demo credit"), idempotency_key=key)


def _key(project: Project, known: str) -> str:
    """The key of the file as long as it is live, else a new one: no key can be read back from the database."""
    keys = ApiKey.objects.filter(project=project, last_four=known[-4:], revoked_at=None)
    if known and keys.exists():
        return known
    return create_key(project, "Demo")[1]
