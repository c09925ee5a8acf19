"""Pages see the catalogue as the gateway does, without its secrets."""

from __future__ import annotations

from typing import Any

import pytest

from routing.management.commands.load_catalogue import load
from routing.models import Credential, Deployment, Provider
from routing.page_catalogue import catalogue_for_pages

pytestmark = pytest.mark.django_db


def test_a_page_knows_prices_and_that_there_is_a_credential_but_not_which(write: Any) -> None:
    load(write())
    Credential.objects.create(provider=Provider.objects.get(slug="acme"), secret_encrypted=b"no key opens this")
    acme, local = catalogue_for_pages().models["acme/one"].deployments
    assert (acme.secret, local.secret) == ("stored", None)
    assert [card.rates["output"] for card in local.price_cards] == [4, 6]
    assert local.base_urls["openai_chat"] == "http://127.0.0.1:9/v1"


def test_what_a_deployment_leaves_empty_is_its_providers(write: Any) -> None:
    load(write())
    Provider.objects.filter(slug="acme").update(region="US", trains_on_data=True, zero_retention=None)
    Deployment.objects.filter(provider__slug="acme", model__slug="acme/two").update(region="EU", trains_on_data=False)
    catalogue = catalogue_for_pages()
    one, two = catalogue.models["acme/one"].deployments[0], catalogue.models["acme/two"].deployments[0]
    assert (one.region, one.trains_on_data, one.zero_retention) == ("US", True, None)
    assert (two.region, two.trains_on_data, two.zero_retention) == ("EU", False, None)
