"""A running product for whole stories: real gateway, sandbox provider, PostgreSQL and Valkey.

These tests see committed data, so each makes customers of its own and nothing is rolled back.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from openai import OpenAI

from tests.scenarios.processes import ROOT, Process, Processes


@dataclass(frozen=True)
class Customer:
    organization_id: int
    project_id: int
    api_key_id: int
    key: str
    email: str


@dataclass
class Stack:
    """The running product, and the few things that a story does behind its back."""

    processes: Processes
    gateway: Process
    sandbox: Process

    @property
    def url(self) -> str:
        return self.gateway.url

    def customer(self, credit_usd: str = "5", requests_per_minute: int = 100_000) -> Customer:
        """A new organization with a project, a key, and credit granted by staff."""
        from accounts.keys import create_key
        from accounts.models import User
        from accounts.signup import create_organization
        from billing.grants import grant_credit

        email = f"{secrets.token_hex(6)}@example.com"
        user = User.objects.create_user(email, "a long password 1")
        with override_settings(TRIAL_CREDIT_USD="0"):
            organization, project = create_organization(name="Bob", owner=user)
        nanos = int(Decimal(credit_usd) * 10**9)
        if nanos:
            grant_credit(organization, nanos, reason="test", idempotency_key=f"test:{email}")
        key, raw = create_key(project, "test", requests_per_minute=requests_per_minute)
        return Customer(organization.pk, project.pk, key.pk, raw, email)

    def openai(self, customer: Customer | str, **options: Any) -> OpenAI:
        key = customer if isinstance(customer, str) else customer.key
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, "timeout": 30.0, **options})

    def settle(self) -> None:
        """Drain the journal here and now, as the worker would."""
        from gateway.tasks import settle_usage

        settle_usage()

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())

    def wallet(self, customer: Customer) -> tuple[int, int]:
        """Posted and held, in nano-USD, after settling. Idle slices are called back first; running requests hold on."""
        from gateway.credit_signals import RECALL
        from gateway.tasks import journal_redis

        sql = (
            "SELECT posted_nanos, held_nanos FROM billing_ledgeraccount WHERE organization_id = %s AND kind = 'wallet'"
        )
        deadline = time.monotonic() + 2
        while True:
            self.settle()
            (found,) = self.rows(sql, customer.organization_id)
            if found[1] == 0 or time.monotonic() > deadline:
                return found  # type: ignore[return-value]
            with journal_redis() as redis:
                redis.publish(RECALL, str(customer.organization_id))
            time.sleep(0.05)

    def until(self, wanted: Callable[[], bool], timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not wanted():
            assert time.monotonic() < deadline, "it did not come true in time"
            time.sleep(0.1)

    def assert_ledger_holds(self) -> None:
        from billing.proof import check
        from billing.proof_charges import wrong_charges

        assert check() == []
        with connection.cursor() as cursor:
            assert wrong_charges(cursor)[0] == []


@pytest.fixture(scope="session")
def processes(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Processes]:
    folder: Path = tmp_path_factory.mktemp("processes")
    database = settings.DATABASES["default"]
    env = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
        "DJANGO_SETTINGS_MODULE": "routerone.settings",
        "ROUTERONE_HOME": str(settings.HOME),
        "ROUTERONE_PG_NAME": str(database["NAME"]),
        "PYTHONPATH": str(ROOT),
        "LOG_JSON": "1",
    }
    started = Processes(env, folder)
    with django_db_blocker.unblock():
        yield started
        started.stop_all()
        connection.close()


@pytest.fixture(scope="session")
def stack(processes: Processes) -> Stack:
    sandbox = processes.uvicorn("sandbox", "gateway.sandbox.app:application", "/healthz")
    settings.SANDBOX_URL = sandbox.url
    call_command("load_catalogue", str(ROOT / "routing/data/sandbox"), quiet=True)
    return Stack(processes, processes.gateway(SANDBOX_URL=sandbox.url), sandbox)
