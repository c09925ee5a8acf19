"""The four presets as the page offers them, with the proportions that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from routing.models import ProjectRouting
from routing.policy.weights import PRESETS
from routing.project_forms import percents

_WORDS = {
    "balanced": _("Speed, cost and quality count about the same."),
    "cheapest": _("The lowest expected charge of this very request."),
    "fastest": _("The shortest time until the answer is complete."),
    "best": _("The best model of those allowed; price matters little."),
}


@dataclass(frozen=True, slots=True)
class PresetCard:
    """`bars` are offset and width of each weight, in percent."""

    name: str
    label: Any
    words: Any
    weights: Mapping[str, int]
    bars: tuple[tuple[int, int], ...]


def preset_cards() -> list[PresetCard]:
    return [_card(name) for name in PRESETS]


def _card(name: str) -> PresetCard:
    weights = percents(name)
    bars, offset = [], 0
    for width in weights.values():
        bars.append((offset, width))
        offset += width
    return PresetCard(name, ProjectRouting.Preset(name).label, _WORDS.get(name, ""), weights, tuple(bars))
