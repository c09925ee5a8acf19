from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.pricing.rates import RateCard
from routing.catalogue import Catalogue, DeploymentInfo, ModelInfo
from routing.planner import NoDeployment, UnknownModel, plan

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def card(price: str = "1", **changes: Any) -> RateCard:
    fields: dict[str, Any] = {
        "id": 1, "tier": "standard", "valid_from": None, "valid_until": None, "min_prompt_tokens": 0,
        "schedule": None, "rates": {"input": Decimal(price), "output": Decimal(price)},
    }  # fmt: skip
    return RateCard(**{**fields, **changes})


def deployment(id: int = 1, price: str = "1", **changes: Any) -> DeploymentInfo:
    fields: dict[str, Any] = {
        "id": id, "provider": f"p{id}", "provider_name": f"P{id}", "model": "a/m", "upstream_id": "m",
        "dialect": "openai_chat", "other_dialects": (), "base_urls": {"openai_chat": "https://x.test"},
        "auth": "bearer", "secret": "s3cret", "extra_headers": {}, "on_client_leave": "stop", "context_length": None,
        "max_output_tokens": None, "status": "active", "retires_on": None, "currency": "USD", "priority": 100,
        "price_cards": (card(price),),
    }  # fmt: skip
    return DeploymentInfo(**{**fields, **changes})


def catalogue(*deployments: DeploymentInfo) -> Catalogue:
    model = ModelInfo("a/m", "M", "a", "", None, None, None, ("text",), ("text",), {}, None, "active", deployments)
    return Catalogue(
        models={"a/m": model},
        aliases={"m-latest": "a/m"},
        withdrawn={"old": "a/m"},
        exchange_rates={"CNY": [(datetime(2026, 1, 1, tzinfo=UTC), Decimal(8)), (NOW, Decimal(7))]},
    )


def order(*deployments: DeploymentInfo) -> list[tuple[int, str]]:
    return [(step.deployment.id, step.reason) for step in plan(catalogue(*deployments), "a/m", at=NOW).steps]


@pytest.mark.parametrize("name", ["a/m", "A/M", "m-latest", "M-Latest", " m-latest "])
def test_a_model_is_found_by_its_id_and_its_names_without_regard_to_case(name: str) -> None:
    assert plan(catalogue(deployment()), name, at=NOW).model.slug == "a/m"


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownModel) as refused:
        plan(catalogue(deployment()), "nope", at=NOW)
    assert refused.value.successor is None


def test_a_withdrawn_name_is_refused_with_its_successor() -> None:
    with pytest.raises(UnknownModel) as refused:
        plan(catalogue(deployment()), "OLD", at=NOW)
    assert refused.value.successor == "a/m"


def test_a_single_deployment_is_the_only_one() -> None:
    assert order(deployment()) == [(1, "only")]


def test_the_cheaper_deployment_comes_first() -> None:
    assert order(deployment(1, "2"), deployment(2, "1")) == [(2, "cheapest"), (1, "next")]


def test_priority_beats_price() -> None:
    assert order(deployment(1, "9", priority=1), deployment(2, "1")) == [(1, "priority"), (2, "next")]


def test_equal_prices_keep_the_order_of_ids() -> None:
    assert order(deployment(3), deployment(2)) == [(2, "cheapest"), (3, "next")]


def test_prices_are_compared_in_dollars_at_the_rate_of_the_time() -> None:
    yuan = deployment(1, "7.2", currency="CNY")  # 1.03 dollars at 7 to the dollar, 0.90 at 8
    assert order(yuan, deployment(2, "1"))[0] == (2, "cheapest")
    earlier = datetime(2026, 6, 1, tzinfo=UTC)
    steps = plan(catalogue(yuan, deployment(2, "1")), "a/m", at=earlier).steps
    assert steps[0].deployment.id == 1


def test_the_card_in_force_decides_not_a_later_one() -> None:
    falling = (
        card("9", valid_until=datetime(2026, 12, 1, tzinfo=UTC)),
        card("0.1", valid_from=datetime(2026, 12, 1, tzinfo=UTC)),
    )
    assert order(deployment(1, price_cards=falling), deployment(2, "1"))[0][0] == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"provider_enabled": False}, "provider_disabled"),
        ({"enabled": False}, "deployment_disabled"),
        ({"status": "retired"}, "retired"),
        ({"retires_on": date(2026, 11, 22)}, "retired"),
        ({"base_urls": {}}, "no_address"),
        ({"secret": None}, "no_credential"),
        ({"secret": ""}, "no_credential"),
        ({"price_cards": ()}, "no_price"),
        ({"price_cards": (card(tier="batch"),)}, "no_price"),
        ({"price_cards": (card(min_prompt_tokens=1000),)}, "no_price"),
        ({"price_cards": (card(valid_until=NOW),)}, "no_price"),
        ({"price_cards": (card(valid_from=datetime(2027, 1, 1, tzinfo=UTC)),)}, "no_price"),
        ({"currency": "EUR"}, "no_exchange_rate"),
    ],
)
def test_what_may_not_be_called_is_refused_with_a_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(NoDeployment) as refused:
        plan(catalogue(deployment(**changes)), "a/m", at=NOW)
    assert [(r.provider, r.reason) for r in refused.value.refusals] == [("p1", reason)]
    both = plan(catalogue(deployment(**changes), deployment(2)), "a/m", at=NOW)
    assert [step.deployment.id for step in both.steps] == [2]
    assert [r.reason for r in both.refusals] == [reason]


@pytest.mark.parametrize(
    "changes",
    [{"retires_on": date(2026, 11, 23)}, {"auth": "none", "secret": None}, {"status": "deprecated"}],
)
def test_what_still_may_be_called_is_planned(changes: dict[str, Any]) -> None:
    assert order(deployment(**changes)) == [(1, "only")]


def test_a_deployment_does_not_show_its_secret() -> None:
    assert "s3cret" not in repr(deployment())
