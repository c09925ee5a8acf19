"""A project's routing settings as the gateway and the pages see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from routing.policy.rules import Action, Match, Rule
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

    @classmethod
    def of_json(cls, text: str) -> Self:
        """What `to_json` wrote, also by an older or newer version: unknown fields are left out, missing ones keep
        their defaults. "" is the default policy. Raises ValueError, TypeError or AttributeError on anything else."""
        if not text:
            return cls()
        told = {name: value for name, value in json.loads(text).items() if name in cls._fields}
        for name, value in told.items():
            if isinstance(value, list):
                told[name] = tuple(value)
        if "weights" in told:
            told["weights"] = Weights(*told["weights"])
        if told.get("max_price") is not None:
            told["max_price"] = MaxPrice(*told["max_price"])
        told["rules"] = tuple(_rule(one) for one in told.get("rules", ()))
        return cls(**told)

    def to_json(self) -> str:
        """Compact text: every field by its name, rules as objects."""
        told = self._asdict()
        told["aliases"] = dict(self.aliases)
        told["rules"] = [
            {"id": one.id, "name": one.name, "match": one.match._asdict(), "action": one.action._asdict()}
            for one in self.rules
        ]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _rule(told: Mapping[str, Any]) -> Rule:
    match = {name: _frozen(value) for name, value in told["match"].items() if name in Match._fields}
    action = {name: _frozen(value) for name, value in told["action"].items() if name in Action._fields}
    if action.get("weights") is not None:
        action["weights"] = Weights(*action["weights"])
    if action.get("max_price") is not None:
        action["max_price"] = MaxPrice(*action["max_price"])
    return Rule(int(told["id"]), str(told["name"]), Match(**match), Action(**action))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


DEFAULT = ProjectPolicy()
