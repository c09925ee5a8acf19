"""A project's routing settings as the gateway and the pages see them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple, Self

from routing.policy import reading
from routing.policy.reading import Json, Unreadable
from routing.policy.rule_json import rule_json, rules_of
from routing.policy.rules import Rule
from routing.policy.weights import BALANCED, PRESETS, Weights
from routing.policy.wishes import MaxPrice

_HEDGES = frozenset(("", "ours", "paid"))
_STREAM_FAILURES = frozenset(("error", "continue"))


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
        their defaults, an unknown preset, hedge or stream_failure falls back to the plain one. "" is the default
        policy. Raises Unreadable where a field is of another kind, so that no prohibition is overlooked."""
        if not text:
            return cls()
        try:
            source = reading.obj(json.loads(text), "the policy")
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, Unreadable) else Unreadable("the policy", "JSON") from None
        preset = reading.text(source, "preset", "", default="balanced")
        hedge = reading.text(source, "hedge", "")
        stream_failure = reading.text(source, "stream_failure", "", default="error")
        return cls(
            version=reading.integer(source, "version", "") or 0,
            preset=preset,
            weights=reading.weights(source, "weights", "") or PRESETS.get(preset, BALANCED),
            allowed_models=reading.names(source, "allowed_models", ""),
            denied_models=reading.names(source, "denied_models", ""),
            allowed_providers=reading.names(source, "allowed_providers", ""),
            denied_providers=reading.names(source, "denied_providers", ""),
            regions=reading.names(source, "regions", "", lower=False),
            no_training=reading.flag(source, "no_training", ""),
            zero_retention=reading.flag(source, "zero_retention", ""),
            max_price=reading.max_price(source, "max_price", ""),
            same_family_fallback=reading.flag(source, "same_family_fallback", ""),
            larger_context_fallback=reading.flag(source, "larger_context_fallback", "", default=True),
            cache_affinity=reading.flag(source, "cache_affinity", "", default=True),
            exploration=reading.flag(source, "exploration", "", default=True),
            hedge=hedge if hedge in _HEDGES else "",
            stream_failure=stream_failure if stream_failure in _STREAM_FAILURES else "error",
            aliases=_aliases(source),
            rules=rules_of(source),
        )

    def to_json(self) -> str:
        """Compact text: every field by its name, rules as objects of what they set."""
        told = self._asdict()
        told["aliases"] = dict(self.aliases)
        told["rules"] = [rule_json(rule) for rule in self.rules]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _aliases(source: Json) -> dict[str, str]:
    value = reading.obj(source.get("aliases") or {}, "aliases")
    for name in value:
        if len(name) > reading.LONGEST_NAME or not reading.text(value, name, "aliases."):
            raise Unreadable(f"aliases.{name[:60]}", "the name of a model")
    return {name.strip().lower(): target.strip() for name, target in value.items()}


DEFAULT = ProjectPolicy()
