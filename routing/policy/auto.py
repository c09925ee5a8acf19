"""`auto`: which models may take part, and how good each is for the task at hand.

The catalogue has one quality index for each model, made from votes on general chat. What a task makes of it is a prior
of ours: small steps that change the order of near equals, and say where more quality is not worth its price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

from routing.policy.candidate import ModelInfo
from routing.policy.eligibility import unfit, unusable
from routing.policy.needs import Needs

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


def is_auto(name: str) -> bool:
    return name.strip().lower() in _NAMES


def models_for(
    models: Iterable[ModelInfo], allowed: Callable[[ModelInfo], bool], needs: Needs, at: datetime
) -> tuple[ModelInfo, ...]:
    """Those that may take part: active, answering in text, allowed, and served by a deployment that is in use and known
    to do what the request needs. Models of a sandbox only where there are no others."""
    real: list[ModelInfo] = []
    practice: list[ModelInfo] = []
    for model in models:
        if model.status != "active" or "text" not in model.output_modalities or not allowed(model):
            continue
        able = [
            one for one in model.deployments if not unusable(one, at) and not unfit(one, model, needs, sure=True)
        ]  # fmt: skip
        if able:
            (practice if all(one.is_sandbox for one in able) else real).append(model)
    return tuple(real or practice)


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
