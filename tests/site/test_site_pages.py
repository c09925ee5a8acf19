from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client, RequestFactory
from django.views.defaults import server_error

from routerone import site_pages

MONEY = re.compile(r"<[^>]+>")


def text_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


@pytest.mark.django_db
def test_home_counts_and_prices_what_is_in_the_catalogue(client: Client, catalogue: None) -> None:
    from routing.models import Model

    page = text_of(client, "/")
    assert f"One endpoint for {Model.objects.filter(enabled=True).count()} models" in page
    assert "sandbox/echo" in page and "Input / 1M" in page


@pytest.mark.django_db
def test_the_example_receipt_adds_up(client: Client, catalogue: None) -> None:
    receipt = text_of(client, "/").split('class="receipt"')[1].split("</section>")[0]
    amounts = [Decimal(one) for one in re.findall(r"\$([\d.]+)(?= |$)", MONEY.sub("", receipt).replace("\n", " "))]
    lines = re.findall(r"([\d,]+) × \$([\d.]+)/M", receipt)
    assert len(lines) >= 2
    total = sum(Decimal(count.replace(",", "")) * Decimal(rate) / 1_000_000 for count, rate in lines)
    assert amounts[-1] == total > 0


@pytest.mark.django_db
def test_home_tells_no_numbers_where_the_catalogue_is_empty(client: Client) -> None:
    page = text_of(client, "/")
    assert "One endpoint for all models" in page
    assert "Input / 1M" not in page and 'class="receipt"' not in page


@pytest.mark.django_db
def test_home_and_docs_stand_while_the_database_is_away(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(at: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(site_pages, "highlights", away)
    for path in ("/", "/docs"):
        assert "sandbox/echo" in text_of(client, path)


@pytest.mark.django_db
def test_snippets_name_our_address(client: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://router.example"
    for path in ("/", "/docs", "/llms.txt"):
        assert "https://router.example/v1" in text_of(client, path)


@pytest.mark.django_db
def test_docs_tell_how_every_client_is_set_up(client: Client, settings: Any) -> None:
    settings.PUBLIC_URL = "https://router.example"
    page = MONEY.sub("", text_of(client, "/docs")).replace("&quot;", '"')
    for line in (
        "export ANTHROPIC_BASE_URL=https://router.example\n",
        "export ANTHROPIC_AUTH_TOKEN=sk-ro-…",
        'base_url = "https://router.example/v1"',
        'wire_api = "responses"',
        '"baseURL": "https://router.example/v1"',
        "POST /v1beta/models/{model}:generateContent",
        "x-router-strict",
    ):
        assert line in page, line


@pytest.mark.django_db
def test_no_page_claims_what_was_true_before_the_endpoints_opened(client: Client) -> None:
    for path in ("/", "/docs", "/llms.txt"):
        page = text_of(client, path)
        assert "Not open yet: " not in page and "not open yet. Clients" not in page and "do not work yet" not in page


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/docs"])
def test_examples_are_escaped(client: Client, settings: Any, path: str) -> None:
    settings.PUBLIC_URL = "https://router.example/<b>"
    assert "/<b>" not in text_of(client, path).split("</head>")[1]


def test_robots_keep_out_of_the_dashboard(client: Client) -> None:
    assert "Disallow: /keys" in text_of(client, "/robots.txt")
    assert client.get("/favicon.ico").headers["Location"].endswith("logo.svg")


@pytest.mark.django_db
def test_a_page_that_is_not_there_says_so_in_the_readers_language(client: Client) -> None:
    for language, words in (("en", "There is no such page."), ("zh-CN", "页面不存在。")):
        answer = client.get("/nothing-here", headers={"accept-language": language})
        assert answer.status_code == 404 and words in answer.content.decode()


@pytest.mark.django_db
def test_a_form_without_its_token_is_explained() -> None:
    answer = Client(enforce_csrf_checks=True).post("/i18n/setlang/", {"language": "en"})
    assert answer.status_code == 403 and "This form has expired." in answer.content.decode()


@pytest.mark.django_db
def test_a_malformed_request_is_explained(client: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["router.example"]
    answer = client.get("/", headers={"host": "elsewhere.example"})
    assert answer.status_code == 400 and "The request could not be understood." in answer.content.decode()


def test_the_page_for_our_own_faults_needs_no_database() -> None:
    answer = server_error(RequestFactory().get("/"))
    assert answer.status_code == 500
    assert "This page cannot be shown right now." in answer.content.decode()
    assert "页面暂时无法显示" in answer.content.decode()
