"""Gateways hear within a second of credit that came in and of credit that may not be spent any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from django.core.management import call_command
from django.test import Client

from accounts.announce import FUNDS
from accounts.models import Organization, User
from billing import grants
from billing.models.ledger import LedgerAccount
from billing.models.plans import Subscription
from billing.plans import purchase
from tests.billing.plan_cast import USD, epoch, give_credit, plan

pytestmark = pytest.mark.django_db
Heard = Callable[[], list[int]]


@pytest.fixture
def heard(redis_url: str) -> Iterator[Heard]:
    """Whose funds changed, as gateways hear it; each call answers what came since the last one."""
    with redis.Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(FUNDS)
        subscription.get_message(timeout=5)

        def listen() -> list[int]:
            client.publish(FUNDS, "end")
            found: list[int] = []
            give_up = time.monotonic() + 5
            while time.monotonic() < give_up:
                message = subscription.get_message(timeout=1)
                if message is not None and message["data"] == b"end":
                    return found
                if message is not None:
                    found.append(int(message["data"]))
            raise AssertionError("the end was not heard")

        yield listen


@pytest.fixture
def desk(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("staff@example.com", "correct horse battery"))
    return client


def test_a_grant_is_announced_once_and_after_its_commit(
    alice_organization: Organization, heard: Heard, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        grants.grant_credit(alice_organization, USD, reason="x", idempotency_key="one")
        assert heard() == []
    assert heard() == [alice_organization.pk]
    with django_capture_on_commit_callbacks(execute=True):
        grants.grant_credit(alice_organization, USD, reason="x", idempotency_key="one")
    assert heard() == []


def test_what_staff_and_operators_grant_is_announced(
    alice_organization: Organization, heard: Heard, desk: Client, django_capture_on_commit_callbacks: Any
) -> None:
    give_credit(alice_organization, USD)
    account = LedgerAccount.objects.get(organization=alice_organization)
    form = {"amount_usd": "5", "reason": "Goodwill", "token": str(uuid4())}
    with django_capture_on_commit_callbacks(execute=True):
        assert desk.post(f"/admin/billing/ledgeraccount/{account.pk}/grant/", form).status_code == 302
    assert heard() == [alice_organization.pk]
    with django_capture_on_commit_callbacks(execute=True):
        call_command("grant_credit", organization=alice_organization.pk, usd="1", reason="x")
    assert heard() == [alice_organization.pk]


def test_a_suspension_is_announced_and_raises_the_epoch_of_those_it_concerns(
    alice_organization: Organization, heard: Heard, desk: Client, django_capture_on_commit_callbacks: Any
) -> None:
    bob = Organization.objects.create(name="Bob")
    for one in (alice_organization, bob):
        give_credit(one, USD)
    asked = {"_selected_action": [alice_organization.pk]}
    told = []
    for action in ("suspend", "suspend", "readmit"):
        with django_capture_on_commit_callbacks(execute=True):
            desk.post("/admin/accounts/organization/", asked | {"action": action})
        told.append(heard())
    assert told == [[alice_organization.pk], [], [alice_organization.pk]]
    assert (epoch(alice_organization), epoch(bob)) == (1, 0)


def test_a_subscription_that_staff_end_raises_the_epoch_and_is_announced(
    alice_organization: Organization, heard: Heard, desk: Client, django_capture_on_commit_callbacks: Any
) -> None:
    give_credit(alice_organization, 50 * USD)
    pro = plan("pro", 10, 20, 25)
    subscription: Subscription = purchase.subscribe(alice_organization.pk, pro, most_nanos=pro.price_nanos)
    before = epoch(alice_organization)
    with django_capture_on_commit_callbacks(execute=True):
        desk.post(f"/admin/billing/subscription/{subscription.pk}/end/", {"reason": "Fraud"})
    assert heard() == [alice_organization.pk]
    assert epoch(alice_organization) == before + 1
