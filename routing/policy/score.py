"""Which of several deployments suits a request best: one loss for each, from latency, cost and quality.

For a candidate with first-token time f, speed v, error rate e, seconds l that a failed attempt takes, expected output
n, expected cost c and quality q:

    seconds = f + n / v + e / (1 - e) * l
    latency = 1 - best seconds / seconds
    cost    = 1 - (best cost + 1 micro-dollar) / (c + 1 micro-dollar)
    quality = 1 - q / best quality
    loss    = latency * w_latency + cost * w_cost + quality * w_quality      (weights as shares of their sum)

Each part is 0 for the best of the candidates and approaches 1. Errors are time lost, for another candidate answers
then, and no part of their own, so that raising a weight can never make its own criterion worse. As far as time goes, it
pays to try one before another exactly where its seconds, the lost ones included, are fewer: so nothing else holds a
failing one back, and breakers see to those that are down. Before the loss comes what a request prefers, which no weight
touches. Pure; the order depends on nothing but the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from routing.policy.vitals import Vitals
from routing.policy.weights import Weights

HEALTHY, DEGRADED = 0, 1
USUAL_PRIORITY = 100
DEGRADED_ERRORS = 0.5
DEGRADED_SAMPLES = 5.0
_MOST_ERRORS = 0.95
_SLOWEST = 0.1  # tokens per second
_LEAST_S = 1e-3
_LEAST_QUALITY = 1e-6
_SMALL_NANOS = 1_000
_SORTS = {"price": Weights(0, 1, 0), "latency": Weights(1, 0, 0), "throughput": Weights(1, 0, 0)}


class Option(NamedTuple):
    """A candidate. `cost_nanos` and `output_tokens` are what this request is expected to cost and to write. `quality`:
    the model's index, None where nobody measured it. Lower `priority` comes first whatever the loss: staff set it.
    `unwished`: below what the request prefers, so behind the others."""

    id: int
    cost_nanos: int
    quality: float | None
    vitals: Vitals
    output_tokens: float
    priority: int = USUAL_PRIORITY
    unwished: bool = False


class Scored(NamedTuple):
    """An option with its place: sorted by wish, priority, loss, seconds, cost and id. `tier` is DEGRADED for what is
    below a wish or fails half of the time: no warm cache and no exploration puts that first. `at_stake` is the weight
    of latency, which is the only part of the loss that has to be learnt."""

    option: Option
    tier: int
    loss: float
    latency: float
    cost: float
    quality: float
    seconds: float
    at_stake: float = 1.0


def rank(options: Sequence[Option], weights: Weights, *, sort: str = "") -> list[Scored]:
    """Best first. `sort` (price, latency or throughput) takes the place of the weights."""
    if not options:
        return []
    by = _SORTS.get(sort, weights).shares()
    seconds = [expected_seconds(option, sort == "throughput") for option in options]
    qualities = _qualities(options)
    least_s = min(seconds)
    least_cost = min([option.cost_nanos for option in options]) + _SMALL_NANOS
    best_quality = max(qualities)
    w_latency, w_cost, w_quality = by
    scored = []
    for number, option in enumerate(options):
        id, cost_nanos, _, _, _, priority, _ = option
        waited_s, tier = seconds[number], tier_of(option)
        latency = 1 - least_s / waited_s
        cost = 1 - least_cost / (cost_nanos + _SMALL_NANOS)
        lacking = 1 - qualities[number] / best_quality
        loss = latency * w_latency + cost * w_cost + lacking * w_quality
        one = Scored(option, tier, loss, latency, cost, lacking, waited_s, w_latency)
        scored.append((option.unwished, priority, loss, waited_s, cost_nanos, id, number, one))
    scored.sort()
    return [place[-1] for place in scored]


def expected_seconds(option: Option, throughput_only: bool = False) -> float:
    """Until the whole answer is there, failed attempts included."""
    vitals = option.vitals
    first, speed, failing = vitals.first_token_s, vitals.tokens_per_s, vitals.error_rate
    if failing > _MOST_ERRORS:
        failing = _MOST_ERRORS
    writing = option.output_tokens / (speed if speed > _SLOWEST else _SLOWEST)
    lost = failing / (1 - failing) * vitals.lost_s
    seconds = (0.0 if throughput_only else first) + writing + lost
    return seconds if seconds > _LEAST_S else _LEAST_S


def tier_of(option: Option) -> int:
    if option.unwished:
        return DEGRADED
    vitals = option.vitals
    return DEGRADED if vitals.error_rate >= DEGRADED_ERRORS and vitals.samples >= DEGRADED_SAMPLES else HEALTHY


def _qualities(options: Sequence[Option]) -> list[float]:
    """What nobody measured counts as the middle of what was."""
    known = [option.quality for option in options if option.quality is not None]
    if len(known) == len(options):
        return [quality if quality > _LEAST_QUALITY else _LEAST_QUALITY for quality in known]
    known.sort()
    middle = known[len(known) // 2] if known else 1.0
    return [max(_LEAST_QUALITY, middle if option.quality is None else option.quality) for option in options]
