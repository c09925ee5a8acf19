"""The order in which a project's settings put the deployments of a model now, and why others are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from accounts.models import Project
from routing.live_health import read_vitals
from routing.models import ProjectRouting
from routing.page_catalogue import catalogue_for_pages
from routing.page_prices import PagePrices
from routing.planner import Asking, Group, NoDeployment, Refusal, RouteStep, decide
from routing.policy.auto import AUTO, models_for, rough_prices
from routing.policy.candidate import Catalogue, DeploymentInfo, ModelInfo
from routing.policy.eligibility import may_use
from routing.policy.needs import Needs
from routing.policy.project import ProjectPolicy
from routing.policy.vitals import UNKNOWN, Vitals
from routing.policy.weights import Weights
from routing.preview_form import Chosen
from routing.project_policy import policy_of

_EMBEDDINGS = "openai_embeddings"


@dataclass(frozen=True, slots=True)
class Ranked:
    """`bars` are offset and width, in percent, of what each criterion adds to the loss; `loss` is of 100."""

    provider: str
    model: str
    region: str
    vitals: Vitals
    cost_nanos: int
    quality: float | None
    bars: tuple[tuple[float, float], ...]
    loss: int
    tier: int

    @property
    def known(self) -> bool:
        """Whether anything was measured lately."""
        return self.samples > 0

    @property
    def samples(self) -> int:
        return round(max(self.vitals.samples, self.vitals.seen))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """`reason` is a word of `routing.policy.eligibility`."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class Preview:
    """`has_news`: whether the gateway has written any health down."""

    chosen: Chosen
    ranked: tuple[Ranked, ...]
    left_out: tuple[LeftOut, ...]
    has_news: bool

    @property
    def many_models(self) -> bool:
        return self.chosen.model == AUTO


def preview(project: Project, drafted: ProjectRouting, chosen: Chosen) -> Preview:
    """For the drafted settings without the project's rules: those look at more than a model and a size."""
    at, catalogue, vitals = timezone.now(), catalogue_for_pages(), read_vitals()
    policy = policy_of(drafted, ())
    needs = Needs("openai_chat", prompt_tokens=chosen.prompt_tokens, task=chosen.task)
    models = _models(catalogue, chosen, policy, needs, at)
    if not models:
        return Preview(chosen, (), (), bool(vitals))
    embeds = all("embedding" in model.output_modalities for model in models)
    asking = Asking(
        groups=(Group(models, auto=chosen.model == AUTO),),
        needs=needs._replace(endpoint=_EMBEDDINGS) if embeds else needs,
        at=at,
        prices=PagePrices(catalogue, at, project.organization_id),
        vitals=lambda deployment_id: vitals.get(deployment_id, UNKNOWN),
        speaks=lambda deployment: (deployment.dialect == _EMBEDDINGS) == embeds,
        policy=policy,
    )
    names = {one.provider: one.provider_name for model in models for one in model.deployments}
    try:
        plan = decide(asking)
    except NoDeployment as nobody:
        return Preview(chosen, (), _left_out(nobody.refusals, names), bool(vitals))
    shares = policy.weights.shares()
    rows = tuple(_row(step, step.deployment, shares) for step in plan.steps)
    return Preview(chosen, rows, _left_out(plan.refusals, names), bool(vitals))


def _models(
    catalogue: Catalogue, chosen: Chosen, policy: ProjectPolicy, needs: Needs, at: datetime
) -> tuple[ModelInfo, ...]:
    if chosen.model == AUTO:
        return models_for(
            catalogue.models.values(),
            lambda model: may_use(model, (), policy),
            needs,
            at,
            weights=policy.weights,
            prices=rough_prices(catalogue, at),
        )
    model = catalogue.resolve(policy.aliases.get(chosen.model, chosen.model))
    return () if model is None else (model,)


def _left_out(refusals: tuple[Refusal, ...], names: Mapping[str, str]) -> tuple[LeftOut, ...]:
    return tuple(LeftOut(names.get(one.provider, one.provider), one.model, one.reason) for one in refusals)


def _row(step: RouteStep, deployment: DeploymentInfo, shares: Weights) -> Ranked:
    one = step.scored
    assert one is not None  # every step of a decision was scored
    parts = (one.latency * shares.latency, one.cost * shares.cost, one.quality * shares.quality)
    bars, offset = [], 0.0
    for part in parts:
        bars.append((round(offset, 1), round(part * 100, 1)))
        offset += part * 100
    vitals = one.option.vitals
    return Ranked(
        provider=deployment.provider_name,
        model=step.model.slug,
        region=deployment.region,
        vitals=vitals,
        cost_nanos=round(one.option.cost_nanos, -3),  # micro-dollars: it is an estimate
        quality=step.model.quality_index,
        bars=tuple(bars),
        loss=round(one.loss * 100),
        tier=2 if vitals.breaker == "open" else one.tier,
    )
