from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.reading import Unreadable
from routing.policy.rules import Action, Match, Rule
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import MaxPrice

WHOLE = ProjectPolicy(
    version=7,
    preset="custom",
    weights=Weights(0.2, 0.5, 0.3),
    allowed_models=("acme/*",),
    denied_models=("acme/old",),
    allowed_providers=("p*",),
    denied_providers=("p9",),
    regions=("EU", "US"),
    no_training=True,
    zero_retention=True,
    max_price=MaxPrice(prompt=3_000_000_000, completion=None, request=1, image=0),
    same_family_fallback=True,
    larger_context_fallback=False,
    cache_affinity=False,
    exploration=False,
    hedge="paid",
    stream_failure="continue",
    aliases={"fast": "acme/one"},
    rules=(
        Rule(
            3,
            "nights",
            Match(("auto",), 1, 2, ("tools",), (4,), (("x-router-task", "a*"),), (1320, 360), (0, 6), "Asia/Shanghai"),
            Action(("a/1",), ("b/2",), ("p1",), ("p2",), ("p3",), "best", Weights(1, 0, 0), MaxPrice(1, 2, 3, 4)),
        ),
        Rule(4, "", Match(), Action(preset="cheapest")),
    ),
)


def test_a_policy_survives_its_text() -> None:
    assert ProjectPolicy.of_json(WHOLE.to_json()) == WHOLE
    assert ProjectPolicy.of_json(DEFAULT.to_json()) == DEFAULT


def test_no_text_and_an_empty_object_are_the_default() -> None:
    assert ProjectPolicy.of_json("") == DEFAULT == ProjectPolicy.of_json("{}")


def test_every_field_is_in_the_text_and_read_back() -> None:
    """A new field that is forgotten in one of the two would be lost between page and gateway."""
    assert set(json.loads(WHOLE.to_json())) == set(ProjectPolicy._fields)
    for name in ProjectPolicy._fields:
        assert getattr(WHOLE, name) != getattr(DEFAULT, name), name


def test_what_a_newer_version_wrote_is_read_as_far_as_it_is_known() -> None:
    told = json.loads(WHOLE.to_json()) | {"moon_phase": "full", "hedge": "twice", "stream_failure": "rewind"}
    told["rules"][0]["colour"] = "red"
    read = ProjectPolicy.of_json(json.dumps(told))
    assert read == WHOLE._replace(hedge="", stream_failure="error")


def test_a_rule_with_a_condition_that_is_not_known_is_left_out() -> None:
    told = json.loads(WHOLE.to_json())
    told["rules"][0]["match"]["moon"] = "full"
    assert [rule.id for rule in ProjectPolicy.of_json(json.dumps(told)).rules] == [4]


def test_a_presets_weights_hold_where_none_are_written() -> None:
    assert ProjectPolicy.of_json('{"preset":"fastest"}').weights == PRESETS["fastest"]
    assert ProjectPolicy.of_json('{"preset":"of tomorrow"}').weights == PRESETS["balanced"]


def test_names_are_lower_case_whoever_wrote_them() -> None:
    read = ProjectPolicy.of_json('{"denied_models":[" OpenAI/GPT-4o ",""],"aliases":{" Fast ":"Acme/One"}}')
    assert read.denied_models == ("openai/gpt-4o",)
    assert read.aliases == {"fast": "Acme/One"}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("nonsense", "the policy"),
        ("[]", "the policy"),
        ("[" * 100_000, "the policy"),
        ('{"no_training":"yes"}', "no_training"),
        ('{"denied_models":"openai/*"}', "denied_models"),
        ('{"denied_providers":[1]}', "denied_providers[0]"),
        ('{"regions":{"EU":true}}', "regions"),
        ('{"max_price":[1,2,3,4,5]}', "max_price"),
        ('{"max_price":["1"]}', "max_price"),
        ('{"weights":[0,0,0]}', "weights"),
        ('{"weights":[NaN,1,1]}', "weights"),
        ('{"version":-1}', "version"),
        ('{"aliases":{"a":5}}', "aliases.a"),
        ('{"aliases":{"a":""}}', "aliases.a"),
        ('{"rules":[5]}', "rules[0]"),
        ('{"rules":[{"match":[1]}]}', "rules[0].match"),
        ('{"rules":[{"action":{"only":"p1"}}]}', "rules[0].action.only"),
    ],
)
def test_a_field_of_another_kind_is_refused_by_name(text: str, field: str) -> None:
    with pytest.raises(Unreadable) as refused:
        ProjectPolicy.of_json(text)
    assert refused.value.field == field


_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_rule_values = st.fixed_dictionaries(
    {},
    optional={
        "id": _values,
        "match": st.dictionaries(st.sampled_from(Match._fields), _values) | _values,
        "action": st.dictionaries(st.sampled_from(Action._fields), _values) | _values,
    },
)


@given(
    st.dictionaries(st.sampled_from([*ProjectPolicy._fields, "unknown"]), _values), st.lists(_rule_values, max_size=2)
)
def test_any_text_is_a_policy_or_unreadable(told: dict[str, Any], rules: list[Any]) -> None:
    for text in (json.dumps(told), json.dumps({**told, "rules": rules})):
        try:
            policy = ProjectPolicy.of_json(text)
        except Unreadable:
            continue
        assert ProjectPolicy.of_json(policy.to_json()) == policy
