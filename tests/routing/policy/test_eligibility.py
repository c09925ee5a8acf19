from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from routing.policy import eligibility
from routing.policy.candidate import DeploymentInfo, ModelInfo
from routing.policy.needs import Needs
from routing.policy.project import DEFAULT
from routing.policy.wishes import FREE, NO_WISHES, NOBODY, MaxPrice, Wishes
from tests.routing.policy.cast import NOW, deployment, model, without


def needs(**changes: Any) -> Needs:
    return Needs(**{"endpoint": "openai_chat", **changes})


def unfit(what: Needs, one: DeploymentInfo | None = None, sure: bool = False, **changes: Any) -> str:
    return eligibility.unfit(one or deployment(), model(**changes), what, sure=sure)


PLAIN = needs()


def unwanted(wishes: Wishes = NO_WISHES, one: DeploymentInfo | None = None, what: Needs = PLAIN, **policy: Any) -> str:
    project = DEFAULT._replace(**policy)
    said = eligibility.unwanted(one or deployment(), model(), wishes, project, what)
    assert not said or eligibility.is_choosy(wishes, project)  # it is asked only then
    return said


# --- For everybody ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"provider_enabled": False}, "provider_disabled"),
        ({"enabled": False}, "deployment_disabled"),
        ({"draining": True}, "draining"),
        ({"status": "retired"}, "retired"),
        ({"retires_on": NOW.date()}, "retired"),
        ({"retires_on": (NOW + timedelta(days=1)).date()}, ""),
        ({"base_urls": {}}, "no_address"),
        ({"secret": None}, "no_credential"),
        ({"secret": None, "auth": "none"}, ""),
    ],
)
def test_what_is_out_of_use_serves_nobody(changes: dict[str, Any], reason: str) -> None:
    assert eligibility.unusable(deployment(**changes), NOW) == reason


# --- Needs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("need", "capability"),
    [
        ("images", "vision"),
        ("audio", "audio_input"),
        ("tools", "tools"),
        ("structured_output", "structured_output"),
    ],
)
def test_what_the_catalogue_denies_is_refused_by_its_name(need: str, capability: str) -> None:
    assert unfit(needs(**{need: True}), capabilities=without(capability)) == need
    assert unfit(needs(**{need: True})) == ""
    assert unfit(needs(), capabilities=without(capability)) == ""


@pytest.mark.parametrize(("need", "kind"), [("video", "video"), ("files", "pdf"), ("images", "image")])
def test_what_a_model_reads_is_told_by_its_modalities_too(need: str, kind: str) -> None:
    others = tuple(one for one in ("text", "image", "video", "pdf") if one != kind)
    assert unfit(needs(**{need: True}), input_modalities=others, capabilities={}) == need
    assert unfit(needs(**{need: True}), input_modalities=(*others, kind), capabilities={}) == ""


def test_what_nobody_knows_counts_against_a_model_that_nobody_named() -> None:
    for need in ("tools", "structured_output", "images", "audio", "video", "files"):
        asked = needs(**{need: True})
        assert unfit(asked, capabilities={}, input_modalities=()) == ""
        assert unfit(asked, sure=True, capabilities={}, input_modalities=()) == need


def test_reasoning_and_output_limits_are_lowered_for_a_named_model_and_count_for_any_other() -> None:
    thinking, much = needs(reasoning="high"), needs(max_output_tokens=20_000)
    assert unfit(thinking, capabilities=without("reasoning")) == ""
    assert unfit(thinking, sure=True, capabilities=without("reasoning")) == "reasoning"
    assert unfit(needs(reasoning="none"), sure=True, capabilities=without("reasoning")) == ""
    assert unfit(much) == ""
    assert unfit(much, sure=True) == "output_limit"
    assert unfit(much, deployment(max_output_tokens=30_000), sure=True) == ""


def test_a_prompt_that_certainly_does_not_fit_is_refused() -> None:
    assert unfit(needs(prompt_tokens=150_000)) == "context_length"
    assert unfit(needs(prompt_tokens=120_000)) == ""  # an estimate may be too high by a third
    assert unfit(needs(prompt_tokens=120_000), sure=True) == "context_length"
    assert unfit(needs(prompt_tokens=60_000), sure=True) == ""
    assert unfit(needs(prompt_tokens=60_000, max_output_tokens=10_000), deployment(context_length=90_000), sure=True)


def test_a_deployments_own_context_counts_before_its_models() -> None:
    assert unfit(needs(prompt_tokens=150_000), deployment(context_length=200_000)) == ""
    assert unfit(needs(prompt_tokens=50_000), deployment(context_length=32_000)) == "context_length"


def test_of_an_unknown_context_little_is_believed_where_it_has_to_be_sure() -> None:
    assert unfit(needs(prompt_tokens=10_000), context_length=None) == ""
    assert unfit(needs(prompt_tokens=10_000), sure=True, context_length=None) == "context_length"
    assert unfit(needs(prompt_tokens=1_000), sure=True, context_length=None) == ""


# --- Wishes and prohibitions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (Wishes(only=("p1", "other")), ""),
        (Wishes(only=("other",)), "provider_not_allowed"),
        (Wishes(only=NOBODY), "provider_not_allowed"),
        (Wishes(only=("p*",)), ""),
        (Wishes(ignore=("p1",)), "provider_ignored"),
        (Wishes(ignore=("other",)), ""),
        (Wishes(order=("other",)), ""),
        (Wishes(order=("other",), allow_fallbacks=False), "provider_not_allowed"),
        (Wishes(order=("other", "p1"), allow_fallbacks=False), ""),
        (Wishes(allow_fallbacks=False), ""),
        (Wishes(regions=("eu",)), ""),
        (Wishes(regions=("US", "CN")), "region"),
    ],
)
def test_a_request_narrows_the_providers(wishes: Wishes, reason: str) -> None:
    assert unwanted(wishes) == reason


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"allowed_providers": ("p*",)}, ""),
        ({"allowed_providers": ("other",)}, "provider_not_allowed"),
        ({"denied_providers": ("p*",)}, "provider_ignored"),
        ({"regions": ("EU", "US")}, ""),
        ({"regions": ("CN",)}, "region"),
    ],
)
def test_a_project_narrows_them_too(policy: dict[str, Any], reason: str) -> None:
    assert unwanted(**policy) == reason
    # Whatever a request asks for, it gets no more.
    if reason:
        assert unwanted(Wishes(only=("p1",), order=("p1",), regions=("EU", "CN")), **policy) == reason


@pytest.mark.parametrize("known", [None, True])
def test_who_is_not_known_to_leave_data_alone_gets_none_where_that_is_asked(known: bool | None) -> None:
    trains = deployment(trains_on_data=known)
    assert unwanted(one=trains) == ""
    assert unwanted(Wishes(no_training=True), trains) == "data_policy_training"
    assert unwanted(one=trains, no_training=True) == "data_policy_training"
    assert unwanted(Wishes(no_training=True)) == ""


@pytest.mark.parametrize("known", [None, False])
def test_who_is_not_known_to_keep_nothing_gets_none_where_that_is_asked(known: bool | None) -> None:
    keeps = deployment(zero_retention=known)
    assert unwanted(one=keeps) == ""
    assert unwanted(Wishes(zero_retention=True), keeps) == "data_policy_retention"
    assert unwanted(one=keeps, zero_retention=True) == "data_policy_retention"


def test_no_region_is_in_none() -> None:
    assert unwanted(Wishes(regions=("EU",)), deployment(region="")) == "region"


# --- Parameters -------------------------------------------------------------------------------------------------------
def lacks(what: Needs, **changes: Any) -> bool:
    return bool(
        eligibility.unwanted(deployment(), model(**changes), Wishes(require_parameters=True), DEFAULT, what)
    )  # fmt: skip


def test_required_parameters_have_to_be_known() -> None:
    sampled = needs(parameters=frozenset(("temperature", "seed")))
    assert not lacks(sampled)
    assert lacks(sampled, capabilities=without("sampling_params"))
    assert lacks(sampled, capabilities={})
    assert lacks(needs(parameters=frozenset(("logit_bias",))))
    assert lacks(needs(parameters=frozenset(("parallel_tool_calls",))), capabilities=without("parallel_tools"))
    assert lacks(needs(tools=True), capabilities={})
    assert lacks(needs(structured_output=True), capabilities=without("structured_output"))
    assert lacks(needs(reasoning="low"), capabilities=without("reasoning"))
    assert lacks(needs(max_output_tokens=10_001))
    assert not lacks(needs(tools=True, structured_output=True, reasoning="low", max_output_tokens=10_000))
    assert not lacks(needs(), capabilities={})


def test_parameters_do_not_count_where_they_are_not_required() -> None:
    assert unwanted(what=needs(parameters=frozenset(("logit_bias",)))) == ""


# --- Prices and models ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cap", "too_dear"),
    [
        (None, False),
        (MaxPrice(prompt=100), False),
        (MaxPrice(prompt=99), True),
        (MaxPrice(completion=199), True),
        (MaxPrice(request=0, image=0), False),
        (FREE, True),
    ],
)
def test_a_cap_holds_for_each_part_of_a_price(cap: MaxPrice | None, too_dear: bool) -> None:
    price = MaxPrice(prompt=100, completion=200)
    assert eligibility.too_dear(price, cap) is too_dear
    assert eligibility.too_dear(price, MaxPrice(prompt=10**9), cap) is too_dear
    assert not eligibility.too_dear(MaxPrice(0, 0, 0, 0), cap)


def may_use(one: ModelInfo, key: tuple[str, ...] = (), **policy: Any) -> bool:
    return eligibility.may_use(one, key, DEFAULT._replace(**policy))


def test_key_and_project_both_have_to_allow_a_model() -> None:
    one = model("Acme/One")
    assert may_use(one)
    assert may_use(one, ("acme/*",), allowed_models=("*/one",))
    assert not may_use(one, ("other/*",))
    assert not may_use(one, allowed_models=("other/*",))
    assert not may_use(one, denied_models=("acme/*",))
    assert not may_use(one, ("acme/one",), allowed_models=("acme/one",), denied_models=("*",))
