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

ERRORS_HALF_LIFE_S: Final = 60.0
TIMES_HALF_LIFE_S: Final = 180.0
_PRIOR_ATTEMPTS: Final = 4.0  # how many attempts the prior is worth, for errors
_PRIOR_TIMED: Final = 2.0  # and for times
_PRIOR_TOKENS: Final = 400.0
_MOST_SPREAD: Final = 1.5
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


class _Sums:
    __slots__ = ("at", "attempts", "errors", "logs", "seconds", "squares", "timed", "tokens")

    def __init__(self, at: float) -> None:
        self.at = at
        self.attempts = self.errors = 0.0
        self.timed = self.logs = self.squares = 0.0
        self.tokens = self.seconds = 0.0

    def decay(self, now: float) -> None:
        passed = now - self.at
        if passed <= 0:
            return
        kept = 0.5 ** (passed / ERRORS_HALF_LIFE_S)
        self.attempts *= kept
        self.errors *= kept
        kept = 0.5 ** (passed / TIMES_HALF_LIFE_S)
        self.timed *= kept
        self.logs *= kept
        self.squares *= kept
        self.tokens *= kept
        self.seconds *= kept
        self.at = now

    def add(self, values: Sequence[float], age_s: float) -> None:
        errors_kept = 0.5 ** (age_s / ERRORS_HALF_LIFE_S)
        times_kept = 0.5 ** (age_s / TIMES_HALF_LIFE_S)
        attempts, errors, timed, logs, squares, tokens, seconds = values
        self.attempts += attempts * errors_kept
        self.errors += errors * errors_kept
        self.timed += timed * times_kept
        self.logs += logs * times_kept
        self.squares += squares * times_kept
        self.tokens += tokens * times_kept
        self.seconds += seconds * times_kept

    def values(self) -> list[float]:
        return [self.attempts, self.errors, self.timed, self.logs, self.squares, self.tokens, self.seconds]


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
            [deployment_id, *(round(value, 4) for value in sums.values())] for deployment_id, sums in news.items()
        ] or None

    def apply_delta(self, delta: Iterable[Sequence[Any]], told_at: float, now: float) -> None:
        """Another process's delta. Raises TypeError or ValueError on nonsense."""
        for deployment_id, *values in delta:
            self._of(int(deployment_id), now).add([float(value) for value in values], max(0.0, now - told_at))

    def known(self) -> list[int]:
        return list(self._sums)

    def vitals(self, deployment_id: int, now: float, breaker: str = "closed") -> Vitals:
        prior = self.priors.get(deployment_id, UNKNOWN)
        sums = self._sums.get(deployment_id)
        if sums is None:
            return prior if breaker == prior.breaker else prior._replace(breaker=breaker)
        sums.decay(now)
        weight = _PRIOR_TIMED + sums.timed
        prior_log = log(prior.first_token_s)
        mean = (_PRIOR_TIMED * prior_log + sums.logs) / weight
        squares = _PRIOR_TIMED * (prior_log * prior_log + prior.spread**2) + sums.squares
        variance = min(max(0.0, squares / weight - mean * mean), _MOST_SPREAD**2)
        tokens = _PRIOR_TOKENS + sums.tokens
        return Vitals(
            first_token_s=exp(mean + variance / 2),
            tokens_per_s=tokens / (_PRIOR_TOKENS / prior.tokens_per_s + sums.seconds),
            error_rate=(_PRIOR_ATTEMPTS * prior.error_rate + sums.errors) / (_PRIOR_ATTEMPTS + sums.attempts),
            samples=sums.attempts,
            timed=sums.timed,
            spread=variance**0.5,
            breaker=breaker,
        )

    def _of(self, deployment_id: int, now: float) -> _Sums:
        sums = self._sums.get(deployment_id)
        if sums is None:
            sums = self._sums[deployment_id] = _Sums(now)
        else:
            sums.decay(now)
        return sums
