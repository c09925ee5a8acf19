"""Alice and Bob, each with an organization, a project and a key; and finished requests to store."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import Client

from accounts.models import ApiKey, Membership, Organization, Project, User
from observability.recorder import store
from observability.records import AttemptRecord, RequestRecord


@dataclass(frozen=True)
class Cast:
    user: User
    organization: Organization
    project: Project
    key: ApiKey

    def page(self) -> Client:
        client = Client()
        client.force_login(self.user)
        return client


def _cast(name: str) -> Cast:
    user = User.objects.create_user(f"{name}@example.com", "a long password")
    user.timezone = "Asia/Shanghai"
    user.save()
    organization = Organization.objects.create(name=name)
    Membership.objects.create(user=user, organization=organization)
    project = Project.objects.create(organization=organization, name=f"{name}'s project")
    key = ApiKey.objects.create(
        project=project, name=f"{name}-key", key_hash=secrets.token_bytes(32), prefix="sk-ro-abcd", last_four="7Qm2"
    )
    return Cast(user, organization, project, key)


@pytest.fixture
def alice(db: None) -> Cast:
    return _cast("alice")


@pytest.fixture
def bob(db: None) -> Cast:
    return _cast("bob")


def new_id(at: datetime) -> UUID:
    """A UUIDv7 of that moment."""
    millis = int(at.timestamp() * 1000)
    value = (millis << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    return UUID(int=(value & ~(0x3 << 62)) | (0x2 << 62))


def request_record(cast: Cast | None = None, **given: Any) -> RequestRecord:
    at = given.pop("created_at", None) or datetime.now(UTC)
    values: dict[str, Any] = {
        "id": str(new_id(at)),
        "created_at": at.isoformat(),
        "organization_id": cast.organization.pk if cast else 1,
        "project_id": cast.project.pk if cast else 1,
        "api_key_id": cast.key.pk if cast else 1,
        "endpoint": "openai_chat",
        "outcome": "answered",
        "status": 200,
        "model_requested": "deepseek/flash",
        "model": "deepseek/flash",
        "provider": "deepseek",
        "input_tokens": 100,
        "cache_read_tokens": 40,
        "output_tokens": 20,
        "charge_nanos": 5_000,
        "policy": "answered",
        "first_token_ms": 300,
        "duration_ms": 900,
        "overhead_us": 1100,
        "attempt_count": 1,
    }
    return RequestRecord(**(values | given))


def attempt_record(**given: Any) -> AttemptRecord:
    values: dict[str, Any] = {
        "number": 1,
        "provider": "deepseek",
        "deployment_id": 7,
        "dialect": "openai_chat",
        "reason": "cheapest",
        "started_ms": 1,
        "first_token_ms": 299,
        "duration_ms": 890,
        "status": 200,
    }
    return AttemptRecord(**(values | given))


def trace_of(*attempts: AttemptRecord) -> dict[str, Any] | None:
    return {"attempts": [list(attempt) for attempt in attempts]} if attempts else None


Save = Callable[..., RequestRecord]


@pytest.fixture
def save(db: None) -> Save:
    """Store one finished request, as the worker does."""

    def run(cast: Cast, *attempts: AttemptRecord, **given: Any) -> RequestRecord:
        record = request_record(cast, trace=trace_of(*attempts), **given)
        with transaction.atomic(), connection.cursor() as cur:
            store(cur, [record])
        return record

    return run


@pytest.fixture
def report() -> Callable[[str], None]:
    """Prints, or writes to the file that LOG_REPORT names."""
    path = os.environ.get("LOG_REPORT")

    def line(text: str) -> None:
        if path:
            with Path(path).open("a") as file:
                file.write(text + "\n")
        else:
            print(text)

    return line
