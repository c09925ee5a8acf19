"""What the product promises to cost, each held against the figures of one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.figures import Figures, added, ratio

Measured = Mapping[str, Mapping[str, Figures]]  # scenario -> target -> medians
_NONE: Figures = {}


@dataclass(frozen=True, slots=True)
class Goal:
    """`at_least` or `at_most`: the figure must not be worse than `must`; `beyond` is what we would like."""

    text: str
    figure: Callable[[Measured], float]
    must: float
    beyond: float | None = None
    at_least: bool = True
    unit: str = "×"


@dataclass(frozen=True, slots=True)
class Verdict:
    goal: Goal
    value: float

    @property
    def word(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        if not _reaches(self.value, self.goal.must, self.goal.at_least):
            return "**missed**"
        if self.goal.beyond is not None and _reaches(self.value, self.goal.beyond, self.goal.at_least):
            return "met, and beyond"
        return "met"


def judge(measured: Measured) -> list[Verdict]:
    return [Verdict(goal, goal.figure(measured)) for goal in GOALS]


def _reaches(value: float, bound: float, at_least: bool) -> bool:
    return value >= bound if at_least else value <= bound


def _of(measured: Measured, scenario: str, target: str) -> Figures:
    return measured.get(scenario, {}).get(target, _NONE)


def _figure(measured: Measured, scenario: str, target: str, name: str) -> float:
    return _of(measured, scenario, target).get(name, math.nan)


def _less_than(peer: str, scenario: str) -> Callable[[Measured], float]:
    """How many times less CPU ours takes."""
    return lambda m: ratio(_figure(m, scenario, peer, "cpu_1k"), _figure(m, scenario, "ours", "cpu_1k"))


def _times(peer: str, scenario: str) -> Callable[[Measured], float]:
    """How many times the peer's CPU ours takes."""
    return lambda m: ratio(_figure(m, scenario, "ours", "cpu_1k"), _figure(m, scenario, peer, "cpu_1k"))


def _added_times(peer: str, scenario: str, name: str) -> Callable[[Measured], float]:
    def figure(measured: Measured) -> float:
        direct = _of(measured, scenario, "direct") or None
        ours, theirs = (added(_of(measured, scenario, target), direct, name) for target in ("ours", peer))
        return ratio(ours, theirs)

    return figure


def _request_path(measured: Measured) -> float:
    ours = _figure(measured, "plain", "ours", "gateway_1k") + _figure(measured, "plain", "ours", "redis_1k")
    return ratio(ours, _figure(measured, "plain", "smg", "cpu_1k"))


GOALS = (
    Goal("plain: less CPU than LiteLLM", _less_than("litellm", "plain"), 60, 100),
    Goal("plain: less CPU than Portkey", _less_than("portkey", "plain"), 12, 20),
    Goal("plain: less CPU than ferrogw (Go)", _less_than("ferrogw", "plain"), 1.3, 2),
    Goal("plain: CPU of smg (Rust), at most", _times("smg", "plain"), 1.25, 0.8, at_least=False),
    Goal("plain: gateway and Redis alone, CPU of smg, at most", _request_path, 1, at_least=False),
    Goal("plain: CPU of nginx, at most", _times("nginx", "plain"), 12, 8, at_least=False),
    Goal("streams of 200 chunks: CPU of nginx, at most", _times("nginx", "stream200"), 3, at_least=False),
    Goal("streams of 200 chunks: CPU of smg, at most", _times("smg", "stream200"), 1, at_least=False),
    Goal("prompts of 200 kB: less CPU than smg", _less_than("smg", "prompt200k"), 1.5),
    Goal("prompts of 200 kB: less CPU than ferrogw", _less_than("ferrogw", "prompt200k"), 8),
    Goal("40 requests/s: added p50 of nginx, at most", _added_times("nginx", "rate40", "p50_ms"), 4, at_least=False),
    Goal(
        "paced streams: added time to first token of nginx, at most",
        _added_times("nginx", "paced", "ttft50_ms"),
        3,
        at_least=False,
    ),
    Goal(
        "memory of a gateway process, at most",
        lambda m: _figure(m, "soak", "ours", "rss_mb"),
        120,
        at_least=False,
        unit=" MB",
    ),
    Goal(
        "memory gained over the last 80 % of a soak, at most",
        lambda m: _figure(m, "soak", "ours", "growth_mb"),
        3,
        at_least=False,
        unit=" MB",
    ),
)
