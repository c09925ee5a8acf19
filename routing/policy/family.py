"""Families of models: those of one maker whose names differ in nothing but versions, dates and sizes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from routing.policy.candidate import ModelInfo

MOST_RELATIVES = 3
# A version or a date (4.1, v4, 20250514), perhaps behind a letter (k2.6, m3), or a size (120b).
_NUMBER = re.compile(r"[a-z]?\d[\d.]*[a-z]?")
_TRAILING = re.compile(r"\d[\d.]*$")  # as in qwen3.8
_STATES = frozenset(("preview", "latest", "exp", "experimental", "beta", "instruct", "it"))


@lru_cache(maxsize=4096)
def family_of(slug: str) -> str:
    """The maker and what is left of the name, such as anthropic/claude-opus for anthropic/claude-opus-4.8."""
    author, slash, name = slug.lower().rpartition("/")
    first, *others = name.split(":")[0].split("-")
    kept = [_TRAILING.sub("", first) or first]
    kept += [word for word in others if word not in _STATES and not _NUMBER.fullmatch(word)]
    return f"{author}{slash}{'-'.join(kept)}"


def is_relative(name: str, slug: str) -> bool:
    """Whether a name, which may lack its maker, is of the same family as a public id."""
    family, other = family_of(name), family_of(slug)
    return family == other or ("/" not in family and other.endswith("/" + family))


def relatives(model: ModelInfo, models: Iterable[ModelInfo]) -> tuple[ModelInfo, ...]:
    """Active models of the same family, those nearest in quality first, then the newest; MOST_RELATIVES at most.

    None for embeddings: those of two models have nothing in common.
    """
    if "text" not in model.output_modalities:
        return ()
    family = family_of(model.slug)
    found = [
        other
        for other in models
        if other.slug != model.slug
        and other.status == "active"
        and other.output_modalities == model.output_modalities
        and family_of(other.slug) == family
    ]
    found.sort(key=lambda other: (_distance(model, other), -(other.released.toordinal() if other.released else 0)))
    return tuple(found[:MOST_RELATIVES])


def _distance(model: ModelInfo, other: ModelInfo) -> float:
    if model.quality_index is None or other.quality_index is None:
        return 100.0
    return abs(model.quality_index - other.quality_index)
