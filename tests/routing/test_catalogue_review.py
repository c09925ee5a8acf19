"""A catalogue is offered, looked at, and only what was ticked is taken over."""

from __future__ import annotations

import copy
import json
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from billing.models.usage import UsageRecord
from routing import uploads
from routing.loading.taking_over import Incomplete
from routing.management.commands.load_catalogue import load
from routing.models import CatalogueUpload, Deployment, MarkupRule, Model, ModelAlias, PriceCard, Provider
from routing.page_catalogue import catalogue_for_pages
from routing.policy.candidate import card_in_force
from routing.price_warnings import price_warnings

pytestmark = pytest.mark.django_db
PRICE = "price:acme/one|local|one-local"


@pytest.fixture
def files(write: Any, providers: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    """What was loaded, to be changed by the test."""
    load(write())
    return {"providers.json": copy.deepcopy(providers), "models.json": copy.deepcopy(models)}


def offers(files: dict[str, Any]) -> list[dict[str, Any]]:
    return files["models.json"]["models"][0]["offerings"]


def offered(files: dict[str, Any]) -> CatalogueUpload:
    return uploads.keep("a test", files, None)


def keys(files: dict[str, Any]) -> dict[str, str]:
    return {item.key: item.kind for item in uploads.differences(offered(files))}


def taken(files: dict[str, Any], *chosen: str, at: datetime | None = None) -> list[str]:
    return uploads.apply(offered(files), chosen, prices_from=at, by=None)


def rate_at(moment: datetime) -> Decimal:
    catalogue = catalogue_for_pages()
    local = next(one for one in catalogue.models["acme/one"].deployments if one.provider == "local")
    card = card_in_force(local, at=moment)
    assert card is not None
    return card.rates["output"]


def bill(card: PriceCard) -> None:
    id_ = uuid.uuid4()
    UsageRecord.objects.create(
        id=id_, request_id=id_, organization_id=1, project_id=1, api_key_id=1, model="m",
        provider="p", usage={}, usage_source="reported", policy="standard", price_card_id=card.pk, rates={},
        charge_nanos=0, occurred_at=timezone.now(),
    )  # fmt: skip


# --- What differs ----------------------------------------------------------------------------------------------------
def test_what_was_loaded_does_not_differ(files: dict[str, Any]) -> None:
    assert keys(files) == {}


def test_the_bundled_catalogue_does_not_differ_from_itself(db: None) -> None:
    load(uploads.BUNDLED)
    assert uploads.differences(uploads.keep_bundled(None)) == []


def test_each_kind_of_difference_is_named(files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    offers(files)[1]["context_length"] = 64_000
    offers(files).append({**copy.deepcopy(offers(files)[0]), "upstream_id": "one-mini"})
    files["models.json"]["models"].append(
        {**copy.deepcopy(files["models.json"]["models"][1]), "slug": "acme/three", "name": "Three"}
    )
    files["models.json"]["models"][1]["offerings"] = []
    files["models.json"]["models"][0]["aliases"].append("One-Now")
    files["providers.json"]["providers"][0]["region"] = "EU"
    assert keys(files) == {
        "provider:acme": "changed",
        "offer:acme/one|local|one-local": "changed",
        PRICE: "price",
        "offer:acme/one|acme|one-mini": "new",
        "model:acme/three": "new",
        "offer:acme/three|acme|two": "new",
        "gone:acme/two|acme|two": "gone",
        "names": "changed",
    }


def test_a_price_difference_says_by_how_much(files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"] = {"input": "1", "output": "5"}
    (item,) = uploads.differences(offered(files))
    assert [(one.name, one.before, one.after, one.percent) for one in item.differences] == [
        ("standard · output", "4", "5", pytest.approx(25)),
        ("standard · cache_read", "0.1", "", None),
    ]


# --- Taking over -----------------------------------------------------------------------------------------------------
def test_only_what_was_ticked_changes(files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    offers(files)[0]["price_cards"][0]["rates"]["output"] = "80"
    offers(files)[1]["context_length"] = 64_000
    files["models.json"]["models"][0]["name"] = "Renamed"
    assert taken(files, PRICE) == [PRICE]
    assert rate_at(timezone.now()) == 5
    assert keys(files).keys() == {
        "model:acme/one",
        "offer:acme/one|local|one-local",
        "price:acme/one|acme|one",
    }
    assert Model.objects.get(slug="acme/one").name == "One"


def test_a_changed_price_is_a_new_card_from_the_chosen_moment_on(files: dict[str, Any]) -> None:
    card = PriceCard.objects.get(deployment__provider__slug="local", min_prompt_tokens=0)
    bill(card)
    start = timezone.now() + timedelta(days=3)
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    taken(files, PRICE, at=start)
    assert rate_at(start - timedelta(seconds=1)) == 4 and rate_at(start) == 5
    card.refresh_from_db()
    assert card.rates["output"] == "4" and card.valid_until == start
    assert keys(files) == {}  # and the next look, or load, finds nothing to do


def test_a_price_that_has_not_begun_is_corrected_in_place(files: dict[str, Any]) -> None:
    start = timezone.now() + timedelta(days=3)
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    taken(files, PRICE, at=start)
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "6"
    taken(files, PRICE)
    assert rate_at(start - timedelta(days=1)) == 4 and rate_at(start) == 6


def test_the_past_cannot_be_repriced(files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    before = timezone.now()
    taken(files, PRICE, at=datetime(2020, 1, 1, tzinfo=UTC))
    assert rate_at(before - timedelta(seconds=1)) == 4 and rate_at(timezone.now()) == 5


def test_a_new_deployment_needs_its_model(files: dict[str, Any]) -> None:
    three = {**copy.deepcopy(files["models.json"]["models"][1]), "slug": "acme/three", "name": "Three"}
    files["models.json"]["models"].append(three)
    with pytest.raises(Incomplete) as incomplete:
        taken(files, "offer:acme/three|acme|two")
    assert incomplete.value.missing == "model:acme/three"
    assert taken(files, "offer:acme/three|acme|two", "model:acme/three")
    assert Deployment.objects.get(model__slug="acme/three").price_cards.count() == 1


def test_what_is_gone_is_switched_off_and_kept(files: dict[str, Any]) -> None:
    files["models.json"]["models"][1]["offerings"] = []
    taken(files, "gone:acme/two|acme|two")
    row = Deployment.objects.get(model__slug="acme/two")
    assert not row.enabled and row.drain_reason and row.price_cards.exists()
    assert keys(files) == {}


def test_names_and_providers_are_taken_over_on_their_own(files: dict[str, Any]) -> None:
    files["models.json"]["models"][0]["aliases"].append("One-Now")
    files["providers.json"]["providers"][0]["region"] = "EU"
    taken(files, "names")
    assert ModelAlias.objects.filter(name="One-Now").exists()
    assert Provider.objects.get(slug="acme").region == ""
    taken(files, "provider:acme")
    assert Provider.objects.get(slug="acme").region == "EU"


def test_another_currency_is_not_taken_over_here(files: dict[str, Any]) -> None:
    offers(files)[1]["currency"] = "CNY"
    assert taken(files, "offer:acme/one|local|one-local") == []
    assert Deployment.objects.get(provider__slug="local").currency == "USD"


# --- The pages -------------------------------------------------------------------------------------------------------
@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(get_user_model().objects.create_superuser("root@example.test", "a long enough one"))
    return client


def sent(files: dict[str, Any]) -> dict[str, Any]:
    named = {name.removesuffix(".json"): json.dumps(value).encode() for name, value in files.items()}
    return {"source": "a friend", **{name: SimpleUploadedFile(f"{name}.json", text) for name, text in named.items()}}


def test_staff_offer_files_tick_and_take_over(staff: Client, files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    answer = staff.post("/admin/routing/catalogueupload/add/", sent(files))
    assert answer.status_code == 302, answer.content.decode()
    page = staff.get(answer["Location"]).content.decode()
    assert "+25.0%" in page and PRICE in page
    assert rate_at(timezone.now()) == 4  # looking changes nothing
    assert "Choose something" in staff.post(answer["Location"], {}).content.decode()
    past = staff.post(answer["Location"], {"key": PRICE, "prices_from": "2020-01-01T00:00"}).content.decode()
    assert "Prices cannot change in the past" in past and rate_at(timezone.now()) == 4
    done = staff.post(answer["Location"], {"key": PRICE}, follow=True).content.decode()
    assert "Nothing differs" in done and rate_at(timezone.now()) == 5
    assert CatalogueUpload.objects.get().applied == [PRICE]


def test_much_is_ticked_at_once_but_neither_large_moves_nor_what_is_gone(staff: Client, files: dict[str, Any]) -> None:
    offers(files)[0]["price_cards"][0]["rates"]["output"] = "500"
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "5"
    two = files["models.json"]["models"][1]
    two["offerings"] = []
    Deployment.objects.create(
        provider=Provider.objects.all()[0], model=Model.objects.get(slug=two["slug"]), upstream_id="x", dialect="gemini"
    )
    page = staff.get(f"/admin/routing/catalogueupload/{offered(files).pk}/change/").content.decode()
    groups = page.split("data-group")[1:]
    assert [("data-tick" in group, group.count("data-marked")) for group in groups] == [(True, 1), (False, 0)]
    assert "in the provider's currency, per million tokens" in groups[0]
    assert groups[1].count("switches it off") > 1


def test_files_that_could_not_be_loaded_are_refused_with_the_reasons(staff: Client, files: dict[str, Any]) -> None:
    offers(files)[1]["price_cards"][0]["rates"]["output"] = "five"
    page = staff.post("/admin/routing/catalogueupload/add/", sent(files)).content.decode()
    assert "not a plain decimal number" in page and not CatalogueUpload.objects.exists()
    bad = {**sent(files), "models": SimpleUploadedFile("models.json", b"{")}
    assert "This is no JSON file" in staff.post("/admin/routing/catalogueupload/add/", bad).content.decode()


# --- Warnings --------------------------------------------------------------------------------------------------------
def warned(what: str) -> list[str]:
    return [one.label for one in price_warnings() if one.what == what]


def test_a_factor_below_one_sells_below_cost(files: dict[str, Any]) -> None:
    assert warned("below_cost") == []
    MarkupRule.objects.create(scope="provider", provider_id=1 and Provider.objects.first().pk, factor="0.9",  # type: ignore[union-attr]
                              valid_from=timezone.now())  # fmt: skip
    assert warned("below_cost") == ["Acme"]


def test_a_price_that_ends_with_nothing_after_it_is_named(files: dict[str, Any]) -> None:
    PriceCard.objects.filter(deployment__provider__slug="local").update(valid_until=timezone.now() + timedelta(days=3))
    assert warned("ends_soon") == ["acme/one @ local"]
    PriceCard.objects.filter(deployment__provider__slug="local").delete()
    assert warned("no_price") == ["acme/one @ local"]


def test_old_and_doubted_prices_are_named(files: dict[str, Any]) -> None:
    assert warned("old") == warned("doubted") == []
    Deployment.objects.filter(provider__slug="local").update(as_of="2020-01-01", cross_check="disagree")
    assert warned("old") == warned("doubted") == ["acme/one @ local"]


def test_an_exchange_rate_that_nobody_renewed_is_named(files: dict[str, Any]) -> None:
    from billing.models.rates import ExchangeRate

    Deployment.objects.filter(provider__slug="local").update(currency="CNY")
    assert warned("no_rate") == ["CNY"]
    ExchangeRate.objects.create(currency="CNY", units_per_usd=7, valid_from=timezone.now() - timedelta(days=8))
    assert warned("no_rate") == [] and warned("old_rate") == ["CNY"]


def test_prices_that_drifted_from_the_bundled_catalogue_are_named(db: None) -> None:
    load(uploads.BUNDLED)
    assert warned("drift") == []
    card = PriceCard.objects.filter(deployment__upstream_id="gpt-4o", deployment__provider__slug="openai").first()
    assert card is not None
    card.rates = {**card.rates, "output": "20"}
    card.save()
    assert warned("drift") == ["openai/gpt-4o @ openai (gpt-4o)"]


def test_the_page_of_warnings_opens(staff: Client, files: dict[str, Any]) -> None:
    PriceCard.objects.filter(deployment__provider__slug="local").delete()
    assert "no price is in force" in staff.get("/admin/routing/pricecard/warnings/").content.decode()
