"""Staff settle again what was put aside."""

from __future__ import annotations

from uuid import UUID

import orjson
import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from accounts.models import Organization, User
from billing.models.usage import UnsettledEvent, UsageRecord
from tests.gateway.test_drain import event

pytestmark = pytest.mark.django_db
PAGE = "/admin/billing/unsettledevent/"


def put_aside(charge_nanos: int) -> UUID:
    one = event(Organization.objects.create(name="Alice"), charge_nanos=charge_nanos)
    row = UnsettledEvent.objects.create(id=UUID(one.id), event=orjson.loads(one.to_bytes()), error_class="DataError")
    return row.id


def settle(client: Client, *ids: UUID) -> str:
    answer = client.post(PAGE, {"action": "settle", "_selected_action": [str(id_) for id_ in ids]}, follow=True)
    return answer.content.decode()


def test_staff_settle_an_event_again(client: Client) -> None:
    client.force_login(User.objects.create_superuser("staff@example.com", "correct horse battery"))
    good, bad = put_aside(5), put_aside(-5)
    html = settle(client, good, bad)
    assert "1 events settled." in html
    assert "1 events were refused again." in html
    assert list(UnsettledEvent.objects.values_list("id", "error_class")) == [(bad, "ValueError")]
    assert UsageRecord.objects.get().id == good


def test_who_may_only_look_can_not_settle(client: Client) -> None:
    reader = User.objects.create_user("reader@example.com", "correct horse battery", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_unsettledevent"))
    client.force_login(reader)
    event_id = put_aside(5)
    settle(client, event_id)
    assert UnsettledEvent.objects.filter(pk=event_id).exists()
