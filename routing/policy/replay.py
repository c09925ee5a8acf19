"""What requests would have cost and how long they would have taken with other weights: an estimate from their traces.

Each request's candidates are ranked again by the components that were stored with it. Who stood in another tier or in
another class of priority stays there: classes are told by the stored order, in which the loss falls only where one
begins. Where another candidate comes first, what happened is multiplied by the ratio of the two candidates' expected
values; so real token counts count, and only the difference is a guess. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from routing.policy.weights import Weights

_MOST_TIMES: Final = 50.0


class Past(NamedTuple):
    """A candidate as the trace tells of it."""

    id: int
    provider: str
    tier: int
    loss: float
    latency: float
    cost: float
    quality: float
    cost_nanos: int
    seconds: float
    first_token_s: float
    error_rate: float


class Request(NamedTuple):
    """One request as it went. `answered_by`: a deployment's id, None where nobody answered. `stumbled`: its first
    attempt failed. `fixed`: the project's weights had no say, for a rule, an alias or the request itself set the
    order."""

    model: str
    provider: str
    answered_by: int | None
    candidates: tuple[Past, ...]
    charge_nanos: int
    first_token_ms: int | None
    duration_ms: int
    stumbled: bool
    fixed: bool = False


class Figures(NamedTuple):
    """Sums over the requests. `stumbled`: how many first attempts fail; a fraction where it is expected only."""

    charge_nanos: float
    duration_ms: float
    first_token_ms: float
    first_tokens: int
    stumbled: float
    providers: Mapping[str, int]


class Summary(NamedTuple):
    """`no_choice`: one candidate or none stored. `fixed`: not decided by the project's weights. `moved`: another would
    come first."""

    requests: int
    no_choice: int
    fixed: int
    moved: int
    before: Figures
    after: Figures


class _Rates(NamedTuple):
    """What really came of what was expected: real by expected, over all requests."""

    cost: float
    seconds: float
    first_token: float
    errors: float


def replay(requests: Sequence[Request], weights: Weights) -> Summary:
    """The summary for these weights. With the weights that were in force, `after` equals `before`."""
    shares, rates = weights.shares(), _rates(requests)
    before, after = _Sums(), _Sums()
    no_choice = fixed = moved = 0
    for one in requests:
        before.add(one.charge_nanos, one.duration_ms, one.first_token_ms, float(one.stumbled), one.provider)
        chosen = None
        if len(one.candidates) < 2:
            no_choice += 1
        elif one.fixed:
            fixed += 1
        else:
            first = reranked(one.candidates, shares)[0]
            chosen = first if first.id != one.candidates[0].id else None
        if chosen is None:
            after.add(one.charge_nanos, one.duration_ms, one.first_token_ms, float(one.stumbled), one.provider)
        else:
            moved += 1
            after.add(*_instead(one, chosen, rates))
    return Summary(len(requests), no_choice, fixed, moved, before.figures(), after.figures())


def reranked(candidates: Sequence[Past], shares: Weights) -> list[Past]:
    """Best first by these weights, inside the classes of the stored order."""
    ranked: list[Past] = []
    for together in _classes(candidates):
        ranked += sorted(together, key=lambda one: _loss(one, shares))  # stable: equals stay as they were
    return ranked


def _classes(candidates: Sequence[Past]) -> list[list[Past]]:
    found: list[list[Past]] = []
    for one in candidates:
        if found and found[-1][-1].tier == one.tier and found[-1][-1].loss <= one.loss:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _loss(one: Past, shares: Weights) -> float:
    # Stored with four places, so what differs less is equal.
    return round(one.latency * shares.latency + one.cost * shares.cost + one.quality * shares.quality, 3)


def _instead(one: Request, chosen: Past, rates: _Rates) -> tuple[float, float, float | None, float, str]:
    """What is expected of `chosen`, as the values of `_Sums.add`."""
    real = next((past for past in one.candidates if past.id == one.answered_by), None)
    stumbles = min(1.0, chosen.error_rate * rates.errors)
    if real is None:  # nobody of those weighed answered: all that is known is what is expected
        waited = chosen.first_token_s * 1000 * rates.first_token if one.first_token_ms is not None else None
        cost = chosen.cost_nanos * rates.cost * (1 - stumbles)
        return cost, chosen.seconds * 1000 * rates.seconds, waited, stumbles, chosen.provider
    cost = one.charge_nanos * _times(chosen.cost_nanos, real.cost_nanos)
    if real.cost_nanos <= 0:
        cost = chosen.cost_nanos * rates.cost
    duration = one.duration_ms * _times(chosen.seconds, real.seconds)
    waited = None
    if one.first_token_ms is not None:
        waited = one.first_token_ms * _times(chosen.first_token_s, real.first_token_s)
    return cost, duration, waited, stumbles, chosen.provider


def _times(wanted: float, real: float) -> float:
    return min(max(wanted / real, 0.0), _MOST_TIMES) if real > 0 else 1.0


def _rates(requests: Iterable[Request]) -> _Rates:
    real, expected = [0.0] * 4, [0.0] * 4
    for one in requests:
        for past in one.candidates[:1]:
            real[3] += one.stumbled
            expected[3] += past.error_rate
        past_answering = next((past for past in one.candidates if past.id == one.answered_by), None)
        if past_answering is None:
            continue
        for place, (happened, foreseen) in enumerate(
            (
                (float(one.charge_nanos), float(past_answering.cost_nanos)),
                (one.duration_ms / 1000, past_answering.seconds),
                ((one.first_token_ms or 0) / 1000, past_answering.first_token_s if one.first_token_ms else 0.0),
            )
        ):
            real[place] += happened
            expected[place] += foreseen
    return _Rates(*(_rate(*pair) for pair in zip(real, expected, strict=True)))


def _rate(real: float, expected: float) -> float:
    return real / expected if expected > 0 else 1.0


class _Sums:
    __slots__ = ("_charge", "_duration", "_first", "_firsts", "_providers", "_stumbled")

    def __init__(self) -> None:
        self._charge = self._duration = self._first = self._stumbled = 0.0
        self._firsts = 0
        self._providers: Counter[str] = Counter()

    def add(self, charge: float, duration: float, first: float | None, stumbled: float, provider: str) -> None:
        self._charge += charge
        self._duration += duration
        self._stumbled += stumbled
        if first is not None:
            self._first += first
            self._firsts += 1
        if provider:
            self._providers[provider] += 1

    def figures(self) -> Figures:
        return Figures(
            self._charge, self._duration, self._first, self._firsts, self._stumbled, dict(self._providers.most_common())
        )
