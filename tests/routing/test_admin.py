from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from billing.models.usage import UsageRecord
from routing.credentials import decrypt
from routing.management.commands.load_catalogue import load
from routing.models import Credential, Deployment, Model, PriceCard, Provider

pytestmark = pytest.mark.django_db
SECRET = "sk-upstream-0123456789"


@pytest.fixture
def staff(client: Client, write: Any) -> Client:
    load(write())
    user = get_user_model().objects.create_superuser(email="root@example.test", password="a long enough one")
    client.force_login(user)
    return client


def bill(card: PriceCard) -> None:
    id_ = uuid.uuid4()
    UsageRecord.objects.create(
        id=id_, request_id=id_, organization_id=1, project_id=1, api_key_id=1, model="m",
        provider="p", usage={}, usage_source="reported", policy="standard", price_card_id=card.pk, rates={},
        charge_nanos=0, occurred_at=timezone.now(),
    )  # fmt: skip


def form_of(page: Any) -> dict[str, Any]:
    """What the browser would send back from a change page, inlines included."""
    sent: dict[str, Any] = {}
    forms = [page.context["adminform"].form]
    for inline in page.context["inline_admin_formsets"]:
        forms += [inline.formset.management_form, *inline.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if hasattr(bound.field, "fields") and not isinstance(value, list):  # date and time in two boxes
                value = bound.field.widget.decompress(value)
            if isinstance(value, list) and hasattr(bound.field.widget, "widgets"):
                sent |= {f"{bound.html_name}_{i}": str(part) for i, part in enumerate(value) if part is not None}
            elif value is True or (value is not None and value is not False):
                sent[bound.html_name] = "on" if value is True else value
    return sent


def change_url(row: Any) -> str:
    return f"/admin/routing/{row._meta.model_name}/{row.pk}/change/"


def save(staff: Client, row: Any, **changes: Any) -> Any:
    sent = form_of(staff.get(change_url(row))) | changes
    return staff.post(change_url(row), sent)


@pytest.mark.parametrize("table", ["provider", "model", "modelalias", "deployment", "pricecard", "holidaycalendar"])
def test_every_list_and_form_opens(staff: Client, table: str) -> None:
    assert staff.get(f"/admin/routing/{table}/?q=acme").status_code == 200
    assert staff.get(f"/admin/routing/{table}/add/").status_code == 200


@pytest.mark.parametrize("table", [Provider, Model, Deployment, PriceCard])
def test_a_row_can_be_saved_as_it_is(staff: Client, table: Any) -> None:
    for row in table.objects.all():
        answer = save(staff, row)
        assert answer.status_code == 302, answer.context["errors"]


def test_a_credential_goes_in_and_never_comes_out(staff: Client) -> None:
    acme = Provider.objects.get(slug="acme")
    added = {
        "credentials-TOTAL_FORMS": "1",
        "credentials-0-name": "main",
        "credentials-0-secret": SECRET,
        "credentials-0-enabled": "on",
        "credentials-0-provider": acme.pk,
    }
    assert save(staff, acme, **added).status_code == 302
    stored = Credential.objects.get()
    assert decrypt(stored.secret_encrypted, settings.CREDENTIAL_KEYS) == SECRET
    page = staff.get(change_url(acme)).content.decode()
    assert SECRET not in page and "6789" in page
    assert bytes(stored.secret_encrypted).decode() not in page


def test_saving_without_a_secret_keeps_the_stored_one(staff: Client) -> None:
    acme = Provider.objects.get(slug="acme")
    save(staff, acme, **{"credentials-TOTAL_FORMS": "1", "credentials-0-name": "main", "credentials-0-secret": SECRET})
    assert save(staff, acme, **{"credentials-0-name": "renamed"}).status_code == 302
    stored = Credential.objects.get()
    assert stored.name == "renamed"
    assert decrypt(stored.secret_encrypted, settings.CREDENTIAL_KEYS) == SECRET


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("base_urls", '{"openai_chat": "gopher://x"}', "must begin with http:// or https://"),
        ("base_urls", '{"fax": "https://x.test"}', "fax is no known protocol"),
        ("base_urls", "{", "Enter a valid JSON"),
        ("extra_headers", '{"Authorization": "x"}', "Authorization is set by the gateway"),
        ("url_variables", '{"a": 1}', "must be an object of names and strings"),
    ],
)
def test_a_bad_provider_is_refused_beside_the_field(staff: Client, field: str, value: str, complaint: str) -> None:
    acme = Provider.objects.get(slug="acme")
    answer = save(staff, acme, **{field: value})
    assert complaint in " ".join(answer.context["adminform"].form.errors[field])


@pytest.mark.parametrize(
    ("rates", "complaint"),
    [
        ('{"input": "1"}', "output is missing"),
        ('{"input": "-1", "output": "1"}', "input must not be negative"),
        ('{"input": 1, "output": "1"}', "input must be a decimal string"),
        ("[1]", "rates must be an object"),
    ],
)
def test_bad_rates_are_refused_beside_the_field(staff: Client, rates: str, complaint: str) -> None:
    card = PriceCard.objects.first()
    answer = save(staff, card, rates=rates)
    assert complaint in " ".join(answer.context["adminform"].form.errors["rates"])


def test_a_card_that_has_billed_keeps_its_rates(staff: Client) -> None:
    card = PriceCard.objects.get(deployment__upstream_id="one")
    bill(card)
    answer = save(staff, card, rates=json.dumps({"input": "9", "output": "9"}))
    assert "This card has billed" in str(answer.context["adminform"].form.errors)
    card.refresh_from_db()
    assert card.rates["input"] == "2"


def test_a_card_that_has_billed_can_be_closed(staff: Client) -> None:
    card = PriceCard.objects.get(deployment__upstream_id="one")
    bill(card)
    assert save(staff, card, valid_until_0="2027-01-01", valid_until_1="00:00:00").status_code == 302
    card.refresh_from_db()
    assert card.valid_until is not None


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        (None, timedelta(hours=-1), "it cannot end in the past"),
        (timedelta(hours=-1), None, "has billed and is over"),
        (timedelta(hours=-1), timedelta(days=9), "has billed and is over"),
        (timedelta(days=9), timedelta(days=-9), "it cannot end in the past"),
        (timedelta(days=9), None, ""),
        (timedelta(days=9), timedelta(days=8), ""),
    ],
)
def test_the_end_of_a_billed_card_moves_in_the_future_only(
    staff: Client, was: timedelta | None, becomes: timedelta | None, complaint: str
) -> None:
    now = timezone.now().replace(microsecond=0)
    card = PriceCard.objects.get(deployment__upstream_id="one")
    PriceCard.objects.filter(pk=card.pk).update(valid_until=was and now + was)
    bill(card)
    end = timezone.localtime(now + becomes) if becomes else None
    boxes = {
        "valid_until_0": end.strftime("%Y-%m-%d") if end else "",
        "valid_until_1": end.strftime("%H:%M:%S") if end else "",
    }
    answer = save(staff, card, **boxes)
    card.refresh_from_db()
    if complaint:
        assert complaint in str(answer.context["adminform"].form.errors)
        assert card.valid_until == (was and now + was)
    else:
        assert answer.status_code == 302 and card.valid_until == end


def test_a_billed_card_is_refused_in_the_deployment_page_too(staff: Client) -> None:
    card = PriceCard.objects.get(deployment__upstream_id="one")
    bill(card)
    answer = save(staff, card.deployment, **{"price_cards-0-rates": '{"input": "9", "output": "9"}'})
    assert answer.status_code == 200 and "This card has billed" in answer.content.decode()
    card.refresh_from_db()
    assert card.rates["input"] == "2"


def test_the_currency_of_a_deployment_stays_once_a_card_has_billed(staff: Client) -> None:
    deployment = Deployment.objects.get(upstream_id="one")
    assert save(staff, deployment, currency="CNY").status_code == 302
    bill(deployment.price_cards.get())
    answer = save(staff, deployment, currency="USD")
    assert "have billed in the currency" in str(answer.context["adminform"].form.errors["currency"])
    assert save(staff, deployment, priority=7).status_code == 302


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rates", {"input": "9", "output": "9"}),
        ("tier", "flex"),
        ("min_prompt_tokens", 1),
        ("schedule", {"windows": [["00:00", "01:00"]]}),
        ("valid_from", timezone.now()),
    ],
)
def test_the_database_itself_keeps_a_card_that_has_billed(staff: Client, field: str, value: Any) -> None:
    rows = PriceCard.objects.filter(deployment__upstream_id="one")
    before = getattr(rows.get(), field)
    assert rows.update(**{field: value}) == 1  # nothing billed yet
    bill(rows.get())
    with pytest.raises(IntegrityError, match="has billed"), transaction.atomic():
        rows.update(**{field: before})
    with pytest.raises(IntegrityError, match="has billed"), transaction.atomic():
        rows.delete()
    with pytest.raises(IntegrityError, match="has billed"), transaction.atomic():
        Deployment.objects.filter(upstream_id="one").delete()
    assert rows.update(valid_until=timezone.now()) == 1


def test_a_card_that_has_billed_cannot_be_deleted_even_with_its_deployment(staff: Client) -> None:
    card = PriceCard.objects.get(deployment__upstream_id="one")
    bill(card)
    assert staff.post(f"/admin/routing/pricecard/{card.pk}/delete/", {"post": "yes"}).status_code == 403
    assert staff.post(f"/admin/routing/deployment/{card.deployment_id}/delete/", {"post": "yes"}).status_code == 403
    staff.post(
        "/admin/routing/pricecard/",
        {"action": "delete_selected", "_selected_action": [card.pk], "post": "yes"},
    )
    deployment = card.deployment
    prefix = "price_cards-0-"
    assert save(staff, deployment, **{f"{prefix}DELETE": "on"}).status_code == 200
    assert PriceCard.objects.filter(pk=card.pk).exists()


def test_rates_in_the_deployment_page_are_checked_too(staff: Client) -> None:
    deployment = Deployment.objects.get(upstream_id="one")
    answer = save(staff, deployment, **{"price_cards-0-rates": '{"input": "x", "output": "1"}'})
    assert answer.status_code == 200
    assert PriceCard.objects.get(deployment=deployment).rates["input"] == "2"


def test_enabling_many_at_once(staff: Client) -> None:
    rows = list(Provider.objects.values_list("pk", flat=True))
    staff.post("/admin/routing/provider/", {"action": "disable", "_selected_action": rows})
    assert not Provider.objects.filter(enabled=True).exists()
    staff.post("/admin/routing/provider/", {"action": "enable", "_selected_action": rows})
    assert not Provider.objects.filter(enabled=False).exists()


def test_a_save_is_announced_after_the_commit(
    staff: Client, redis_url: str, django_capture_on_commit_callbacks: Any
) -> None:
    import redis

    with redis.Redis.from_url(redis_url) as store, store.pubsub() as heard:
        heard.subscribe("r1:catalogue")
        assert heard.get_message(timeout=5)["type"] == "subscribe"
        with django_capture_on_commit_callbacks(execute=True):
            save(staff, Provider.objects.get(slug="acme"))
        message = heard.get_message(timeout=5)
        assert message is not None and message["type"] == "message"
