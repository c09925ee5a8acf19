"""Providers that change over time, for the simulation of routing: named ones, and any number of random ones.

A provider is a function of seconds since the start; nothing here depends on a clock or on a strategy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final, NamedTuple

SPAN_S: Final = 1800.0


class State(NamedTuple):
    """A provider at one moment: the median seconds to the first token and the spread of its logarithm, tokens per
    second, the share of attempts that fail, whether failures are limits (429), nano-USD per output token, quality, and
    how long a failure takes beyond the first token's time (a limit is told at once)."""

    first_s: float = 0.8
    spread: float = 0.3
    speed: float = 60.0
    errors: float = 0.01
    limited: bool = False
    price: float = 2_000.0
    quality: float = 50.0
    lost_s: float = 0.5


Provider = Callable[[float], State]


class Scenario(NamedTuple):
    """Providers and how long they are watched. The number of requests does not depend on it, so a longer one has fewer
    a second."""

    providers: tuple[Provider, ...]
    span_s: float = SPAN_S


# --- Named ones ------------------------------------------------------------------------------------------------------
def steady(**values: float) -> Provider:
    state = State(**values)  # type: ignore[arg-type]
    return lambda at: state


def _between(at: float, begin: float, end: float) -> bool:
    return begin <= at < end


def _slower(at: float) -> State:
    return State(first_s=0.4 * (1 + 8 * at / SPAN_S), speed=90 / (1 + 3 * at / SPAN_S))


def _outage(at: float) -> State:
    return State(first_s=0.4, speed=90, errors=0.97 if _between(at, 500, 900) else 0.01)


def _diurnal(phase: float) -> Provider:
    def state(at: float) -> State:
        busy = 0.5 + 0.5 * math.sin(2 * math.pi * at / 900 + phase)
        return State(first_s=0.4 + 1.6 * busy, speed=90 - 60 * busy)

    return state


def _newcomer(at: float) -> State:
    if at < 700:
        return State(first_s=3.0, speed=15, errors=0.3)
    return State(first_s=0.3, speed=120, price=1_200)


def _dearer(at: float) -> State:
    return State(price=800 if at < 600 else 6_000, first_s=0.7)


def _limited(at: float) -> State:
    return State(price=700, errors=0.6 if int(at / 60) % 3 == 0 else 0.02, limited=True)


def _flapping(at: float) -> State:
    return State(first_s=0.4, speed=90, price=1_500, errors=0.9 if int(at / 45) % 2 else 0.01)


def _tails(at: float) -> State:
    return State(first_s=0.5, spread=1.3, speed=80)


SCENARIOS: Final[dict[str, Scenario]] = {
    name: Scenario(providers)
    for name, providers in {
        "steady": (
            steady(first_s=0.4, speed=100, price=4_000),
            steady(first_s=1.0, speed=50, price=1_500),
            steady(first_s=0.7, speed=70, price=2_500),
            steady(first_s=1.5, speed=30, price=1_000, errors=0.05),
        ),
        "slower": (_slower, steady(first_s=0.9, speed=60), steady(first_s=1.2, speed=45, price=1_600)),
        "outage": (_outage, steady(first_s=0.9, speed=60), steady(first_s=1.3, speed=40, price=1_500)),
        "diurnal": (_diurnal(0), _diurnal(2.1), _diurnal(4.2)),
        "price change": (_dearer, steady(price=2_000, first_s=0.8), steady(price=3_000, first_s=0.5, speed=80)),
        "newcomer": (_newcomer, steady(first_s=0.8), steady(first_s=1.0, speed=50, price=1_800)),
        "heavy tails": (_tails, steady(first_s=0.8, spread=0.2, speed=70), steady(first_s=0.9, spread=0.3, speed=60)),
        "rate limited": (_limited, steady(price=2_000), steady(price=2_600, first_s=0.5, speed=90)),
        "flapping": (_flapping, steady(first_s=0.8, price=2_200), steady(first_s=1.1, speed=50, price=1_900)),
        "qualities": (
            steady(quality=70, price=9_000, first_s=1.5, speed=40),
            steady(quality=55, price=2_000, first_s=0.6, speed=90),
            steady(quality=35, price=400, first_s=0.3, speed=150),
        ),
    }.items()
}


_CALM = (steady(first_s=0.8, price=2_200), steady(first_s=1.1, speed=50, price=1_900))


def _flaps(period_s: float, errors: float) -> Scenario:
    def state(at: float) -> State:
        return State(first_s=0.4, speed=90, price=1_500, errors=errors if int(at / period_s) % 2 else 0.01)

    return Scenario((state, *_CALM))


def _fails(begin: float, end: float, errors: float) -> Scenario:
    def state(at: float) -> State:
        return State(first_s=0.4, speed=90, errors=errors if _between(at, begin, end) else 0.01)

    return Scenario((state, *_CALM))


FAILING: Final[dict[str, Scenario]] = {
    **{f"flap{period}/{errors:.0%}": _flaps(period, errors) for period in (10, 30, 75, 240) for errors in (0.9, 0.5)},
    "short outage": _fails(900, 960, 0.97),
    "half broken": _fails(300, 900, 0.65),
}


# --- Random ones -----------------------------------------------------------------------------------------------------
Change = Callable[[State, float], State]
_Windows = list[tuple[float, float]]


def generated(seed: int) -> Scenario:
    """Three to five providers with changes of their own, at 0.4 to 4 requests a second where there are 2,000."""
    chance = random.Random(f"scenario {seed}")
    span_s = _spread_out(chance, 500, 5000)
    one_model = chance.random() < 0.5
    return Scenario(tuple(_provider(chance, span_s, one_model) for _ in range(chance.randint(3, 5))), span_s)


def _spread_out(chance: random.Random, least: float, most: float) -> float:
    """Evenly on a logarithmic scale."""
    return math.exp(chance.uniform(math.log(least), math.log(most)))


def _provider(chance: random.Random, span_s: float, one_model: bool) -> Provider:
    usual = State(
        first_s=_spread_out(chance, 0.25, 1.8),
        spread=chance.uniform(0.15, 0.6) if chance.random() < 0.85 else chance.uniform(0.9, 1.3),
        speed=_spread_out(chance, 25, 140),
        errors=_spread_out(chance, 0.002, 0.04),
        price=_spread_out(chance, 700, 6_000),
        quality=50.0 if one_model else chance.uniform(35, 75),
        lost_s=_spread_out(chance, 0.05, 5),
    )
    changes = [chance.choice(_CHANGES)(chance, span_s) for _ in range(chance.choice((0, 1, 1, 1, 2)))]

    def state(at: float) -> State:
        now = usual
        for change in changes:
            now = change(now, at)
        return now

    return state


def _windows(chance: random.Random, span_s: float, gap_s: float, length_s: float) -> _Windows:
    """Times that come after gaps and last for lengths of these means."""
    found, at = [], chance.expovariate(1 / gap_s)
    while at < span_s:
        end = at + chance.expovariate(1 / length_s)
        found.append((at, end))
        at = end + chance.expovariate(1 / gap_s)
    return found


def _within(windows: _Windows, at: float) -> bool:
    return any(begin <= at < end for begin, end in windows)


def _slowly(state: State, factor: float) -> State:
    return state._replace(first_s=state.first_s * factor, speed=state.speed / factor)


def _flap(chance: random.Random, span_s: float) -> Change:
    period_s, errors, share = _spread_out(chance, 8, 400), chance.uniform(0.3, 1.0), chance.uniform(0.2, 0.7)
    begin = chance.uniform(0, period_s)
    return lambda state, at: state._replace(errors=errors) if ((at + begin) / period_s) % 1.0 < share else state


def _random_failing(chance: random.Random, span_s: float) -> Change:
    errors = chance.uniform(0.2, 1.0)
    windows = _windows(chance, span_s, _spread_out(chance, 30, 900), _spread_out(chance, 8, 300))
    return lambda state, at: state._replace(errors=errors) if _within(windows, at) else state


def _down(chance: random.Random, span_s: float) -> Change:
    errors, begin = chance.uniform(0.9, 1.0), chance.uniform(0, span_s)
    end = begin + _spread_out(chance, 20, 600)
    return lambda state, at: state._replace(errors=errors) if _between(at, begin, end) else state


def _limits(chance: random.Random, span_s: float) -> Change:
    errors = chance.uniform(0.3, 1.0)
    windows = _windows(chance, span_s, _spread_out(chance, 60, 600), _spread_out(chance, 10, 200))
    return lambda state, at: state._replace(errors=errors, limited=True) if _within(windows, at) else state


def _slow_times(chance: random.Random, span_s: float) -> Change:
    factor = _spread_out(chance, 1.5, 8)
    windows = _windows(chance, span_s, _spread_out(chance, 60, 900), _spread_out(chance, 15, 400))
    return lambda state, at: _slowly(state, factor) if _within(windows, at) else state


def _levels(chance: random.Random, span_s: float) -> Change:
    """Another speed from time to time, faster or slower."""
    changes, at, length_s = [(0.0, 1.0)], 0.0, _spread_out(chance, 60, 900)
    while at < span_s:
        at += chance.expovariate(1 / length_s)
        changes.append((at, _spread_out(chance, 0.4, 3)))
    return lambda state, at: _slowly(state, next(factor for since, factor in reversed(changes) if since <= at))


def _drift(chance: random.Random, span_s: float) -> Change:
    last = _spread_out(chance, 0.3, 4)
    return lambda state, at: _slowly(state, last ** (at / span_s))


def _busy_hours(chance: random.Random, span_s: float) -> Change:
    period_s, phase, most = span_s * chance.uniform(0.3, 1.2), chance.uniform(0, 6.3), _spread_out(chance, 1.5, 5)
    return lambda state, at: _slowly(state, most ** (0.5 + 0.5 * math.sin(2 * math.pi * at / period_s + phase)))


def _price_step(chance: random.Random, span_s: float) -> Change:
    begin, factor = chance.uniform(0, span_s), _spread_out(chance, 0.3, 4)
    return lambda state, at: state._replace(price=state.price * factor) if at >= begin else state


_CHANGES = (
    _flap, _random_failing, _random_failing, _down, _limits, _slow_times, _levels, _drift, _busy_hours, _price_step,
)  # fmt: skip
