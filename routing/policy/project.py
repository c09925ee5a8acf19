"""A project's routing settings as the gateway and the pages see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from routing.policy.rules import Rule
from routing.policy.weights import BALANCED, Weights
from routing.policy.wishes import MaxPrice


class ProjectPolicy(NamedTuple):
    """`version` rises with every change and is stored with each decision. Lists of names are patterns with `*`, lower
    case, none: all. `aliases` are the project's own names for models. `hedge`: "", ours or paid (who pays for the extra
    attempt). `stream_failure`: error or continue."""

    version: int = 0
    preset: str = "balanced"
    weights: Weights = BALANCED
    allowed_models: tuple[str, ...] = ()
    denied_models: tuple[str, ...] = ()
    allowed_providers: tuple[str, ...] = ()
    denied_providers: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    no_training: bool = False
    zero_retention: bool = False
    max_price: MaxPrice | None = None
    same_family_fallback: bool = False
    larger_context_fallback: bool = True
    cache_affinity: bool = True
    exploration: bool = True
    hedge: str = ""
    stream_failure: str = "error"
    aliases: Mapping[str, str] = {}
    rules: tuple[Rule, ...] = ()


DEFAULT = ProjectPolicy()
