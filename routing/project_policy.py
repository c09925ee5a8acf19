"""From a project's rows to the policy that the gateway follows."""

from __future__ import annotations

from collections.abc import Iterable

from routing.models import ProjectRouting, RoutingRule
from routing.policy.project import ProjectPolicy
from routing.policy.rule_json import action_of, match_of
from routing.policy.rules import Rule
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import MaxPrice

CUSTOM = ProjectRouting.Preset.CUSTOM


def policy_of(row: ProjectRouting, rules: Iterable[RoutingRule]) -> ProjectPolicy:
    """The whole of it; rules in the order given, those that are switched off left out."""
    return ProjectPolicy(
        version=row.version,
        preset=row.preset,
        weights=weights_of(row),
        allowed_models=tuple(row.allowed_models),
        denied_models=tuple(row.denied_models),
        allowed_providers=tuple(row.allowed_providers),
        denied_providers=tuple(row.denied_providers),
        regions=tuple(row.regions),
        no_training=row.no_training,
        zero_retention=row.zero_retention,
        max_price=_cap(
            row.max_price_prompt_nanos,
            row.max_price_completion_nanos,
            row.max_price_request_nanos,
            row.max_price_image_nanos,
        ),
        same_family_fallback=row.same_family_fallback,
        larger_context_fallback=row.larger_context_fallback,
        cache_affinity=row.cache_affinity,
        exploration=row.exploration,
        hedge=row.hedge,
        stream_failure=row.stream_failure,
        aliases=dict(row.aliases),
        rules=tuple(_rule(rule) for rule in rules if rule.enabled),
    )


def weights_of(row: ProjectRouting) -> Weights:
    """A preset's own; the row's only where the preset is "custom"."""
    if row.preset in PRESETS:
        return PRESETS[row.preset]
    return Weights(row.latency_weight / 100, row.cost_weight / 100, row.quality_weight / 100)


def _cap(prompt: int | None, completion: int | None, request: int | None, image: int | None) -> MaxPrice | None:
    cap = MaxPrice(prompt, completion, request, image)
    return None if cap == MaxPrice() else cap


def _rule(row: RoutingRule) -> Rule:
    return Rule(row.pk, row.name, match_of(row.match), action_of(row.action))
