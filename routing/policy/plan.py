"""Which deployments may answer, in which order, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from routing.policy.candidate import Catalogue, DeploymentInfo, ModelInfo, blended_price, card_in_force
from routing.policy.eligibility import unusable
from routing.policy.score import Scored


class RouteStep(NamedTuple):
    """A deployment to try; `reason` is one word for the log: only, priority, cheapest, score, wish, affinity, explored
    or next."""

    deployment: DeploymentInfo
    reason: str
    model: ModelInfo
    scored: Scored | None = None


class Refusal(NamedTuple):
    """Why a deployment was not considered: a word of `routing.policy.eligibility`, no_price or no_exchange_rate."""

    provider: str
    reason: str
    model: str = ""


class Told:
    """The trace of a decision, written when it is first needed: at the end of a request, and once for all alike."""

    __slots__ = ("_text", "_write")

    def __init__(self, write: Callable[[], bytes]) -> None:
        self._write: Callable[[], bytes] | None = write
        self._text = b""

    @property
    def text(self) -> bytes:
        if self._write is not None:
            self._text, self._write = self._write(), None
        return self._text


NOTHING_TOLD = Told(lambda: b"null")


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """Deployments in the order to try them, never empty. `model` is that of the first step; `told` what is kept of the
    decision."""

    model: ModelInfo
    steps: tuple[RouteStep, ...]
    refusals: tuple[Refusal, ...]
    told: Told = NOTHING_TOLD
    is_ordered: bool = False  # as the request asked, so nothing may change the order
    alike: int = 0  # so many of the first steps were chosen by one score
    models: tuple[ModelInfo, ...] = ()  # whoever may answer, each once

    @property
    def trace(self) -> bytes:
        """What is kept of the decision, as JSON."""
        return self.told.text


class UnknownModel(Exception):
    """No such name. `successor` is set when the name was withdrawn."""

    def __init__(self, name: str, successor: str | None) -> None:
        super().__init__(name)
        self.name = name
        self.successor = successor


class NoDeployment(Exception):
    """The models are known, and no deployment of them may be used now. `model` is the first; None: no model may be."""

    def __init__(self, models: Sequence[ModelInfo], refusals: tuple[Refusal, ...]) -> None:
        super().__init__(", ".join(model.slug for model in models[:8]))
        self.model = models[0] if models else None
        self.models = tuple(models)
        self.refusals = refusals


@dataclass(frozen=True, slots=True)
class _Ranked:
    deployment: DeploymentInfo
    price: Decimal

    @property
    def order(self) -> tuple[int, Decimal, int]:
        return (self.deployment.priority, self.price, self.deployment.id)


def plan(catalogue: Catalogue, name: str, *, at: datetime, organization_id: int | None = None) -> RoutePlan:
    """The deployments for a requested name by priority, then price as this organization pays it, then id.

    Raises UnknownModel for a name that is not served and NoDeployment when every deployment was refused.
    """
    model = catalogue.resolve(name)
    if model is None:
        raise UnknownModel(name, catalogue.successor_of(name))
    ranked: list[_Ranked] = []
    refusals: list[Refusal] = []
    for deployment in model.deployments:
        judged = _judge(catalogue, deployment, at, organization_id)
        if isinstance(judged, Refusal):
            refusals.append(judged)
        else:
            ranked.append(judged)
    if not ranked:
        raise NoDeployment([model], tuple(refusals))
    ranked.sort(key=lambda item: item.order)
    return RoutePlan(model, _steps(model, ranked), tuple(refusals), models=(model,))


def refusal_of(deployment: DeploymentInfo, at: datetime) -> str | None:
    """The reason that rules a deployment out whatever its price, or None."""
    return unusable(deployment, at) or None


def _judge(
    catalogue: Catalogue, deployment: DeploymentInfo, at: datetime, organization_id: int | None
) -> _Ranked | Refusal:
    reason = refusal_of(deployment, at)
    if reason is not None:
        return Refusal(deployment.provider, reason)
    card = card_in_force(deployment, at=at, holidays=catalogue.holidays)
    if card is None:
        return Refusal(deployment.provider, "no_price")
    try:
        units = catalogue.units_per_usd(deployment.currency, at)
    except LookupError:
        return Refusal(deployment.provider, "no_exchange_rate")
    return _Ranked(deployment, blended_price(card, units) * catalogue.markup(deployment, at, organization_id))


def _steps(model: ModelInfo, ranked: list[_Ranked]) -> tuple[RouteStep, ...]:
    return tuple(RouteStep(item.deployment, _reason(ranked, place), model) for place, item in enumerate(ranked))


def _reason(ranked: list[_Ranked], place: int) -> str:
    if place > 0:
        return "next"
    if len(ranked) == 1:
        return "only"
    return "priority" if ranked[0].deployment.priority < ranked[1].deployment.priority else "cheapest"
