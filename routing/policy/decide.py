"""A request to an ordered route plan: who may answer, who is best by the project's weights, and why.

Names become models, the deployments of each pass eligibility, and those left are ranked. The decision holds for all
requests that are alike; `adjusted` then puts another step first where this one request has a reason for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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
from routing.policy.score import HEALTHY, USUAL_PRIORITY, Option, Scored, rank
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
    set_by: str = ""  # who says what matters: request, rule, alias, project or default; only for the trace
    standing: Callable[[ModelInfo], eligibility.Standing] | None = None  # `eligibility.standing` where it is known


_Whose = dict[int, tuple[DeploymentInfo, ModelInfo]]  # by the deployment's id


def decide(asking: Asking) -> RoutePlan:
    """The plan. Raises NoDeployment, with all refusals, where nobody is left."""
    refusals: list[Refusal] = []
    ranked: list[Scored] = []
    whose: _Whose = {}
    alike = 0
    for group in asking.groups:
        found: list[Option] = []
        for model in group.models:
            found += _options(model, group.auto, asking, refusals, whose)
        ranked += _ranked(found, asking, whose)
        alike = alike or len(ranked)
    if not ranked:
        raise NoDeployment([model for group in asking.groups for model in group.models], tuple(refusals))
    steps = []
    reason = _reason(ranked, asking.wishes)
    for one in ranked[:MOST_STEPS]:
        deployment, model = whose[one.option.id]
        steps.append(RouteStep(deployment, reason, model, one))
        reason = "next"
    return RoutePlan(
        model=steps[0].model,
        steps=tuple(steps),
        refusals=tuple(refusals),
        told=Told(lambda: _trace(asking, ranked, whose, refusals)),
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


def _options(model: ModelInfo, auto: bool, asking: Asking, refusals: list[Refusal], whose: _Whose) -> list[Option]:
    """Those that may answer; `whose` and `refusals` are added to."""
    wishes, needs, prices = asking.wishes, asking.needs, asking.prices
    is_capped = wishes.max_price is not None or asking.policy.max_price is not None
    is_hasty = wishes.preferred_max_latency_s is not None or wishes.preferred_min_throughput is not None
    output = _expected_output(model, needs)
    quality = quality_for(model, needs) if auto else model.quality_index
    prompt, tokens, vitals_of = needs.prompt_tokens, round(output), asking.vitals
    found = []
    for deployment, ruled_out in _judged(model, auto, asking):
        reason = ruled_out
        if not reason:
            try:
                cost = prices.expected_nanos(deployment, prompt, tokens)
                if is_capped and _is_too_dear(deployment, asking):
                    reason = "price_cap"
            except LookupError as unknown:
                reason = str(unknown.args[0]) if unknown.args else "no_price"
        if reason:
            refusals.append(Refusal(deployment.provider, reason, model.slug))
            continue
        id = deployment.id
        vitals = vitals_of(id)
        unwished = vitals.breaker == "open" or (is_hasty and _is_slow(vitals, wishes))
        whose[id] = (deployment, model)
        found.append(Option(id, cost, quality, vitals, output, deployment.priority, unwished))
    return found


def _judged(model: ModelInfo, auto: bool, asking: Asking) -> Iterator[tuple[DeploymentInfo, str]]:
    """Its deployments, each with the reason that rules it out whatever it costs, "" for none."""
    wishes, policy, needs = asking.wishes, asking.policy, asking.needs
    if not eligibility.may_use(model, asking.key_models, policy):
        yield from ((deployment, "model_not_allowed") for deployment in model.deployments)
        return
    known, choosy = asking.standing, eligibility.is_choosy(wishes, policy)
    unfit: dict[tuple[int | None, int | None], str] = {}
    for deployment, ruled_out in (
        known(model) if known is not None else eligibility.standing(model, asking.at, asking.speaks)
    ):
        reason = ruled_out
        if not reason:
            size = (deployment.context_length, deployment.max_output_tokens)  # all that tells them apart here
            if size not in unfit:
                unfit[size] = eligibility.unfit(deployment, model, needs, sure=auto)
            reason = unfit[size]
        if choosy and not reason:
            reason = eligibility.unwanted(deployment, model, wishes, policy, needs)
        yield deployment, reason


def _is_too_dear(deployment: DeploymentInfo, asking: Asking) -> bool:
    price = asking.prices.per_million(deployment, asking.needs.prompt_tokens)
    return eligibility.too_dear(price, asking.wishes.max_price, asking.policy.max_price)


def _is_slow(vitals: Vitals, wishes: Wishes) -> bool:
    latest_s, fewest = wishes.preferred_max_latency_s, wishes.preferred_min_throughput
    return (latest_s is not None and vitals.first_token_s > latest_s) or (
        fewest is not None and vitals.tokens_per_s < fewest
    )


def _expected_output(model: ModelInfo, needs: Needs) -> float:
    usual = _USUAL_OUTPUT.get(needs.task, _OTHER_OUTPUT)
    if needs.reasoning not in ("", "none", "minimal") or (not needs.reasoning and model.capabilities.get("reasoning")):
        usual *= 2
    return min(usual, needs.max_output_tokens) if needs.max_output_tokens else usual


def _ranked(options: Sequence[Option], asking: Asking, whose: _Whose) -> list[Scored]:
    wishes = asking.wishes
    ranked = rank(options, weights_of(asking), sort=wishes.sort)
    if not wishes.allow_fallbacks and not wishes.order:
        return ranked[:1]
    if wishes.order:
        place = {provider: number for number, provider in enumerate(wishes.order)}
        ranked.sort(key=lambda one: place.get(whose[one.option.id][0].provider.lower(), len(place)))
    return ranked


def weights_of(asking: Asking) -> Weights:
    """A rule's, else those of the preset that the request names, else the project's."""
    if asking.weights is not None:
        return asking.weights
    return PRESETS.get(asking.wishes.preset, asking.policy.weights)


def _reason(ranked: Sequence[Scored], wishes: Wishes) -> str:
    """Why the first one is first."""
    if len(ranked) == 1:
        return "only"
    if wishes.order or wishes.sort:
        return "wish"
    return "priority" if ranked[0].option.priority < ranked[1].option.priority else "score"


def _trace(asking: Asking, ranked: Sequence[Scored], whose: _Whose, refusals: Sequence[Refusal]) -> bytes:
    """What is kept: names, numbers and words of ours, nothing of the request's text."""
    told: dict[str, Any] = {
        "policy": asking.policy.version,
        "weights": [round(share, 4) for share in weights_of(asking).shares()],
        "prompt_tokens": asking.needs.prompt_tokens,
        "candidates": [_told(one, *whose[one.option.id]) for one in ranked[:_MOST_TOLD]],
    }
    if asking.set_by:
        told["set_by"] = asking.set_by
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


def _told(one: Scored, deployment: DeploymentInfo, model: ModelInfo) -> dict[str, Any]:
    vitals = one.option.vitals
    told = {
        "id": one.option.id,
        "provider": deployment.provider,
        "model": model.slug,
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
    if one.option.priority != USUAL_PRIORITY:
        told["priority"] = one.option.priority
    return told


def resolve(catalogue: Catalogue, name: str, *, same_family: bool = False) -> ModelInfo:
    """The model of a public id or alias. Raises UnknownModel, which names the successor of a withdrawn one."""
    model = catalogue.resolve(name)
    if model is None and same_family:
        successor = catalogue.successor_of(name)
        model = catalogue.resolve(successor) if successor and is_relative(name, successor) else None
    if model is None:
        raise UnknownModel(name, catalogue.successor_of(name))
    return model
