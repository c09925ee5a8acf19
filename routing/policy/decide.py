"""A request to an ordered route plan: who may answer, who is best by the project's weights, and why.

Names become models, the deployments of each pass eligibility, and those left are ranked. The decision holds for all
requests that are alike; `adjusted` then puts another step first where this one request has a reason for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import orjson

from routing.policy import eligibility
from routing.policy.auto import quality_for
from routing.policy.candidate import Catalogue, DeploymentInfo, ModelInfo
from routing.policy.explore import explore
from routing.policy.family import is_relative
from routing.policy.needs import Needs
from routing.policy.plan import NoDeployment, Refusal, RoutePlan, RouteStep, Told, UnknownModel
from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.score import HEALTHY, Option, Scored, rank
from routing.policy.vitals import Vitals
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import NO_WISHES, MaxPrice, Wishes

MOST_STEPS = 12
_MOST_TOLD = 12  # candidates that a trace keeps: it has to stay small
_MOST_REFUSALS_TOLD = 30
_USUAL_OUTPUT = {"code": 700.0, "long": 900.0, "data": 250.0}
_OTHER_OUTPUT = 400.0


class Prices(Protocol):
    """What a deployment costs this caller now, in nano-USD."""

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        """Raises LookupError("no_price") or LookupError("no_exchange_rate")."""

    def per_million(self, deployment: DeploymentInfo, prompt_tokens: int) -> MaxPrice:
        """By the card for a prompt of this size. Raises LookupError likewise."""


class Group(NamedTuple):
    """Models that compete by the same score. With `auto` nobody named them, so what nobody knows of them counts against
    them."""

    models: tuple[ModelInfo, ...]
    auto: bool = False


class Asking(NamedTuple):
    """What is decided about. `groups` in the order to try them, never empty. `speaks` says whether a deployment can be
    called for this endpoint at all."""

    groups: tuple[Group, ...]
    needs: Needs
    at: datetime
    prices: Prices
    vitals: Callable[[int], Vitals]
    speaks: Callable[[DeploymentInfo], bool]
    wishes: Wishes = NO_WISHES
    policy: ProjectPolicy = DEFAULT
    key_models: tuple[str, ...] = ()
    rule_id: int | None = None
    weights: Weights | None = None


class _Candidate(NamedTuple):
    model: ModelInfo
    deployment: DeploymentInfo
    option: Option


def decide(asking: Asking) -> RoutePlan:
    """The plan. Raises NoDeployment, with all refusals, where nobody is left."""
    refusals: list[Refusal] = []
    ranked: list[Scored] = []
    candidates: dict[int, _Candidate] = {}
    alike = 0
    for group in asking.groups:
        found = [one for model in group.models for one in _candidates(model, group.auto, asking, refusals)]
        candidates.update((one.deployment.id, one) for one in found)
        ranked += _ranked(found, asking)
        alike = alike or len(ranked)
    if not ranked:
        raise NoDeployment([model for group in asking.groups for model in group.models], tuple(refusals))
    first = ranked[0]
    steps = tuple(
        RouteStep(
            deployment=candidates[one.option.id].deployment,
            reason=_reason(one, first, ranked, asking.wishes),
            model=candidates[one.option.id].model,
            scored=one,
        )
        for one in ranked[:MOST_STEPS]
    )
    return RoutePlan(
        model=steps[0].model,
        steps=steps,
        refusals=tuple(refusals),
        told=Told(lambda: _trace(asking, ranked, candidates, refusals)),
        is_ordered=bool(asking.wishes.order or asking.wishes.sort),
        alike=min(alike, MOST_STEPS),
        models=tuple({step.model.slug: step.model for step in steps}.values()),
    )


def adjusted(plan: RoutePlan, *, warm: int | None, chance: float, explores: bool) -> RoutePlan:
    """The same plan for one request: first where its prompt cache is warm, or for a few requests another for a look.

    `warm` is a deployment's id. Neither happens where the request asked for an order of its own.
    """
    if len(plan.steps) < 2 or plan.is_ordered:
        return plan
    if warm is not None:
        for place, step in enumerate(plan.steps):
            scored = step.scored
            if step.deployment.id == warm and scored is not None and scored.tier == HEALTHY:
                return plan if place == 0 else _first(plan, place, "affinity")
    if explores:
        alike = [step.scored for step in plan.steps[: plan.alike] if step.scored is not None]
        place = explore(alike, chance)
        if place:
            return _first(plan, place, "explored")
    return plan


def _first(plan: RoutePlan, place: int, reason: str) -> RoutePlan:
    chosen = plan.steps[place]._replace(reason=reason)
    rest = tuple(
        step._replace(reason="next") if step.reason != "next" else step
        for number, step in enumerate(plan.steps)
        if number != place
    )
    return replace(plan, model=chosen.model, steps=(chosen, *rest))


def _candidates(model: ModelInfo, auto: bool, asking: Asking, refusals: list[Refusal]) -> list[_Candidate]:
    found = []
    allowed = eligibility.may_use(model, asking.key_models, asking.policy)
    choosy = eligibility.is_choosy(asking.wishes, asking.policy)
    output = _expected_output(model, asking.needs)
    for deployment in model.deployments:
        judged = _judge(model, deployment, auto, asking, output, choosy) if allowed else "model_not_allowed"
        if isinstance(judged, str):
            refusals.append(Refusal(deployment.provider, judged, model.slug))
        else:
            found.append(_Candidate(model, deployment, judged))
    return found


def _judge(
    model: ModelInfo, deployment: DeploymentInfo, auto: bool, asking: Asking, output: float, choosy: bool
) -> Option | str:
    """What it would be worth, or the reason that rules it out."""
    wishes, policy, needs = asking.wishes, asking.policy, asking.needs
    reason = (
        eligibility.unusable(deployment, asking.at)
        or ("" if asking.speaks(deployment) else "endpoint")
        or eligibility.unfit(deployment, model, needs, sure=auto)
        or (eligibility.unwanted(deployment, model, wishes, policy, needs) if choosy else "")
    )
    if reason:
        return reason
    try:
        cost = asking.prices.expected_nanos(deployment, needs.prompt_tokens, round(output))
        if (wishes.max_price is not None or policy.max_price is not None) and eligibility.too_dear(
            asking.prices.per_million(deployment, needs.prompt_tokens), wishes.max_price, policy.max_price
        ):
            return "price_cap"
    except LookupError as unknown:
        return str(unknown.args[0]) if unknown.args else "no_price"
    vitals = asking.vitals(deployment.id)
    slow = wishes.preferred_max_latency_s is not None and vitals.first_token_s > wishes.preferred_max_latency_s
    few = wishes.preferred_min_throughput is not None and vitals.tokens_per_s < wishes.preferred_min_throughput
    return Option(
        id=deployment.id,
        cost_nanos=cost,
        quality=quality_for(model, needs) if auto else model.quality_index,
        vitals=vitals,
        output_tokens=output,
        priority=deployment.priority,
        unwished=slow or few or vitals.breaker == "open",
    )


def _expected_output(model: ModelInfo, needs: Needs) -> float:
    usual = _USUAL_OUTPUT.get(needs.task, _OTHER_OUTPUT)
    if needs.reasoning not in ("", "none", "minimal") or (not needs.reasoning and model.capabilities.get("reasoning")):
        usual *= 2
    return min(usual, needs.max_output_tokens) if needs.max_output_tokens else usual


def _ranked(candidates: Sequence[_Candidate], asking: Asking) -> list[Scored]:
    wishes = asking.wishes
    ranked = rank([one.option for one in candidates], weights_of(asking), sort=wishes.sort)
    if not wishes.allow_fallbacks and not wishes.order:
        return ranked[:1]
    if wishes.order:
        providers = {one.option.id: one.deployment.provider.lower() for one in candidates}
        place = {provider: number for number, provider in enumerate(wishes.order)}
        ranked.sort(key=lambda one: place.get(providers[one.option.id], len(place)))
    return ranked


def weights_of(asking: Asking) -> Weights:
    """A rule's, else those of the preset that the request names, else the project's."""
    if asking.weights is not None:
        return asking.weights
    return PRESETS.get(asking.wishes.preset, asking.policy.weights)


def _reason(one: Scored, first: Scored, ranked: Sequence[Scored], wishes: Wishes) -> str:
    if one is not first:
        return "next"
    if len(ranked) == 1:
        return "only"
    if wishes.order or wishes.sort:
        return "wish"
    return "priority" if first.option.priority < ranked[1].option.priority else "score"


def _trace(
    asking: Asking, ranked: Sequence[Scored], candidates: dict[int, _Candidate], refusals: Sequence[Refusal]
) -> bytes:
    """What is kept: names, numbers and words of ours, nothing of the request's text."""
    told: dict[str, Any] = {
        "policy": asking.policy.version,
        "weights": [round(share, 4) for share in weights_of(asking).shares()],
        "prompt_tokens": asking.needs.prompt_tokens,
        "candidates": [_told(one, candidates[one.option.id]) for one in ranked[:_MOST_TOLD]],
    }
    if asking.wishes.preset or asking.policy.preset:
        told["preset"] = asking.wishes.preset or asking.policy.preset
    if asking.rule_id is not None:
        told["rule"] = asking.rule_id
    if asking.wishes.sort:
        told["sort"] = asking.wishes.sort
    if asking.wishes.order:
        told["ordered"] = True
    if asking.groups[0].auto:  # those behind it only stand in for what was asked for
        told["auto"] = True
    if refusals:
        told["refused"] = [[one.provider, one.model, one.reason] for one in refusals[:_MOST_REFUSALS_TOLD]]
    return orjson.dumps(told)


def _told(one: Scored, candidate: _Candidate) -> dict[str, Any]:
    vitals = one.option.vitals
    return {
        "id": one.option.id,
        "provider": candidate.deployment.provider,
        "model": candidate.model.slug,
        "loss": round(one.loss, 4),
        "latency": round(one.latency, 4),
        "cost": round(one.cost, 4),
        "quality": round(one.quality, 4),
        "tier": one.tier,
        "cost_nanos": one.option.cost_nanos,
        "seconds": round(one.seconds, 3),
        "first_token_s": round(vitals.first_token_s, 3),
        "tokens_per_s": round(vitals.tokens_per_s, 1),
        "error_rate": round(vitals.error_rate, 4),
        "samples": round(vitals.samples, 1),
        "timed": round(vitals.timed, 1),
    }


def resolve(catalogue: Catalogue, name: str, *, same_family: bool = False) -> ModelInfo:
    """The model of a public id or alias. Raises UnknownModel, which names the successor of a withdrawn one."""
    model = catalogue.resolve(name)
    if model is None and same_family:
        successor = catalogue.successor_of(name)
        model = catalogue.resolve(successor) if successor and is_relative(name, successor) else None
    if model is None:
        raise UnknownModel(name, catalogue.successor_of(name))
    return model
