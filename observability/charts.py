"""Geometry of the server-drawn charts: numbers for SVG attributes, no markup and no style. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

WIDTH, HEIGHT = 760, 230
LEFT, TOP, BOTTOM = 48, 8, 208
STEPS: Final = 4
MOST_SERIES: Final = 5
NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Series:
    """One stack layer: `css` is the colour class; `name` is empty for the rest taken together."""

    name: str
    css: str
    members: int
    total_nanos: int


@dataclass(frozen=True, slots=True)
class Block:
    css: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    day: date
    total_nanos: int
    blocks: tuple[Block, ...]
    parts: tuple[int, ...]  # nanos by series, for the table
    x: float
    middle: float
    width: float
    labelled: bool


@dataclass(frozen=True, slots=True)
class Tick:
    y: float
    text_y: float
    label: str


@dataclass(frozen=True, slots=True)
class BarChart:
    bars: tuple[Bar, ...]
    series: tuple[Series, ...]
    ticks: tuple[Tick, ...]
    total_nanos: int


def ceiling(most: int) -> int:
    """The top of the axis in nanos: 1, 2, 4 or 8 times a power of ten, so that a quarter of it reads well."""
    if most <= 0:
        return NANOS
    power: int = 10 ** (len(str(most)) - 1)
    return next(top for top in (power, 2 * power, 4 * power, 8 * power, 10 * power) if top >= most)


def axis_label(nanos: int) -> str:
    """Plain dollars with as many places as the number needs: $0, $0.25, $0.000004."""
    return f"${(Decimal(nanos) / NANOS).normalize():f}"


def choose_series(totals: Mapping[str, int]) -> tuple[Series, ...]:
    """The dearest models by name, the rest as one."""
    ranked = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    named = [Series(name, f"f{place}", 1, total) for place, (name, total) in enumerate(ranked[:MOST_SERIES], 1)]
    rest = ranked[MOST_SERIES:]
    if rest:
        named.append(Series("", "f8", len(rest), sum(total for _, total in rest)))
    return tuple(named)


def stacked_bars(days: Sequence[date], charges: Mapping[tuple[date, str], int]) -> BarChart:
    """One bar per day. `charges` is nanos by day and model; days without any are empty bars."""
    totals: dict[str, int] = {}
    for (_, model), nanos in charges.items():
        totals[model] = totals.get(model, 0) + nanos
    series = choose_series({model: nanos for model, nanos in totals.items() if nanos})
    named = {one.name for one in series if one.name}
    parts = {day: [charges.get((day, one.name), 0) if one.name else 0 for one in series] for day in days}
    for (day, model), nanos in charges.items():
        if nanos and model not in named and day in parts:
            parts[day][-1] += nanos
    top = ceiling(max((sum(row) for row in parts.values()), default=0))
    slot = (WIDTH - LEFT) / max(len(days), 1)
    bars = tuple(_bar(place, day, parts[day], series, top, slot, len(days)) for place, day in enumerate(days))
    return BarChart(bars, series, _ticks(top), sum(totals.values()))


def _bar(place: int, day: date, parts: list[int], series: Sequence[Series], top: int, slot: float, days: int) -> Bar:
    width = min(slot * 0.84, 64.0)
    x = LEFT + place * slot + (slot - width) / 2
    blocks, level = [], float(BOTTOM)
    for nanos, one in zip(parts, series, strict=True):
        height = nanos * (BOTTOM - TOP) / top
        level -= height
        if height:
            blocks.append(Block(one.css, round(x, 1), round(level, 2), round(width, 1), round(max(height, 0.5), 2)))
    every = max(1, -(-days // 7))
    middle = round(LEFT + (place + 0.5) * slot, 1)
    return Bar(day, sum(parts), tuple(blocks), tuple(parts), round(x, 1), middle, round(width, 1), place % every == 0)


def _ticks(top: int) -> tuple[Tick, ...]:
    heights = [(step, BOTTOM - step * (BOTTOM - TOP) / STEPS) for step in range(STEPS + 1)]
    return tuple(Tick(y, y + 4, axis_label(top * step // STEPS)) for step, y in heights)


@dataclass(frozen=True, slots=True)
class Span:
    """A bar of the waterfall; `x` and `width` are percentages of the whole request."""

    css: str
    x: str
    width: str


def spans(total_ms: int, parts: Sequence[tuple[str, float, float]]) -> tuple[Span, ...]:
    """Bars for (class, start, length) in milliseconds. A bar is never too thin to be seen nor past the end."""
    whole = max(total_ms, 1)
    drawn = []
    for css, start, length in parts:
        x = min(max(start / whole, 0.0), 0.992)
        width = min(max(length / whole, 0.008), 1.0 - x)
        drawn.append(Span(css, f"{x:.2%}", f"{width:.2%}"))
    return tuple(drawn)
