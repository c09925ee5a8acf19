"""Arithmetic of the bench, and nothing else: values in, values out."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

Figures = Mapping[str, float]


def percentile(values: Sequence[float], wanted: float) -> float:
    """The smallest value that at least `wanted` percent do not exceed; not a number when there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * wanted / 100) - 1)]


def per_thousand(cpu_s: float, requests: int) -> float:
    return cpu_s / requests * 1000 if requests else math.nan


def medians(rounds: Sequence[Figures]) -> dict[str, float]:
    """Of each figure over the rounds, leaving out rounds that do not have it."""
    names = {name for one in rounds for name in one}
    found = {name: [one[name] for one in rounds if name in one and not math.isnan(one[name])] for name in names}
    return {name: statistics.median(values) if values else math.nan for name, values in sorted(found.items())}


def added(mine: Figures, direct: Figures | None, name: str) -> float:
    """What a target adds to the way without it, in the figure's own unit."""
    if direct is None:
        return math.nan
    return mine.get(name, math.nan) - direct.get(name, math.nan)


def ratio(above: float, below: float) -> float:
    """Not a number where either is unknown or the divisor is not positive."""
    if math.isnan(above) or math.isnan(below) or below <= 0:
        return math.nan
    return above / below


def spread(rounds: Sequence[Figures], name: str) -> float:
    """Largest over smallest, as a measure of how far to trust a median."""
    values = [one[name] for one in rounds if name in one and not math.isnan(one[name])]
    return ratio(max(values), min(values)) if values else math.nan


def growth(samples: Sequence[float], settled_after: float = 0.2) -> float:
    """How much the last sample lies above the one after a fifth of the run, when start-up is over."""
    if len(samples) < 2:
        return math.nan
    return samples[-1] - samples[min(len(samples) - 1, int(len(samples) * settled_after))]
