from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from routing.management.commands.load_catalogue import load
from routing.models import Deployment, Model, Provider

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


def text_of(client: Client, url: str, **headers: str) -> str:
    answer = client.get(url, headers=headers)
    assert answer.status_code == 200, answer
    return str(answer.content.decode())


def test_the_list_shows_models_with_the_lowest_price_that_can_be_called(client: Client, write: Any) -> None:
    load(write())
    page = text_of(client, "/models")
    assert "acme/one" in page and "2 of 2 shown, 1 can be called here." in page
    assert "$1.00" in page and "$4.00" in page and "$0.10" in page  # of the local provider
    assert "$3.00" in page and "list price" in page and "Unavailable here" in page  # acme has no credential


def test_a_cheaper_provider_that_is_off_does_not_set_the_price(
    client: Client, write: Any, models: dict[str, Any]
) -> None:
    models["models"][0]["offerings"][0]["price_cards"][0]["rates"] = {"input": "0.01", "output": "0.02"}
    load(write())
    assert "$0.01" not in text_of(client, "/models")
    assert "$0.01" in text_of(client, "/models/acme/one")


def test_the_markup_is_in_the_price(client: Client, write: Any, settings: Any) -> None:
    settings.MARKUP = "1.5"
    load(write())
    page = text_of(client, "/models")
    assert "$1.50" in page and "$6.00" in page


def test_prices_in_another_currency_are_shown_in_dollars(client: Client, write: Any, models: dict[str, Any]) -> None:
    card = {"rates": {"input": "7.12", "output": "71.2"}}
    models["models"][0]["offerings"][1] |= {"currency": "CNY", "price_cards": [card]}
    load(write())
    page = text_of(client, "/models/acme/one")
    assert "$1.00" in page and "$10.00" in page and "CNY" in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=one", {"acme/one"}),
        ("q=ONE-latest", {"acme/one"}),
        ("q=acme+local", {"acme/one"}),
        ("q=tools", {"acme/one"}),
        ("q=nothing-like-it", set()),
        ("capability=tools", {"acme/one"}),
        ("capability=bogus", {"acme/one", "acme/two"}),
        ("author=acme", {"acme/one", "acme/two"}),
        ("author=nobody", set()),
        ("modality=image", set()),
        ("available=1", {"acme/one"}),
        ("sort=name", {"acme/one", "acme/two"}),
    ],
)
def test_the_list_can_be_searched_and_filtered(client: Client, write: Any, query: str, found: set[str]) -> None:
    load(write())
    page = text_of(client, f"/models?{query}")
    assert {slug for slug in ("acme/one", "acme/two") if f'"/models/{slug}"' in page} == found
    assert found or "No model matches" in page


@pytest.mark.parametrize(("sort", "first"), [("price", "acme/two"), ("context", "acme/one"), ("quality", "acme/one")])
def test_the_list_can_be_ordered(client: Client, write: Any, models: dict[str, Any], sort: str, first: str) -> None:
    two = models["models"][1]["offerings"][0]
    two["provider"], two["price_cards"] = "local", [{"rates": {"input": "0.10", "output": "0.10"}}]
    load(write())
    page = text_of(client, f"/models?sort={sort}")
    places = {slug: page.index(f'"/models/{slug}"') for slug in ("acme/one", "acme/two")}
    assert min(places, key=lambda slug: places[slug]) == first


def test_htmx_gets_the_table_alone(client: Client, write: Any) -> None:
    load(write())
    fragment = text_of(client, "/models?q=two", **{"HX-Request": "true"})
    assert "<html" not in fragment and "acme/two" in fragment and "acme/one" not in fragment


def test_an_empty_catalogue_says_what_to_do(client: Client) -> None:
    assert "load_catalogue" in text_of(client, "/models")


def test_the_page_of_a_model_shows_prices_conditions_names_and_how_to_call_it(
    client: Client, write: Any, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://gateway.example.test"
    load(write())
    page = text_of(client, "/models/acme/one")
    assert "One-Latest" in page and "200,001" in page and "$6.00" in page
    assert "curl https://gateway.example.test/v1/chat/completions" in page
    assert "90% less than input" in page
    assert "CC BY 4.0" in page


def test_without_a_quality_index_nobody_is_credited(client: Client, write: Any) -> None:
    load(write())
    assert "CC BY 4.0" not in text_of(client, "/models/acme/two")


def test_another_name_leads_to_the_model(client: Client, write: Any) -> None:
    load(write())
    assert client.get("/models/one-latest").headers["Location"].endswith("/models/acme/one")
    assert client.get("/models/ACME/One").headers["Location"].endswith("/models/acme/one")


def test_a_withdrawn_name_is_gone_and_names_its_successor(client: Client, write: Any) -> None:
    load(write())
    answer = client.get("/models/zero")
    assert answer.status_code == 404
    page = answer.content.decode()
    assert "acme/one" in page and "2026-01-02" in page


def test_an_unknown_or_disabled_model_is_not_found(client: Client, write: Any) -> None:
    load(write())
    Model.objects.filter(slug="acme/two").update(enabled=False)
    assert client.get("/models/acme/two").status_code == 404
    assert client.get("/models/no/such").status_code == 404
    assert "acme/two" not in text_of(client, "/models")


def test_retirement_is_announced(client: Client, write: Any) -> None:
    load(write())
    Deployment.objects.update(retires_on="2099-01-02")
    assert "Retires 2099-01-02" in text_of(client, "/models")
    assert "stop serving this model on 2099-01-02" in text_of(client, "/models/acme/one")
    Deployment.objects.update(retires_on="2020-01-02")
    assert "0 can be called here" in text_of(client, "/models")


def test_the_sandbox_is_marked(client: Client, settings: Any) -> None:
    settings.SANDBOX_URL = "http://127.0.0.1:4321"
    load(ROOT / "routing/data/sandbox")
    page = text_of(client, "/models")
    assert "sandbox/echo" in page and ">Sandbox</span>" in page and "Unavailable here" not in page


def test_a_model_for_embeddings_shows_its_own_example(client: Client, settings: Any) -> None:
    settings.SANDBOX_URL = "http://127.0.0.1:4321"
    load(ROOT / "routing/data/sandbox")
    page = text_of(client, "/models/sandbox/embedding")
    assert "Embedding" in page and "/v1/embeddings" in page and "client.embeddings.create" in page
    assert "chat/completions" not in page and "Unavailable here" not in page
    assert "sandbox/embedding" in text_of(client, "/models")
    assert "/v1/chat/completions" in text_of(client, "/models/sandbox/echo")


def test_the_whole_catalogue_takes_a_fixed_number_of_queries(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    load(ROOT / "routing/data/catalogue")
    Provider.objects.update(enabled=True)
    with django_assert_max_num_queries(8):
        page = text_of(client, "/models")
    assert "128 models at 28 providers" in page
    for slug in Model.objects.values_list("slug", flat=True)[::12]:
        with django_assert_max_num_queries(9):
            text_of(client, f"/models/{slug}")


def test_the_pages_speak_chinese(client: Client, write: Any) -> None:
    load(write())
    page = text_of(client, "/models", **{"Accept-Language": "zh-CN,zh;q=0.9"})
    assert "此处不可用" in page and "输入" in page
    assert "各供应商价格" in text_of(client, "/models/acme/one", **{"Accept-Language": "zh-CN"})


def test_a_drained_provider_is_not_available_here(client: Client, write: Any) -> None:
    load(write())
    Provider.objects.filter(slug="local").update(drained_at=timezone.now())
    assert "Unavailable here" in text_of(client, "/models/acme/one")
    assert "0 can be called here" in text_of(client, "/models")
