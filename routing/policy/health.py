"""Live health of deployments: what attempts told, forgotten little by little, and shared between processes.

Sums that decay exponentially, so that those of several processes can be added, at three speeds: the last seconds, the
last minutes, the last hours. The slower ones are the prior of the quicker ones; where the quicker ones contradict them,
something has changed, and they count for less. Pure: times are arguments, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, lgamma, log
from typing import Any, Final, NamedTuple

from routing.policy.failover import CALLERS_OWN
from routing.policy.vitals import UNKNOWN, Vitals

QUICK_HALF_LIFE_S: Final = 10.0
ERRORS_HALF_LIFE_S: Final = 30.0  # the last minutes' errors
TIMES_HALF_LIFE_S: Final = 60.0  # and times
LONG_HALF_LIFE_S: Final = 900.0  # what a deployment is like when nothing is wrong: the prior of its last minutes
_PRIOR_ATTEMPTS: Final = 4.0  # how many attempts the prior is worth, for errors
_PRIOR_TIMED: Final = 2.0  # and for times
_PRIOR_TOKENS: Final = 400.0
_PRIOR_LOST: Final = 2.0
_LOST_S: Final = 1.0
# What the slower sums are worth to the quicker ones, in attempts, where they say the same.
_STEADY_ATTEMPTS: Final = 8.0
_STEADY_TIMED: Final = 8.0
_CHANGES: Final = 0.1  # how likely it is, before anything was seen, that errors have changed
_SURPRISE: Final = 4.0  # standard errors squared, by which times have changed rather than varied
_SPEEDS_VARY: Final = 0.04  # variance of the logarithm of an answer's speed
_LEAST_VARIANCE: Final = 0.01
_AS_USUAL: Final = 0.5  # errors more or less than expected
_NEXT_TO_NONE: Final = 1e-3
_FORGIVEN: Final = 0.2
_MOST_SPREAD: Final = 1.5
_MOST_TAIL: Final = 0.4  # of the variance: rare long waits say little about the next one
_LEAST_S: Final = 0.001
# An empty answer may be what was asked for, and whoever wants to can ask for many.
_NOT_THEIRS: Final = CALLERS_OWN | {"client_left", "deadline", "empty", "hedged"}


class Sample(NamedTuple):
    """What one attempt told. `error_class` "": it answered. Times in seconds; `first_token_s` None and `generation_s`
    the whole time where the answer came in one piece; `lost_s` how long a failed attempt took, None where unknown."""

    deployment_id: int
    error_class: str = ""
    first_token_s: float | None = None
    output_tokens: int = 0
    generation_s: float = 0.0
    lost_s: float | None = None


# Attempts, errors, timed attempts, sum and squares of the logarithms of their first-token seconds, output tokens and
# the seconds they took, failures whose length is known and their seconds.
_KINDS: Final = 9
_LEAST_KINDS: Final = 7  # of an older process


class _Sums:
    """Of the last seconds in `quick`, of the last minutes in `short`, of the last hours in `long`."""

    __slots__ = ("at", "long", "quick", "short")

    def __init__(self, at: float) -> None:
        self.at = at
        self.quick = [0.0] * _KINDS
        self.short = [0.0] * _KINDS
        self.long = [0.0] * _KINDS

    def decay(self, now: float) -> None:
        passed = now - self.at
        if passed <= 0:
            return
        self.quick = _faded(self.quick, passed, QUICK_HALF_LIFE_S)
        self.short = _shortly_faded(self.short, passed)
        self.long = _faded(self.long, passed, LONG_HALF_LIFE_S)
        self.at = now

    def add(self, values: Sequence[float], age_s: float) -> None:
        quick = _faded(values, age_s, QUICK_HALF_LIFE_S) if age_s else values
        short = _shortly_faded(values, age_s) if age_s else values
        self.quick = [mine + theirs for mine, theirs in zip(self.quick, quick, strict=True)]
        self.short = [mine + theirs for mine, theirs in zip(self.short, short, strict=True)]
        self.long = [mine + theirs for mine, theirs in zip(self.long, values, strict=True)]


def _faded(values: Sequence[float], passed_s: float, half_life_s: float) -> list[float]:
    kept = 0.5 ** (passed_s / half_life_s)
    return [value * kept for value in values]


def _shortly_faded(values: Sequence[float], passed_s: float) -> list[float]:
    errors_kept = 0.5 ** (passed_s / ERRORS_HALF_LIFE_S)
    times_kept = 0.5 ** (passed_s / TIMES_HALF_LIFE_S)
    return [value * errors_kept for value in values[:2]] + [value * times_kept for value in values[2:]]


class Record:
    """What is known of all deployments. `priors` may be set by deployment id."""

    def __init__(self) -> None:
        self.priors: dict[int, Vitals] = {}
        self._sums: dict[int, _Sums] = {}
        self._news: dict[int, list[float]] = {}

    def record(self, sample: Sample, now: float) -> None:
        """Count one attempt; the caller's own mistakes never count."""
        id, error_class, first_s, tokens, writing_s, lost_s = sample
        if error_class in _NOT_THEIRS:
            return
        values = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        if error_class:
            values[1] = 1.0
            if lost_s is not None:
                values[7:] = [1.0, lost_s]
        else:
            if first_s is not None:
                logged = log(max(first_s, _LEAST_S))
                values[2:5] = [1.0, logged, logged * logged]
            if tokens > 0 and writing_s > 0:
                values[5:7] = [float(tokens), writing_s]
        self._of(id, now).add(values, 0.0)
        news = self._news.get(id)
        self._news[id] = values if news is None else [one + other for one, other in zip(news, values, strict=True)]

    def take_delta(self, now: float) -> list[list[float]] | None:
        """What was recorded here since the last time: [deployment id, sums …] each. None for nothing."""
        news, self._news = self._news, {}
        return [[deployment_id, *(round(value, 4) for value in sums)] for deployment_id, sums in news.items()] or None

    def apply_delta(self, delta: Iterable[Sequence[Any]], told_at: float, now: float) -> None:
        """Another process's delta. Raises TypeError or ValueError on nonsense."""
        for deployment_id, *told in delta:
            values = [float(value) for value in told]
            if not _LEAST_KINDS <= len(values) <= _KINDS:
                raise ValueError("sums of another shape")
            values += [0.0] * (_KINDS - len(values))
            self._of(int(deployment_id), now).add(values, max(0.0, now - told_at))

    def forgive(self, deployment_id: int, now: float) -> None:
        """It is well again: what it did while it was not says little about now."""
        sums = self._of(deployment_id, now)
        for values in (sums.quick, sums.short):
            values[0] *= _FORGIVEN
            values[1] *= _FORGIVEN

    def known(self) -> list[int]:
        return list(self._sums)

    def vitals(self, deployment_id: int, now: float, breaker: str = "closed") -> Vitals:
        prior = self.priors.get(deployment_id, UNKNOWN)
        sums = self._sums.get(deployment_id)
        if sums is None:
            return prior if breaker == prior.breaker else prior._replace(breaker=breaker)
        sums.decay(now)
        return _estimate(prior, sums, breaker)

    def _of(self, deployment_id: int, now: float) -> _Sums:
        sums = self._sums.get(deployment_id)
        if sums is None:
            sums = self._sums[deployment_id] = _Sums(now)
        else:
            sums.decay(now)
        return sums


def _estimate(prior: Vitals, sums: _Sums, breaker: str) -> Vitals:
    quick, short, long = sums.quick, sums.short, sums.long
    failing = (_PRIOR_ATTEMPTS * prior.error_rate + long[1]) / (_PRIOR_ATTEMPTS + long[0])
    failing = _failing(_failing(failing, short), quick)
    # The mean of a lognormal distribution is its median times the exponential of half its variance.
    mean = log(prior.first_token_s) - min(prior.spread**2, _MOST_TAIL) / 2
    variance = prior.spread**2
    mean, variance = _times(mean, variance, long, _PRIOR_TIMED)
    mean, variance = _times(mean, variance, short, _STEADY_TIMED)
    mean, variance = _times(mean, variance, quick, _STEADY_TIMED)
    speed = (_PRIOR_TOKENS + long[5]) / (_PRIOR_TOKENS / prior.tokens_per_s + long[6])
    speed = _speed(_speed(speed, short), quick)
    first_s = exp(mean + min(variance, _MOST_TAIL) / 2)
    lost = (_PRIOR_LOST * (first_s + _LOST_S) + long[8] + short[8]) / (_PRIOR_LOST + long[7] + short[7])
    return Vitals(first_s, speed, failing, short[0], short[2], variance**0.5, breaker, long[0], lost)


def _failing(usual: float, sums: Sequence[float]) -> float:
    """The share of errors: either what is usual, give or take, or one that has changed to whatever was seen."""
    attempts, errors = sums[0], sums[1]
    if attempts < _NEXT_TO_NONE:
        return usual
    bad, good = _STEADY_ATTEMPTS * usual + 0.01, _STEADY_ATTEMPTS * (1 - usual) + 0.01
    same = (bad + errors) / (bad + good + attempts)
    if abs(errors - attempts * usual) < _AS_USUAL:
        return same
    other = (errors + 0.5) / (attempts + 1)
    others = attempts - errors
    odds = exp(min(50.0, _evidence(errors, others, 0.5, 0.5) - _evidence(errors, others, bad, good)))
    changed = _CHANGES * odds / (1 - _CHANGES + _CHANGES * odds)
    return changed * other + (1 - changed) * same


def _evidence(errors: float, others: float, bad: float, good: float) -> float:
    """The logarithm of how likely a series of such outcomes is for a share drawn from a beta distribution."""
    others = max(0.0, others)
    return (
        lgamma(bad + errors) + lgamma(good + others) - lgamma(bad + good + errors + others)
        - lgamma(bad) - lgamma(good) + lgamma(bad + good)
    )  # fmt: skip


def _times(usual: float, variance: float, sums: Sequence[float], worth: float) -> tuple[float, float]:
    """Mean and variance of the logarithm of the first-token seconds."""
    timed, logs, squares = sums[2], sums[3], sums[4]
    if timed < _NEXT_TO_NONE:
        return usual, variance
    worth = _worth(logs / timed - usual, max(variance, _LEAST_VARIANCE), timed, worth)
    weight = worth + timed
    mean = (worth * usual + logs) / weight
    both = (worth * (usual * usual + variance) + squares) / weight - mean * mean
    return mean, min(max(0.0, both), _MOST_SPREAD**2)


def _speed(usual: float, sums: Sequence[float]) -> float:
    """Output tokens per second."""
    tokens, seconds, count = sums[5], sums[6], max(sums[2], sums[0] - sums[1], _NEXT_TO_NONE)
    if seconds < _LEAST_S or tokens < _NEXT_TO_NONE:
        return usual
    worth = _worth(log(tokens / seconds / usual), _SPEEDS_VARY, count, _STEADY_TIMED) * tokens / count
    worth = max(worth, _PRIOR_TOKENS)
    return (worth + tokens) / (worth / usual + seconds)


def _worth(off: float, variance: float, count: float, worth: float) -> float:
    """What is usual is worth this many attempts to those that differ from it by `off`: less the surer it is that
    something has changed, but one attempt never proves that alone."""
    surprise = off * off / (variance * (1 / count + 1 / worth)) / _SURPRISE
    return max(_PRIOR_TIMED, worth / (1 + surprise * surprise))
