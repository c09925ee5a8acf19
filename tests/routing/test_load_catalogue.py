from __future__ import annotations

import io
import json
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models.rates import ExchangeRate
from billing.models.usage import UsageRecord
from routing.credentials import decrypt
from routing.management.commands.load_catalogue import load
from routing.models import CatalogueVersion, Credential, Deployment, Model, ModelAlias, PriceCard, Provider

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SHARED_CATALOGUE", ROOT.parent / "shared" / "catalog"))


def say(folder: Path, **options: Any) -> str:
    out = io.StringIO()
    call_command("load_catalogue", str(folder), stdout=out, **options)
    return out.getvalue()


def bill(card: PriceCard) -> None:
    id_ = uuid.uuid4()
    UsageRecord.objects.create(
        id=id_, request_id=id_, organization_id=1, project_id=1, api_key_id=1, model="m",
        provider="p", usage={}, usage_source="reported", policy="standard", price_card_id=card.pk, rates={},
        charge_nanos=0, occurred_at=timezone.now(),
    )  # fmt: skip


def first_card() -> PriceCard:
    return PriceCard.objects.get(deployment__upstream_id="one")


def test_a_folder_is_loaded(write: Any) -> None:
    text = say(write())
    assert "+ provider acme (disabled: no credential)" in text
    assert "2 providers, 2 models, 3 deployments, 4 price cards" in text
    assert Model.objects.get(slug="acme/one").quality_index == 50
    assert ModelAlias.objects.get(name="One-Latest").model == Model.objects.get(slug="acme/one")
    assert ModelAlias.objects.get(name="zero").successor == "acme/one"
    assert first_card().rates == {"input": "2", "output": "8"}


def test_only_a_provider_that_can_be_called_is_enabled(write: Any) -> None:
    load(write())
    assert dict(Provider.objects.values_list("slug", "enabled")) == {"acme": False, "local": True}


def test_loading_again_changes_nothing(write: Any) -> None:
    load(write())
    before = CatalogueVersion.objects.get().version
    text = say(write())
    assert "0 new, 0 changed, 0 gone" in text
    assert CatalogueVersion.objects.get().version == before


def test_a_dry_run_shows_and_changes_nothing(write: Any) -> None:
    text = say(write(), dry_run=True)
    assert "+ model acme/one" in text
    assert not Provider.objects.exists() and not Model.objects.exists()


def test_quiet_says_nothing(write: Any) -> None:
    assert say(write(), quiet=True) == ""
    assert Model.objects.count() == 2


def test_if_empty_leaves_a_filled_catalogue_alone(write: Any, models: dict[str, Any]) -> None:
    say(write(), if_empty=True)
    models["models"][0]["name"] = "Renamed"
    say(write(), if_empty=True)
    assert Model.objects.get(slug="acme/one").name == "One"


def test_a_key_in_the_environment_is_stored_encrypted_and_opens_the_provider(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(write())
    monkeypatch.setenv("ACME_TEST_KEY", "sk-acme-0123456789")
    load(write())
    stored = Credential.objects.get(provider__slug="acme")
    assert b"acme" not in bytes(stored.secret_encrypted)
    assert decrypt(stored.secret_encrypted, settings.CREDENTIAL_KEYS) == "sk-acme-0123456789"
    assert stored.last_four == "6789"
    assert Provider.objects.get(slug="acme").enabled
    assert "0 new, 0 changed" in say(write())


def test_staff_switches_survive_a_load(write: Any, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TEST_KEY", "sk-acme-0123456789")
    load(write())
    Provider.objects.update(enabled=False)
    Deployment.objects.filter(upstream_id="one").update(enabled=False, priority=7)
    models["models"][0]["offerings"][0]["context_length"] = 5000
    models["models"][0]["offerings"][0]["priority"] = 1
    load(write())
    assert not Provider.objects.filter(enabled=True).exists()
    row = Deployment.objects.get(upstream_id="one")
    assert (row.enabled, row.priority, row.context_length) == (False, 7, 5000)


def test_the_difference_names_what_changed(write: Any, models: dict[str, Any]) -> None:
    load(write())
    models["models"][0]["context_length"] = 200000
    del models["models"][1]
    text = say(write())
    assert "~ model acme/one: context_length 100000 → 200000" in text
    assert "- deployment acme/two @ acme (two) (gone from the files; kept)" in text
    assert Model.objects.filter(slug="acme/two").exists()


def test_another_folder_touches_nothing_of_the_first(write: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    load(write())
    other = tmp_path_factory.mktemp("other")
    (other / "providers.json").write_text(
        json.dumps({"providers": [{"slug": "x", "base_urls": {"openai_chat": "http://[::1]:1"}, "auth": "none"}]})
    )
    (other / "models.json").write_text(json.dumps({"models": []}))
    assert "1 new, 0 changed, 0 gone" in say(other)
    assert Deployment.objects.filter(enabled=True).count() == 3


def test_a_card_that_never_billed_is_corrected_in_place(write: Any, models: dict[str, Any]) -> None:
    load(write())
    card = first_card()
    models["models"][0]["offerings"][0]["price_cards"][0]["rates"]["input"] = "2.50"
    load(write())
    card.refresh_from_db()
    assert card.rates["input"] == "2.5"
    assert PriceCard.objects.count() == 4


def test_a_card_that_has_billed_is_closed_and_succeeded(write: Any, models: dict[str, Any]) -> None:
    load(write())
    old = first_card()
    bill(old)
    models["models"][0]["offerings"][0]["price_cards"][0]["rates"]["input"] = "5"
    text = say(write())
    assert "has billed, closed now" in text
    old.refresh_from_db()
    new = PriceCard.objects.get(replaces=old)
    assert old.rates["input"] == "2" and new.rates["input"] == "5"
    assert old.valid_until == new.valid_from is not None
    assert "0 new, 0 changed" in say(write())


def test_a_price_that_changes_twice_makes_a_chain(write: Any, models: dict[str, Any]) -> None:
    load(write())
    rates = models["models"][0]["offerings"][0]["price_cards"][0]["rates"]
    for price in ("5", "6"):
        bill(PriceCard.objects.filter(deployment__upstream_id="one").latest("id"))
        rates["input"] = price
        load(write())
    cards = list(PriceCard.objects.filter(deployment__upstream_id="one").order_by("id"))
    assert [card.rates["input"] for card in cards] == ["2", "5", "6"]
    assert [card.valid_until is None for card in cards] == [False, False, True]
    assert "0 new, 0 changed" in say(write())


def test_the_end_of_a_billed_card_may_move(write: Any, models: dict[str, Any]) -> None:
    load(write())
    old = first_card()
    bill(old)
    end = (timezone.now() + timedelta(days=9)).date()
    models["models"][0]["offerings"][0]["price_cards"][0]["valid_until"] = str(end)
    load(write())
    old.refresh_from_db()
    assert old.valid_until is not None and old.valid_until.date() == end
    assert PriceCard.objects.count() == 4


@pytest.mark.parametrize("in_past", [False, True])
def test_a_billed_card_that_is_over_is_never_opened_again(write: Any, models: dict[str, Any], in_past: bool) -> None:
    """Files that are back at an old price make a card from now on, or none where they end in the past."""
    load(write())
    old = first_card()
    bill(old)
    end = timezone.now() - timedelta(days=3)
    PriceCard.objects.filter(pk=old.pk).update(valid_until=end)
    if in_past:
        models["models"][0]["offerings"][0]["price_cards"][0]["valid_until"] = str((end - timedelta(days=3)).date())
    load(write())
    old.refresh_from_db()
    assert old.valid_until == end
    successors = PriceCard.objects.filter(replaces=old)
    assert [card.valid_until for card in successors] == ([] if in_past else [None])
    assert "0 new, 0 changed" in say(write())


def test_the_same_figures_in_another_currency_are_another_price(
    write: Any, models: dict[str, Any], providers: dict[str, Any]
) -> None:
    load(write())
    billed = first_card()
    bill(billed)
    providers["providers"][0]["currency"] = "CNY"
    text = say(write())
    assert "has billed, closed now" in text
    billed.refresh_from_db()
    successor = PriceCard.objects.get(replaces=billed)
    assert successor.rates == billed.rates and successor.valid_from == billed.valid_until is not None
    assert PriceCard.objects.filter(deployment__upstream_id="two").count() == 1  # never billed: kept as it is
    assert "0 new, 0 changed" in say(write())


def test_an_offering_without_a_currency_is_priced_in_its_providers(write: Any, providers: dict[str, Any]) -> None:
    providers["providers"][0]["currency"] = "CNY"
    load(write())
    assert Deployment.objects.get(upstream_id="one").currency == "CNY"
    assert str(ExchangeRate.objects.get(currency="CNY").units_per_usd) == "7.12000000"


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (
            "offerings.0.protocol",
            "smoke_signals",
            "models[0].offerings[0].protocol: is 'smoke_signals'; must be one of",
        ),
        ("offerings.0.provider", "nobody", "models[0].offerings[0].provider: 'nobody' is neither"),
        ("offerings.0.protocol", "gemini_generate", "provider 'acme' has no base URL for gemini_generate"),
        ("offerings.0.price_cards", [], "models[0].offerings[0].price_cards: must hold at least one card"),
        ("offerings.0.price_cards.0.rates", {"input": "1"}, "price_cards[0].rates: output is missing"),
        ("offerings.0.price_cards.0.rates", {"input": "-1", "output": "1"}, "input must not be negative"),
        ("offerings.0.price_cards.0.rates", {"input": 1.5, "output": "1"}, "input must be a decimal string"),
        ("offerings.0.price_cards.0.rates", {"input": "1e3", "output": "1"}, "input is '1e3'"),
        ("offerings.0.price_cards.0.rates", {"input": "NaN", "output": "1"}, "input is 'NaN'"),
        ("offerings.0.price_cards.0.rates", {"input": "1", "output": "1", "inptu": "1"}, "inptu is no known rate"),
        ("offerings.0.price_cards.0.tier", "gold", "tier: is 'gold'"),
        ("offerings.0.price_cards.0.valid_from", "soon", "valid_from: is 'soon'; must be a date"),
        ("offerings.0.price_cards.0.schedule", {"windows": [["1", "2"]]}, "not a pair of HH:MM times"),
        ("offerings.0.retires_on", "never", "retires_on: is 'never'"),
        ("offerings.0.base_url", "ftp://x", "must begin with http:// or https://"),
        ("slug", "Two Words", "models[0].slug: is 'Two Words'"),
        ("slug", "acme/two", "model 'acme/two' appears more than once"),
        ("context_length", "many", "context_length: is 'many'; must be a whole number"),
        ("name", 7, "name: must be a string"),
        ("offerings", {}, "offerings: must be a list"),
    ],
)
def test_bad_input_is_named_and_changes_nothing(
    write: Any, models: dict[str, Any], path: str, value: Any, complaint: str
) -> None:
    place: Any = models["models"][0]
    *steps, last = path.split(".")
    for step in steps:
        place = place[int(step)] if step.isdigit() else place[step]
    place[last] = value
    with pytest.raises(CommandError, match="was not loaded") as refused:
        say(write())
    assert complaint in str(refused.value)
    assert "models.json: " in str(refused.value)
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("base_urls", {}, "base_urls: base_urls must be an object"),
        ("base_urls", {"telnet": "https://x.test"}, "telnet is no known protocol"),
        ("base_urls", {"openai_chat": "x.test"}, "must begin with http:// or https://"),
        ("base_urls", {"openai_chat": "https://u:p@x.test"}, "must not carry a user"),
        ("currency", "usd", "currency: is 'usd'"),
        ("extra_headers", {"Authorization": "x"}, "Authorization is set by the gateway"),
        ("extra_headers", {"X-A": "a\nb"}, "is not a valid header"),
        ("url_variables", {"a": 1}, 'must be a string or {"env": "NAME"}'),
        ("slug", "a b", "slug: is 'a b'"),
    ],
)
def test_bad_providers_are_named(write: Any, providers: dict[str, Any], field: str, value: Any, complaint: str) -> None:
    providers["providers"][0][field] = value
    with pytest.raises(CommandError) as refused:
        say(write())
    assert "providers.json: providers[0]" in str(refused.value) and complaint in str(refused.value)


def test_a_name_may_not_belong_to_two_models(write: Any, models: dict[str, Any]) -> None:
    models["models"][1]["aliases"] = ["ONE-LATEST"]
    with pytest.raises(CommandError, match="alias 'one-latest' appears more than once"):
        say(write())


def test_spellings_of_one_name_are_one_name(write: Any, models: dict[str, Any]) -> None:
    models["models"][1]["aliases"] = ["Two", "TWO"]
    load(write())
    assert ModelAlias.objects.filter(model__slug="acme/two").count() == 1
    assert "0 new, 0 changed" in say(write())


def test_broken_json_is_named_with_its_line(write: Any) -> None:
    folder = write()
    (folder / "models.json").write_text('{"models": [\n{]}')
    with pytest.raises(CommandError, match=r"models\.json: line 2, column 2: not valid JSON"):
        say(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"providers\.json: there is no such file"):
        say(tmp_path)


def test_an_unknown_successor_rolls_everything_back(write: Any) -> None:
    folder = write()
    (folder / "legacy_names.json").write_text('{"gpt-0.5": {"successor": "nobody/nothing"}}')
    with pytest.raises(CommandError, match=r'\["gpt-0\.5"\]\.successor'):
        say(folder)
    assert not Provider.objects.exists()


def test_the_builtin_catalogue_loads_completely_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    folder = ROOT / "routing/data/catalogue"
    text = say(folder)
    assert "28 providers, 128 models, 407 deployments, 828 price cards" in text
    assert "0 new, 0 changed, 0 gone" in say(folder)
    assert all(Provider.objects.exclude(api_key_env="").values_list("api_key_env", flat=True))
    assert Provider.objects.filter(api_key_env="").count() == 0


@pytest.mark.skipif(not SHARED.exists(), reason="the source catalogue is not here")
def test_the_builtin_catalogue_says_the_same_as_its_source() -> None:
    """The source lists no embedding models; those are the catalogue's own."""
    load(ROOT / "routing/data/catalogue")
    own = set(Model.objects.filter(deployments__dialect="openai_embeddings").values_list("slug", flat=True))
    cards = set(PriceCard.objects.values_list("deployment__model__slug", "deployment__upstream_id", "rates__input"))
    text = say(SHARED)
    gone = [line for line in text.splitlines() if line.endswith("(gone from the files; kept)")]
    assert gone and all(any(slug in line for slug in own) for line in gone), gone
    assert "price card" not in text.replace("price cards", "")
    assert cards == set(
        PriceCard.objects.values_list("deployment__model__slug", "deployment__upstream_id", "rates__input")
    )
    assert "28 providers, 128 models, 407 deployments, 828 price cards" in text


def test_the_sandbox_is_usable_at_once(settings: Any) -> None:
    settings.SANDBOX_URL = "http://127.0.0.1:4321"
    load(ROOT / "routing/data/sandbox")
    sandbox = Provider.objects.get(slug="sandbox")
    assert sandbox.enabled and sandbox.is_sandbox and sandbox.url_variables == {"origin": "http://127.0.0.1:4321"}
    flaky = Deployment.objects.filter(model__slug="sandbox/flaky").order_by("priority")
    assert [row.upstream_id for row in flaky] == ["sandbox-fail-500", "sandbox-echo"]
    settings.SANDBOX_URL = "http://127.0.0.1:5555"
    load(ROOT / "routing/data/sandbox")
    sandbox.refresh_from_db()
    assert sandbox.url_variables == {"origin": "http://127.0.0.1:5555"}
