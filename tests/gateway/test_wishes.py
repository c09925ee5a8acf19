from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model_names import named
from gateway.protocol.problem import ProtocolError
from gateway.wish_headers import HEADERS
from gateway.wishes import MOST_MODELS, MOST_PROVIDERS, wishes_of
from routing.policy.wishes import FREE, NO_WISHES, MaxPrice, Wishes

PLAIN = {b"host": b"x", b"authorization": b"Bearer sk", b"content-type": b"application/json"}


def hashed(text: str) -> str:
    return f"<{len(text)}>"


def wish(headers: dict[str, str] | None = None, **fields: Any) -> Wishes:
    sent = {name.encode(): value.encode("latin-1") for name, value in (headers or {}).items()}
    return wishes_of(fields, {**PLAIN, **sent}, hashed)


def provider(**fields: Any) -> Wishes:
    return wish(provider=fields)


def refused(headers: dict[str, str] | None = None, **fields: Any) -> str | None:
    """The field that the refusal names."""
    with pytest.raises(ProtocolError) as caught:
        wish(headers, **fields)
    problem = caught.value.problem
    assert problem.kind == "invalid_request" and problem.status == 400
    assert problem.param and problem.param in problem.message
    return problem.param


# --- Fields -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("fields", [{}, {"provider": {}}, {"provider": None}, {"models": []}, {"route": "fallback"}])
def test_who_asks_for_nothing_has_no_wishes(fields: dict[str, Any]) -> None:
    assert wish(**fields) is NO_WISHES


def test_the_vocabulary_of_openrouter() -> None:
    found = wish(
        models=["b/2", "c/3", "b/2"],
        route="fallback",
        session_id="alice's third conversation",
        provider={
            "order": ["OpenAI", "azure"],
            "only": ["openai", "azure", "deepinfra/turbo"],
            "ignore": "together",
            "allow_fallbacks": False,
            "require_parameters": True,
            "data_collection": "deny",
            "zdr": True,
            "quantizations": None,
            "sort": "throughput",
            "max_price": {"prompt": 1, "completion": "2.5", "request": 0.01, "image": 0},
            "preferred_min_throughput": 50,
            "preferred_max_latency": 1.5,
        },
    )
    assert found == Wishes(
        models=("b/2", "c/3"),
        order=("openai", "azure"),
        only=("openai", "azure", "deepinfra"),
        ignore=("together",),
        allow_fallbacks=False,
        require_parameters=True,
        no_training=True,
        zero_retention=True,
        sort="throughput",
        max_price=MaxPrice(1_000_000_000, 2_500_000_000, 10_000_000, 0),
        preferred_min_throughput=50,
        preferred_max_latency_s=1.5,
        session="<26>",
    )


def test_our_own_fields() -> None:
    assert wish(router={"preset": "Fastest", "regions": ["EU", " us "]}) == Wishes(
        preset="fastest", regions=("eu", "us")
    )


def test_providers_have_openrouters_names_too() -> None:
    assert provider(only=["amazon-bedrock", "Google-Vertex", "x-ai"]).only == ("bedrock", "vertex", "xai")


@pytest.mark.parametrize(
    ("sort", "by", "across"),
    [
        ("price", "price", False),
        (" Latency", "latency", False),
        ({"by": "price"}, "price", False),
        ({"by": "throughput", "partition": "none"}, "throughput", True),
        ({"by": "latency", "partition": "model"}, "latency", False),
        ({"partition": "none"}, "", True),
    ],
)
def test_sorting_is_a_word_or_an_object(sort: Any, by: str, across: bool) -> None:
    found = provider(sort=sort)
    assert (found.sort, found.sort_across_models) == (by, across)


def test_a_bound_on_a_percentile_is_one_on_the_median() -> None:
    assert provider(preferred_max_latency={"p50": 2}).preferred_max_latency_s == 2
    ninety = provider(preferred_max_latency={"p90": 2}).preferred_max_latency_s
    assert ninety is not None and 0.9 < ninety < 1.2
    assert provider(preferred_max_latency={"p50": 0.5, "p90": 2}).preferred_max_latency_s == 0.5
    fast = provider(preferred_min_throughput={"p90": 50, "p50": None}).preferred_min_throughput
    assert fast is not None and fast > 80
    assert provider(preferred_max_latency={}).preferred_max_latency_s is None


def test_a_session_is_kept_as_its_hash_alone() -> None:
    assert wish(session_id="secret").session == "<6>"
    assert wish(session_id="").session == ""


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"models": "x" * 161}, "models[0]"),
        ({"models": [1]}, "models"),
        ({"models": [""]}, "models[0]"),
        ({"models": [f"a/{number}" for number in range(MOST_MODELS + 1)]}, "models"),
        ({"route": "scenic"}, "route"),
        ({"provider": "openai"}, "provider"),
        ({"provider": {"onyl": ["openai"]}}, "provider.onyl"),
        ({"provider": {"order": 5}}, "provider.order"),
        ({"provider": {"order": ["a", ""]}}, "provider.order[1]"),
        ({"provider": {"ignore": ["a"] * (MOST_PROVIDERS + 1)}}, "provider.ignore"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks"),
        ({"provider": {"data_collection": "some"}}, "provider.data_collection"),
        ({"provider": {"zdr": 1}}, "provider.zdr"),
        ({"provider": {"sort": "beauty"}}, "provider.sort"),
        ({"provider": {"sort": {"by": "beauty"}}}, "provider.sort.by"),
        ({"provider": {"sort": {"on": "price"}}}, "provider.sort.on"),
        ({"provider": {"sort": ["price"]}}, "provider.sort"),
        ({"provider": {"max_price": 5}}, "provider.max_price"),
        ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt"),
        ({"provider": {"max_price": {"prompt": "cheap"}}}, "provider.max_price.prompt"),
        ({"provider": {"max_price": {"prompt": "nan"}}}, "provider.max_price.prompt"),
        ({"provider": {"max_price": {"audio": 1}}}, "provider.max_price.audio"),
        ({"provider": {"max_price": {"request": True}}}, "provider.max_price.request"),
        ({"provider": {"preferred_max_latency": 0}}, "provider.preferred_max_latency"),
        ({"provider": {"preferred_max_latency": {"p42": 1}}}, "provider.preferred_max_latency.p42"),
        ({"provider": {"preferred_min_throughput": {"p50": "fast"}}}, "provider.preferred_min_throughput.p50"),
        ({"provider": {"quantizations": ["fp8"]}}, "provider.quantizations"),
        ({"provider": {"enforce_distillable_text": True}}, "provider.enforce_distillable_text"),
        ({"router": {"preset": "luckiest"}}, "router.preset"),
        ({"router": {"mood": "good"}}, "router.mood"),
        ({"session_id": 7}, "session_id"),
        ({"session_id": "x" * 257}, "session_id"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(fields: dict[str, Any], field: str) -> None:
    assert refused(**fields) == field


def test_what_says_nothing_about_quantization_passes() -> None:
    assert provider(quantizations=[]) is NO_WISHES
    assert provider(quantizations=["fp8", "unknown"]) is NO_WISHES
    assert provider(enforce_distillable_text=False) is NO_WISHES


# --- Headers ----------------------------------------------------------------------------------------------------------
def test_headers_say_what_fields_could() -> None:
    assert wish(
        {
            "x-router-models": "b/2, c/3",
            "x-router-session": "abc",
            "x-router-provider-order": "openai,azure",
            "x-router-provider-only": "openai, azure",
            "x-router-provider-ignore": "together",
            "x-router-allow-fallbacks": "false",
            "x-router-require-parameters": "1",
            "x-router-data-collection": "deny",
            "x-router-zdr": "true",
            "x-router-sort": "price",
            "x-router-max-price-prompt": "1",
            "x-router-max-price-completion": "2.5",
            "x-router-max-price-request": "0.01",
            "x-router-max-price-image": "0",
            "x-router-min-throughput": "50",
            "x-router-max-latency": "1.5",
            "x-router-regions": "EU",
            "x-router-preset": "best",
        }
    ) == Wishes(
        models=("b/2", "c/3"),
        order=("openai", "azure"),
        only=("openai", "azure"),
        ignore=("together",),
        allow_fallbacks=False,
        require_parameters=True,
        no_training=True,
        zero_retention=True,
        sort="price",
        max_price=MaxPrice(1_000_000_000, 2_500_000_000, 10_000_000, 0),
        preferred_min_throughput=50,
        preferred_max_latency_s=1.5,
        regions=("eu",),
        preset="best",
        session="<3>",
    )


def test_a_field_goes_before_its_header() -> None:
    headers = {"x-router-sort": "price", "x-router-provider-only": "a", "x-router-max-price-prompt": "1"}
    found = wish(headers, provider={"sort": "latency", "only": None, "max_price": {"completion": 2}})
    assert found == Wishes(sort="latency", only=("a",), max_price=MaxPrice(1_000_000_000, 2_000_000_000))


def test_the_session_header_of_other_routers_is_understood() -> None:
    assert wish({"x-session-id": "abcd"}).session == "<4>"
    assert wish({"x-session-id": "abcd", "x-router-session": "abc"}).session == "<3>"
    assert wish({"x-session-id": "abcd"}, session_id="ab").session == "<2>"
    assert wish({"x-session-id": "abcd", "x-router-sort": "price"}) == Wishes(sort="price", session="<4>")
    assert wish({"x-session-id": " "}) is NO_WISHES
    assert wish({"x-session-id": "x" * 999}).session == "<256>"


def test_empty_headers_say_nothing() -> None:
    assert wish(dict.fromkeys((name.decode() for name in HEADERS), " ")) is NO_WISHES


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-router-zdr", "maybe"),
        ("x-router-sort", "beauty"),
        ("x-router-max-price-prompt", "cheap"),
        ("x-router-max-price-prompt", "-1"),
        ("x-router-max-latency", "inf"),
        ("x-router-provider-only", "x" * 200),
        ("x-router-provider-only", "x," * 3000),
        ("x-router-preset", "luckiest"),
        ("x-router-data-collection", "some"),
        ("x-router-session", "x" * 300),
    ],
)
def test_what_is_wrong_in_a_header_is_refused_by_the_headers_name(header: str, value: str) -> None:
    assert refused({header: value}) == header


def test_a_wrong_field_is_told_from_a_right_header() -> None:
    assert refused({"x-router-sort": "price"}, provider={"zdr": "x"}) == "provider.zdr"


_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_provider_names = st.sampled_from(
    ["order", "only", "ignore", "allow_fallbacks", "zdr", "sort", "max_price", "data_collection", "quantizations",
     "preferred_min_throughput", "preferred_max_latency"]
)  # fmt: skip
_prices = st.dictionaries(st.sampled_from(["prompt", "completion", "by", "partition", "p50", "p90"]), _json, max_size=2)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "models": _json,
            "route": _json,
            "session_id": _json,
            "router": _json,
            "provider": _json | st.dictionaries(_provider_names, _json | _prices, max_size=4),
        },
    ),
    st.dictionaries(st.sampled_from(sorted(HEADERS)), st.binary(max_size=12), max_size=3),
)
def test_any_request_has_wishes_or_a_named_fault(fields: dict[str, Any], headers: dict[bytes, bytes]) -> None:
    try:
        found = wishes_of(fields, headers, hashed)
    except ProtocolError as error:
        assert error.problem.kind == "invalid_request"
        assert error.problem.param
    else:
        assert hash(found) == hash(found._replace())  # plans are kept by them


# --- Names ------------------------------------------------------------------------------------------------------------
def knows(name: str) -> bool:
    return name in ("acme/one", "acme/one:2")


def said(name: str, wishes: Wishes = NO_WISHES) -> tuple[str, Wishes]:
    return named(name, wishes, knows)


@pytest.mark.parametrize("name", ["acme/one", "acme/one:2", "unknown", "acme/unknown:3", "a:b:nitro"])
def test_a_plain_name_is_left_as_it_is(name: str) -> None:
    assert said(name) == (name, NO_WISHES)


@pytest.mark.parametrize(
    ("name", "base", "wishes"),
    [
        ("acme/one:nitro", "acme/one", Wishes(sort="throughput")),
        ("acme/one:FLOOR", "acme/one", Wishes(sort="price")),
        ("acme/one:free", "acme/one", Wishes(max_price=FREE)),
        ("acme/one:free:nitro", "acme/one", Wishes(max_price=FREE, sort="throughput")),
        ("acme/one:2:floor", "acme/one:2:floor", NO_WISHES),
        ("auto", "auto", NO_WISHES),
        ("AUTO", "auto", NO_WISHES),
        ("openrouter/auto", "auto", NO_WISHES),
        ("auto:cheapest", "auto", Wishes(preset="cheapest")),
        ("auto:Best:free", "auto", Wishes(preset="best", max_price=FREE)),
        ("auto:floor", "auto", Wishes(sort="price")),
    ],
)
def test_suffixes_are_wishes(name: str, base: str, wishes: Wishes) -> None:
    assert said(name) == (base, wishes)


def test_a_field_goes_before_a_suffix_and_a_cap_never_rises() -> None:
    assert said("acme/one:floor", Wishes(sort="latency"))[1].sort == "latency"
    capped = Wishes(max_price=MaxPrice(prompt=5, completion=None))
    assert said("acme/one:free", capped)[1].max_price == FREE


def test_a_preset_in_the_name_goes_before_one_elsewhere() -> None:
    assert said("auto:cheapest", Wishes(preset="best"))[1].preset == "cheapest"
    assert said("auto", Wishes(preset="best"))[1].preset == "best"


@pytest.mark.parametrize(
    "name",
    ["acme/one:thinking", "acme/one:online", "acme/one:exacto", "acme/one:nitro:floor", "auto:luckiest", "auto:"],
)
def test_what_no_suffix_does_here_is_refused_in_words(name: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        said(name)
    assert refused.value.problem.param == "model"
    assert refused.value.problem.status == 400
    assert name in refused.value.problem.message


def test_fallbacks_have_the_same_suffixes_or_none_has_any() -> None:
    assert said("acme/one:free", Wishes(models=("b/2:free", "c/3:free"))) == (
        "acme/one",
        Wishes(models=("b/2", "c/3"), max_price=FREE),
    )
    with pytest.raises(ProtocolError) as refused:
        said("acme/one", Wishes(models=("b/2", "c/3:free")))
    assert refused.value.problem.param == "models[1]"


def test_auto_may_be_a_fallback() -> None:
    assert said("acme/one", Wishes(models=("auto:best",))) == ("acme/one", Wishes(models=("auto",), preset="best"))


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=12), max_size=2))
def test_any_name_is_a_name_or_a_named_fault(name: str, models: list[str]) -> None:
    try:
        base, _ = said(name, Wishes(models=tuple(models)))
    except ProtocolError:
        return
    assert isinstance(base, str)
