"""Which goals a run has met."""

from __future__ import annotations

import math

import pytest

from bench import goals


def verdict(measured: goals.Measured, text: str) -> goals.Verdict:
    return next(one for one in goals.judge(measured) if text in one.goal.text)


@pytest.mark.parametrize(
    ("peer_cpu", "word"), [(9.9, "**missed**"), (10.0, "met"), (15.9, "met"), (16.7, "met, and beyond")]
)
def test_so_many_times_less_cpu_than_a_peer(peer_cpu: float, word: str) -> None:
    measured = {"plain": {"ours": {"cpu_1k": 1 / 6}, "litellm": {"cpu_1k": peer_cpu}}}
    assert verdict(measured, "LiteLLM").word == word


def test_at_most_so_many_times_a_peers_cpu() -> None:
    measured = {"plain": {"ours": {"cpu_1k": 0.25}, "smg": {"cpu_1k": 0.2}}}
    assert verdict(measured, "CPU of smg (Rust)").word == "met"
    measured["plain"]["ours"]["cpu_1k"] = 0.26
    assert verdict(measured, "CPU of smg (Rust)").word == "**missed**"


def test_what_each_adds_is_compared_and_not_what_each_takes() -> None:
    took = {"direct": {"p50_ms": 20.0}, "nginx": {"p50_ms": 20.5}, "ours": {"p50_ms": 22.0}}
    found = verdict({"rate40": took}, "added p50")
    assert (found.value, found.word) == (4.0, "met")


def test_only_gateway_and_redis_count_for_the_request_path() -> None:
    ours = {"gateway_1k": 0.1, "redis_1k": 0.02, "postgres_1k": 0.5, "cpu_1k": 0.7}
    assert verdict({"plain": {"ours": ours, "smg": {"cpu_1k": 0.13}}}, "gateway and Redis").word == "met"


def test_a_goal_without_figures_is_neither_met_nor_missed() -> None:
    assert {one.word for one in goals.judge({})} == {"not measured"}
    assert all(math.isnan(one.value) for one in goals.judge({"plain": {"ours": {"cpu_1k": 1.0}}}))
