"""The bench's arithmetic."""

from __future__ import annotations

import math

import pytest

from bench import figures


@pytest.mark.parametrize(
    ("values", "wanted", "expected"),
    [([5.0], 99, 5.0), ([3.0, 1.0, 2.0], 50, 2.0), (list(map(float, range(1, 101))), 99, 99.0), ([1.0, 2.0], 50, 1.0)],
)
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], wanted: float, expected: float
) -> None:
    assert figures.percentile(values, wanted) == expected


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(figures.percentile([], 50))


def test_cpu_is_told_for_a_thousand_requests() -> None:
    assert figures.per_thousand(0.5, 2000) == 0.25
    assert math.isnan(figures.per_thousand(0.5, 0))


def test_the_median_leaves_out_rounds_without_the_figure() -> None:
    rounds = [{"a": 1.0, "b": 7.0}, {"a": 9.0}, {"a": 2.0, "b": math.nan}]
    assert figures.medians(rounds) == {"a": 2.0, "b": 7.0}


def test_what_is_added_is_told_against_the_direct_way() -> None:
    assert figures.added({"p50_ms": 3.5}, {"p50_ms": 1.5}, "p50_ms") == 2.0
    assert math.isnan(figures.added({"p50_ms": 3.5}, None, "p50_ms"))


@pytest.mark.parametrize(("above", "below"), [(1.0, 0.0), (1.0, -0.1), (math.nan, 1.0), (1.0, math.nan)])
def test_there_is_no_ratio_to_nothing(above: float, below: float) -> None:
    assert math.isnan(figures.ratio(above, below))


def test_the_spread_is_the_largest_over_the_smallest() -> None:
    assert figures.spread([{"x": 2.0}, {"x": 3.0}, {"x": 4.0}], "x") == 2.0


def test_growth_forgets_the_start() -> None:
    assert figures.growth([50.0, 90.0, 91.0, 91.0, 91.0, 92.0]) == 2.0
    assert math.isnan(figures.growth([50.0]))
