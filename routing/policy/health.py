"""Live health of deployments: what attempts told, forgotten little by little, and shared between processes.

Sums that decay exponentially, so that those of several processes can be added; with a prior, so that one lucky attempt
proves nothing. Pure: times are arguments, in seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, log
from typing import Any, Final, NamedTuple

from routing.policy.failover import CALLERS_OWN
from routing.policy.vitals import UNKNOWN, Vitals

ERRORS_HALF_LIFE_S: Final = 45.0
TIMES_HALF_LIFE_S: Final = 60.0
LONG_HALF_LIFE_S: Final = 900.0  # what a deployment is like when nothing is wrong: the prior of its last minutes
_PRIOR_ATTEMPTS: Final = 4.0  # how many attempts the prior is worth, for errors
_PRIOR_TIMED: Final = 2.0  # and for times
_PRIOR_TOKENS: Final = 400.0
_FORGIVEN: Final = 0.2
_MOST_SPREAD: Final = 1.5
_MOST_TAIL: Final = 0.4  # of the variance: rare long waits say little about the next one
_SHORT_WORTH: Final = 0.5  # of the long memory as a prior of the short one
_LEAST_S: Final = 0.001
# An empty answer may be what was asked for, and whoever wants to can ask for many.
_NOT_THEIRS: Final = CALLERS_OWN | {"client_left", "deadline", "empty", "hedged"}


class Sample(NamedTuple):
    """What one attempt told. `error_class` "": it answered. Times in seconds; `first_token_s` None and `generation_s`
    the whole time where the answer came in one piece."""

    deployment_id: int
    error_class: str = ""
    first_token_s: float | None = None
    output_tokens: int = 0
    generation_s: float = 0.0


_LIVES: Final = (ERRORS_HALF_LIFE_S,) * 2 + (TIMES_HALF_LIFE_S,) * 5


class _Sums:
    """Attempts, errors, timed attempts, sum and squares of the logarithms of their first-token seconds, output tokens
    and the seconds they took: of the last minutes in `short`, of the last hours in `long`."""

    __slots__ = ("at", "long", "short")

    def __init__(self, at: float) -> None:
        self.at = at
        self.short = [0.0] * len(_LIVES)
        self.long = [0.0] * len(_LIVES)

    def decay(self, now: float) -> None:
        passed = now - self.at
        if passed <= 0:
            return
        self.short = _faded(self.short, passed)
        kept = 0.5 ** (passed / LONG_HALF_LIFE_S)
        self.long = [value * kept for value in self.long]
        self.at = now

    def add(self, values: Sequence[float], age_s: float) -> None:
        if len(values) != len(_LIVES):
            raise ValueError("sums of another shape")
        faded = _faded(values, age_s) if age_s else values
        self.short = [mine + theirs for mine, theirs in zip(self.short, faded, strict=True)]
        self.long = [mine + theirs for mine, theirs in zip(self.long, values, strict=True)]


def _faded(values: Sequence[float], passed_s: float) -> list[float]:
    errors_kept = 0.5 ** (passed_s / ERRORS_HALF_LIFE_S)
    times_kept = 0.5 ** (passed_s / TIMES_HALF_LIFE_S)
    return [value * errors_kept for value in values[:2]] + [value * times_kept for value in values[2:]]


class Record:
    """What is known of all deployments. `priors` may be set by deployment id."""

    def __init__(self) -> None:
        self.priors: dict[int, Vitals] = {}
        self._sums: dict[int, _Sums] = {}
        self._news: dict[int, _Sums] = {}

    def record(self, sample: Sample, now: float) -> None:
        """Count one attempt; the caller's own mistakes never count."""
        if sample.error_class in _NOT_THEIRS:
            return
        values = [1.0, 1.0 if sample.error_class else 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        if not sample.error_class:
            if sample.first_token_s is not None:
                logged = log(max(sample.first_token_s, _LEAST_S))
                values[2:5] = [1.0, logged, logged * logged]
            if sample.output_tokens > 0 and sample.generation_s > 0:
                values[5:7] = [float(sample.output_tokens), sample.generation_s]
        sums = self._of(sample.deployment_id, now)
        sums.add(values, 0.0)
        news = self._news.get(sample.deployment_id)
        if news is None:
            news = self._news[sample.deployment_id] = _Sums(now)
        news.add(values, 0.0)

    def take_delta(self, now: float) -> list[list[float]] | None:
        """What was recorded here since the last time: [deployment id, sums …] each. None for nothing."""
        news, self._news = self._news, {}
        return [
            [deployment_id, *(round(value, 4) for value in sums.short)] for deployment_id, sums in news.items()
        ] or None

    def apply_delta(self, delta: Iterable[Sequence[Any]], told_at: float, now: float) -> None:
        """Another process's delta. Raises TypeError or ValueError on nonsense."""
        for deployment_id, *values in delta:
            self._of(int(deployment_id), now).add([float(value) for value in values], max(0.0, now - told_at))

    def forgive(self, deployment_id: int, now: float) -> None:
        """It is well again: what it did while it was not says little about now."""
        sums = self._of(deployment_id, now)
        sums.short = [value * _FORGIVEN for value in sums.short[:2]] + sums.short[2:]

    def known(self) -> list[int]:
        return list(self._sums)

    def vitals(self, deployment_id: int, now: float, breaker: str = "closed") -> Vitals:
        prior = self.priors.get(deployment_id, UNKNOWN)
        sums = self._sums.get(deployment_id)
        if sums is None:
            return prior if breaker == prior.breaker else prior._replace(breaker=breaker)
        sums.decay(now)
        usual = _estimate(prior, sums.long)
        return _estimate(usual, sums.short, _SHORT_WORTH, breaker, sums.long[0])

    def _of(self, deployment_id: int, now: float) -> _Sums:
        sums = self._sums.get(deployment_id)
        if sums is None:
            sums = self._sums[deployment_id] = _Sums(now)
        else:
            sums.decay(now)
        return sums


def _estimate(
    prior: Vitals, sums: Sequence[float], worth: float = 1.0, breaker: str = "closed", seen: float = 0.0
) -> Vitals:
    """The sums on top of a prior that is worth a few attempts."""
    prior_timed, prior_tokens, prior_attempts = _PRIOR_TIMED * worth, _PRIOR_TOKENS * worth, _PRIOR_ATTEMPTS * worth
    attempts, errors, timed, logs, squares, tokens, seconds = sums
    weight = prior_timed + timed
    # The mean of a lognormal distribution is its median times the exponential of half its variance.
    prior_log = log(prior.first_token_s) - min(prior.spread**2, _MOST_TAIL) / 2
    mean = (prior_timed * prior_log + logs) / weight
    all_squares = prior_timed * (prior_log * prior_log + prior.spread**2) + squares
    variance = min(max(0.0, all_squares / weight - mean * mean), _MOST_SPREAD**2)
    return Vitals(
        first_token_s=exp(mean + min(variance, _MOST_TAIL) / 2),
        tokens_per_s=(prior_tokens + tokens) / (prior_tokens / prior.tokens_per_s + seconds),
        error_rate=(prior_attempts * prior.error_rate + errors) / (prior_attempts + attempts),
        samples=attempts,
        timed=timed,
        spread=variance**0.5,
        breaker=breaker,
        seen=seen,
    )
