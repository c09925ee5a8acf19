"""`auto`: which models may take part, and how good each is for the task at hand.

The catalogue has one quality index for each model, made from votes on general chat. What a task makes of it is a prior
of ours: small steps that change the order of near equals, and say where more quality is not worth its price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from math import log
from typing import Final

from routing.policy.candidate import Catalogue, DeploymentInfo, ModelInfo, blended_price, card_in_force
from routing.policy.eligibility import unfit, unusable
from routing.policy.needs import Needs
from routing.policy.weights import BALANCED, PRESETS, Weights

AUTO: Final = "auto"
_NAMES: Final = frozenset((AUTO, "openrouter/auto"))
_UNMEASURED: Final = 45.0  # as the weakest of those that were measured: nobody's first choice by quality
# Good enough: what lies above counts for a part only, so that a cheap or fast model can win an easy task.
_ENOUGH: Final = {"chat": 80.0, "data": 85.0}
_BEYOND: Final = 0.4
_HARD: Final = frozenset(("medium", "high", "xhigh", "max"))
# Made for code by their names; they have few votes on general chat, or none.
_CODERS: Final = re.compile(r"cod(?:e|er|ex|estral)\b|devstral|\bbuild\b")
_CODER_UNMEASURED: Final = 75.0
_CODER_BONUS: Final = 4.0
_THINKER_BONUS: Final = 3.0
_CROWDED: Final = 0.5  # of the context; a prompt beyond it is read with less care
_CROWDED_LOSS: Final = 0.3
MOST_MODELS: Final = 16  # that are scored with all their deployments
# Nobody is picked for being cheap alone: the share of the best one's quality that each must have, with more of it the
# more quality weighs.
_WORST_SHARE: Final = 0.55
_WORST_BY_WEIGHT: Final = 0.4
_PLENTY: Final = 6
_CENT: Final = 0.01  # so that what is free has a logarithm
_DEAR: Final = 100.0  # of whom no price is known
_UNPRICED: Final[Mapping[str, float]] = {}


def is_auto(name: str) -> bool:
    return name.strip().lower() in _NAMES


def preset_of(name: str) -> str:
    """The preset in auto:<preset>, "" for any other name."""
    base, _, preset = name.strip().lower().partition(":")
    return preset if preset in PRESETS and base in _NAMES else ""


def models_for(
    models: Iterable[ModelInfo],
    allowed: Callable[[ModelInfo], bool],
    needs: Needs,
    at: datetime,
    *,
    weights: Weights = BALANCED,
    prices: Mapping[str, float] = _UNPRICED,
) -> tuple[ModelInfo, ...]:
    """Those that may take part: active, answering in text, allowed, served by a deployment that is in use and known to
    do what the request needs; where there are plenty, none that is much worse than the best. Models of a sandbox only
    where there are no others. With `prices` (of `rough_prices`) at most MOST_MODELS, the likeliest to win by these
    weights.
    """
    real: list[ModelInfo] = []
    practice: list[ModelInfo] = []
    for model in models:
        if model.status != "active" or "text" not in model.output_modalities or not allowed(model):
            continue
        who = _server(model, needs, at)
        if who is not None:
            (practice if who.is_sandbox else real).append(model)
    return _likeliest(real or practice, needs, weights.shares(), prices)


def _server(model: ModelInfo, needs: Needs, at: datetime) -> DeploymentInfo | None:
    """A deployment that can answer; one of a sandbox only where no other can."""
    found = None
    for one in model.deployments:
        if not unusable(one, at) and not unfit(one, model, needs, sure=True):
            if not one.is_sandbox:
                return one
            found = one
    return found


def rough_prices(catalogue: Catalogue, at: datetime) -> dict[str, float]:
    """What each model costs where it is cheapest, in US dollars per million tokens at three in for one out."""
    found: dict[str, float] = {}
    for model in catalogue.models.values():
        for deployment in model.deployments:
            card = None if unusable(deployment, at) else card_in_force(deployment, at=at, holidays=catalogue.holidays)
            if card is None or "output" not in card.rates:
                continue
            try:
                price = float(blended_price(card, catalogue.units_per_usd(deployment.currency, at)))
            except LookupError:
                continue
            found[model.slug] = min(price, found.get(model.slug, price))
    return found


def _likeliest(
    models: Sequence[ModelInfo], needs: Needs, weights: Weights, prices: Mapping[str, float]
) -> tuple[ModelInfo, ...]:
    if not models:
        return ()
    qualities = {model.slug: quality_for(model, needs) for model in models}
    best = max(1.0, *qualities.values())
    least = best * (_WORST_SHARE + _WORST_BY_WEIGHT * weights.quality)
    good = [model for model in models if qualities[model.slug] >= least]
    if len(good) < _PLENTY:  # a project that allows few models has chosen them itself
        good = list(models)
    if not prices or len(good) <= MOST_MODELS:
        return tuple(good)
    steps = {model.slug: log(prices.get(model.slug, _DEAR) + _CENT) for model in good}
    cheapest = min(steps.values())
    width = max(steps.values()) - cheapest or 1.0

    def prior(model: ModelInfo) -> tuple[float, str]:
        lacking, dear = 1 - qualities[model.slug] / best, (steps[model.slug] - cheapest) / width
        # Nobody has been asked yet; what costs less is mostly smaller, and so faster.
        return (weights.quality * lacking + (weights.cost + weights.latency / 2) * dear, model.slug)

    return tuple(sorted(good, key=prior)[:MOST_MODELS])


def quality_for(model: ModelInfo, needs: Needs) -> float:
    """The model's quality for this task, on the scale of the catalogue's index. Of two models that differ in nothing
    else the one with the higher index is never the worse."""
    index = _UNMEASURED if model.quality_index is None else model.quality_index
    if needs.task == "code":
        if _CODERS.search(model.slug):
            index = _CODER_UNMEASURED if model.quality_index is None else index + _CODER_BONUS
        if model.capabilities.get("reasoning") is True:
            index += _THINKER_BONUS
    enough = _ENOUGH.get(needs.task)
    if enough is not None and index > enough and needs.reasoning not in _HARD:
        index = enough + (index - enough) * _BEYOND
    return index * _attention(model, needs)


def _attention(model: ModelInfo, needs: Needs) -> float:
    """1 where the prompt leaves room in the context, less the closer it comes to filling it."""
    if not model.context_length:
        return 1.0
    filled = min(1.0, needs.prompt_tokens / model.context_length)
    return 1.0 - max(0.0, filled - _CROWDED) / (1.0 - _CROWDED) * _CROWDED_LOSS
