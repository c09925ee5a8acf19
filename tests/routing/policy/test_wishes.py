from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.model_limits import allows
from routing.policy.wishes import FREE, NO_WISHES, NOBODY, MaxPrice, Wishes, both, lower_cap, once

_caps = st.builds(MaxPrice, *[st.none() | st.integers(0, 9) for _ in MaxPrice._fields])
_slugs = st.lists(st.sampled_from(["openai", "azure", "deepseek", "deep*", "*", "a*e"]), max_size=3).map(tuple)


@pytest.mark.parametrize(
    ("one", "other", "lower"),
    [
        (None, None, None),
        (MaxPrice(prompt=5), None, MaxPrice(prompt=5)),
        (None, FREE, FREE),
        (MaxPrice(prompt=5, image=3), MaxPrice(prompt=7, request=1), MaxPrice(prompt=5, request=1, image=3)),
        (MaxPrice(prompt=5), FREE, FREE),
    ],
)
def test_of_two_caps_the_lower_one_holds(one: MaxPrice | None, other: MaxPrice | None, lower: MaxPrice | None) -> None:
    assert lower_cap(one, other) == lower == lower_cap(other, one)


@given(_caps, _caps)
def test_a_second_cap_never_raises_the_first(one: MaxPrice, other: MaxPrice) -> None:
    found = lower_cap(one, other)
    assert found is not None
    for before, after in zip(one, found, strict=True):
        assert before is None or (after is not None and after <= before)


@given(_slugs, _slugs, st.sampled_from(["openai", "azure", "deepseek", "deepinfra", "other"]))
def test_who_both_lists_name_is_allowed_by_both(patterns: tuple[str, ...], wished: tuple[str, ...], one: str) -> None:
    if allows(both(patterns, wished), one):
        assert allows(patterns, one) and allows(wished, one)


def test_lists_that_have_nothing_in_common_allow_nobody() -> None:
    assert both(("openai",), ("azure",)) == NOBODY
    assert not allows(NOBODY, "azure")
    assert both((), ("azure",)) == ("azure",)
    assert both(("a*",), ()) == ("a*",)
    assert both(("a*",), ("openai", "azure")) == ("azure",)


def test_each_name_stays_where_it_came_first() -> None:
    assert once(["b", "a", "b", "c", "a"]) == ("b", "a", "c")


@pytest.mark.parametrize(
    ("wishes", "own"),
    [
        (NO_WISHES, False),
        (Wishes(sort="price"), True),
        (Wishes(order=("openai",)), True),
        (Wishes(preset="best"), True),
        (Wishes(only=("openai",), zero_retention=True), False),
    ],
)
def test_a_request_may_say_itself_who_comes_first(wishes: Wishes, own: bool) -> None:
    assert wishes.have_an_order is own
