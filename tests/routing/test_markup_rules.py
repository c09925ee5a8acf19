"""Markup rules: staff make them, gateways and pages follow them, and the past stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from psycopg import AsyncConnection

from accounts.models import Organization
from routing.management.commands.load_catalogue import load
from routing.models import CatalogueVersion, MarkupRule, Model, Provider
from routing.policy.candidate import Catalogue
from routing.snapshot import read_catalogue
from tests.routing.test_admin import change_url, form_of, save

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ADD = "/admin/routing/markuprule/add/"


@pytest.fixture
def staff(client: Client, write: Any) -> Client:
    load(write())
    user = get_user_model().objects.create_superuser(email="root@example.test", password="a long enough one")
    client.force_login(user)
    return client


@pytest.fixture
def bob() -> Organization:
    return Organization.objects.create(name="Bob")


def rule(scope: str = "global", factor: str = "1.1", *, begun: bool = True, **changes: Any) -> MarkupRule:
    start = timezone.now().replace(microsecond=0) + (-DAY if begun else DAY)
    return MarkupRule.objects.create(**{"scope": scope, "factor": Decimal(factor), "valid_from": start, **changes})


def add(staff: Client, **values: Any) -> Any:
    return staff.post(ADD, form_of(staff.get(ADD)) | {"factor": "1.05", **values})


def errors(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, "it was saved"
    return {name: " ".join(found) for name, found in answer.context["adminform"].form.errors.items()}


def boxes(name: str, moment: datetime) -> dict[str, str]:
    local = timezone.localtime(moment)
    return {f"{name}_0": local.strftime("%Y-%m-%d"), f"{name}_1": local.strftime("%H:%M:%S")}


def test_a_rule_without_a_start_begins_now_and_names_its_maker(staff: Client) -> None:
    assert add(staff, note="Costs of the rails").status_code == 302
    made = MarkupRule.objects.get()
    assert (made.scope, str(made.factor), made.valid_until) == ("global", "1.0500", None)
    assert timedelta(0) <= timezone.now() - made.valid_from < timedelta(seconds=60)
    assert made.created_by is not None and made.created_by.email == "root@example.test"
    assert "In force" in staff.get("/admin/routing/markuprule/").content.decode()


@pytest.mark.parametrize("scope", ["provider", "model", "organization"])
def test_a_rule_can_be_for_each_kind_of_target(staff: Client, bob: Organization, scope: str) -> None:
    target = {"provider": Provider, "model": Model, "organization": Organization}[scope].objects.first()
    assert add(staff, scope=scope, **{scope: target.pk}).status_code == 302
    assert MarkupRule.objects.get().target == target


@pytest.mark.parametrize(
    ("values", "field", "complaint"),
    [
        ({"factor": "0"}, "factor", "greater than or equal to 0.0001"),
        ({"factor": "-1"}, "factor", "greater than or equal to 0.0001"),
        ({"factor": "10.01"}, "factor", "less than or equal to 10"),
        ({"factor": "NaN"}, "factor", "Enter a number"),
        ({"factor": "1.00001"}, "factor", "no more than 4 decimal places"),
        ({"scope": "provider"}, "provider", "Choose what the rule is for."),
        ({"scope": "model"}, "model", "Choose what the rule is for."),
        ({"scope": "organization"}, "organization", "Choose what the rule is for."),
        ({"provider": "first"}, "provider", "Leave this empty"),
        ({"valid_from_0": "2020-01-01", "valid_from_1": "00:00:00"}, "valid_from", "cannot begin in the past"),
        ({"valid_until_0": "2020-01-01", "valid_until_1": "00:00:00"}, "valid_until", "later than the start"),
        ({"valid_from_0": "soon", "valid_from_1": "00:00:00"}, "valid_from", "Enter a valid date"),
    ],
)
def test_a_bad_rule_is_refused_beside_the_field(
    staff: Client, values: dict[str, str], field: str, complaint: str
) -> None:
    if values.get("provider") == "first":
        values = {"provider": str(Provider.objects.values_list("pk", flat=True)[0])}
    assert complaint in errors(add(staff, **values))[field]
    assert not MarkupRule.objects.exists()


def test_refusals_speak_chinese(staff: Client) -> None:
    sent = {"factor": "1.1", "scope": "provider"}
    page = staff.post(ADD, sent, headers={"Accept-Language": "zh-CN"}).content.decode()
    assert "请选择规则适用的对象。" in page and "加价规则" in page


def test_a_rule_that_has_not_begun_can_be_changed_and_deleted(staff: Client) -> None:
    coming = rule(begun=False)
    assert save(staff, coming, factor="1.5").status_code == 302
    coming.refresh_from_db()
    assert str(coming.factor) == "1.5000"
    assert (
        "cannot begin in the past"
        in errors(save(staff, coming, **boxes("valid_from", timezone.now() - DAY)))["valid_from"]
    )
    assert staff.post(f"/admin/routing/markuprule/{coming.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not MarkupRule.objects.exists()


@pytest.mark.parametrize("change", ["factor", "target", "start"])
def test_a_rule_that_has_begun_keeps_what_it_says(staff: Client, change: str) -> None:
    begun = rule("provider", provider=Provider.objects.first())
    values = {
        "factor": {"factor": "1.2"},
        "target": {"provider": str(Provider.objects.values_list("pk", flat=True)[1])},
        "start": boxes("valid_from", begun.valid_from - DAY),
    }[change]
    assert "can only be ended" in errors(save(staff, begun, **values))["__all__"]
    assert staff.post(f"/admin/routing/markuprule/{begun.pk}/delete/", {"post": "yes"}).status_code == 403
    staff.post(
        "/admin/routing/markuprule/", {"action": "delete_selected", "_selected_action": [begun.pk], "post": "yes"}
    )
    begun.refresh_from_db()
    assert (str(begun.factor), begun.provider) == ("1.1000", Provider.objects.first())


def test_a_rule_that_has_begun_can_be_noted_and_ended_but_not_in_the_past(staff: Client) -> None:
    begun = rule()
    assert save(staff, begun).status_code == 302
    assert save(staff, begun, note="Agreed with finance").status_code == 302
    past = errors(save(staff, begun, **boxes("valid_until", timezone.now() - timedelta(hours=1))))
    assert "cannot end in the past" in past["valid_until"]
    assert save(staff, begun, **boxes("valid_until", timezone.now() + DAY)).status_code == 302
    begun.refresh_from_db()
    assert begun.valid_until is not None and begun.note == "Agreed with finance"


def test_a_rule_that_is_over_stays_over(staff: Client) -> None:
    over = rule(valid_until=timezone.now().replace(microsecond=0) - timedelta(hours=1))
    assert save(staff, over).status_code == 302  # saved as it is
    answer = save(staff, over, valid_until_0="", valid_until_1="")
    assert "This rule is over" in errors(answer)["__all__"]
    staff.post("/admin/routing/markuprule/", {"action": "end_now", "_selected_action": [over.pk]})
    before, over_until = over.valid_until, MarkupRule.objects.get().valid_until
    assert before == over_until


def test_rules_are_ended_at_once_from_the_list(staff: Client) -> None:
    begun, coming = rule(), rule(begun=False)
    page = staff.post(
        "/admin/routing/markuprule/", {"action": "end_now", "_selected_action": [begun.pk, coming.pk]}, follow=True
    )
    assert "1 rule ended." in page.content.decode()
    begun.refresh_from_db()
    coming.refresh_from_db()
    assert begun.valid_until is not None and begun.valid_until <= timezone.now() + timedelta(seconds=1)
    assert coming.valid_until is None
    assert staff.get(change_url(begun)).status_code == 200


def update(begun: MarkupRule, **values: Any) -> None:
    MarkupRule.objects.filter(pk=begun.pk).update(**values)


SPOIL: list[tuple[str, Callable[[MarkupRule], Any]]] = [
    ("another factor", lambda begun: update(begun, factor=2)),
    ("another start", lambda begun: update(begun, valid_from=begun.valid_from - DAY)),
    ("an end in the past", lambda begun: update(begun, valid_until=timezone.now() - DAY / 2)),
    ("deletion", lambda begun: begun.delete()),
    ("two targets", lambda begun: rule("provider", provider=Provider.objects.first(), model=Model.objects.first())),
    ("no target", lambda begun: rule("organization")),
    ("a target that the scope has not", lambda begun: rule("global", model=Model.objects.first())),
    ("a factor of zero", lambda begun: rule(factor="0")),
    ("a factor above ten", lambda begun: rule(factor="10.0001")),
    ("an end before the start", lambda begun: rule(valid_until=timezone.now() - 2 * DAY)),
]  # fmt: skip


@pytest.mark.parametrize("what", [name for name, _ in SPOIL])
def test_the_database_itself_refuses(staff: Client, what: str) -> None:
    begun = rule()
    with pytest.raises(IntegrityError), transaction.atomic():
        dict(SPOIL)[what](begun)


def test_a_change_raises_the_version_and_is_announced(
    staff: Client, redis_url: str, django_capture_on_commit_callbacks: Any
) -> None:
    import redis

    before = CatalogueVersion.objects.get().version
    with redis.Redis.from_url(redis_url) as store, store.pubsub() as heard:
        heard.subscribe("r1:catalogue")
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        for change in (
            lambda: add(staff),
            lambda: staff.post(
                "/admin/routing/markuprule/", {"action": "end_now", "_selected_action": [MarkupRule.objects.get().pk]}
            ),
        ):
            with django_capture_on_commit_callbacks(execute=True):
                change()
            message = heard.get_message(timeout=5)
            assert message is not None and message["type"] == "message"
            assert CatalogueVersion.objects.get().version > before
            before = CatalogueVersion.objects.get().version


def prices(client: Client, model: str = "acme/one") -> str:
    return str(client.get(f"/models/{model}").content.decode())


def test_the_marketplace_shows_the_markup_that_everybody_pays(staff: Client, bob: Organization) -> None:
    assert "$1.00" in prices(staff)
    rule("organization", "7", organization=bob)
    rule("global", "9", begun=False)
    rule("global", "8", valid_until=timezone.now() - timedelta(hours=1))
    assert "$1.00" in prices(staff) and "$7.00" not in prices(staff)
    rule("global", "1.5")
    page = prices(staff)
    assert "$1.50" in page and "$3.00" in page and "$9.00" in page  # local in, acme in, local out past its step
    rule("provider", "3", provider=Provider.objects.get(slug="local"))
    assert "$12.00" in prices(staff) and "$9.00" not in prices(staff, "acme/two")
    rule("model", "5", model=Model.objects.get(slug="acme/one"))
    assert "$20.00" in prices(staff) and "$4.50" in prices(staff, "acme/two")


def test_the_cheapest_offer_is_the_cheapest_with_its_markup(staff: Client) -> None:
    Provider.objects.filter(slug="acme").update(enabled=True, auth="none")
    page = staff.get("/models?q=one").content.decode()
    assert "$1.00" in page
    rule("provider", "4", provider=Provider.objects.get(slug="local"))
    page = staff.get("/models?q=one").content.decode()
    assert "$2.00" in page and "$4.00" not in page


@pytest.mark.django_db(transaction=True)
def test_the_snapshot_carries_the_rules(staff: Client, bob: Organization, conninfo: str) -> None:
    rule("organization", "0.8", organization=bob)
    rule("provider", "1.2", provider=Provider.objects.get(slug="local"))
    rule("model", "1.3", model=Model.objects.get(slug="acme/two"))
    rule("global", "2", valid_until=timezone.now() - timedelta(hours=1))
    rule("global", "3", begun=False)
    known = async_to_sync(_read)(conninfo)
    (acme, local), (two,) = (
        sorted(known.models[slug].deployments, key=lambda d: d.provider) for slug in ("acme/one", "acme/two")
    )
    now = timezone.now()
    assert [known.markup(d, now) for d in (acme, local, two)] == [Decimal("1.05"), Decimal("1.2"), Decimal("1.3")]
    assert {known.markup(d, now, bob.pk) for d in (acme, local, two)} == {Decimal("0.8")}
    assert known.markup(acme, now + 2 * DAY) == Decimal(3)


async def _read(conninfo: str) -> Catalogue:
    async with await AsyncConnection.connect(conninfo, autocommit=True) as opened:
        return await read_catalogue(opened, settings.CREDENTIAL_KEYS, Decimal("1.05"))
