"""The requested model to deployments that may answer this caller on this endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from accounts.caller import Caller
from accounts.model_limits import allows
from billing.pricing.markup import ORGANIZATION
from gateway.errors import BadRequest, NotAllowed, NotAvailable, NotFound
from gateway.exchange import Exchange
from gateway.price_book import PriceBook
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.upstream.address import dialect_for
from routing import planner
from routing.catalogue import Catalogue, CatalogueSnapshots

_EMBEDDINGS = "openai_embeddings"
_SPOKEN = frozenset(UPSTREAM_CODECS)
_KEPT_S = 1.0
_MOST_KEPT = 10_000
_Key = tuple[str, str, int]


class Choices:
    """Route plans over the process's snapshot of the catalogue, each kept for a second."""

    def __init__(self, snapshots: CatalogueSnapshots) -> None:
        self._snapshots = snapshots
        self._prices = PriceBook(snapshots.current)
        self._plans: dict[_Key, planner.RoutePlan] = {}
        self._kept_until = 0.0

    @property
    def prices(self) -> PriceBook:
        current = self._snapshots.current
        if self._prices.catalogue is not current:
            self._prices = PriceBook(current)
            self._plans.clear()
        return self._prices

    def route(self, exchange: Exchange) -> None:
        """Set the exchange's prices and plan. Raises NotFound, NotAllowed, BadRequest or NotAvailable."""
        caller = exchange.caller
        assert caller is not None
        exchange.prices = prices = self.prices
        catalogue = prices.catalogue
        now = exchange.at.timestamp()
        if now >= self._kept_until or len(self._plans) > _MOST_KEPT:
            self._plans.clear()
            self._kept_until = now + _KEPT_S
        # An organization's own markup may change which deployment is cheapest.
        own = caller.organization_id if (ORGANIZATION, caller.organization_id) in catalogue.markups.rules else 0
        key = (exchange.model_asked, exchange.endpoint, own)
        plan = self._plans.get(key)
        if plan is None:
            plan = _plan(catalogue, exchange.model_asked, exchange.endpoint, exchange.at, own or None, caller)
            self._plans[key] = plan
        _check_allowed(caller, plan.model.slug)
        exchange.plan = plan
        exchange.model = plan.model


def _check_allowed(caller: Caller, model: str) -> None:
    if not allows(caller.allowed_models, model):
        raise NotAllowed(
            f"This API key may not use {model}. GET /v1/models lists the models that it may use.",
            code="model_not_allowed",
            param="model",
        )


def _plan(
    catalogue: Catalogue, name: str, endpoint: str, at: datetime, organization_id: int | None, caller: Caller
) -> planner.RoutePlan:
    model = catalogue.resolve(name)
    if model is not None:
        _check_allowed(caller, model.slug)  # before anything is said about who could serve it
    try:
        plan = planner.plan(catalogue, name, at=at, organization_id=organization_id)
    except planner.UnknownModel as unknown:
        hint = f" It was withdrawn; its successor is {unknown.successor}." if unknown.successor else ""
        raise NotFound(
            f"The model '{name[:160]}' does not exist.{hint} GET /v1/models lists the models.", param="model"
        ) from None
    except planner.NoDeployment as none:
        reasons = "; ".join(f"{refusal.provider}: {refusal.reason}" for refusal in none.refusals[:8])
        raise NotAvailable(
            f"No provider can serve {none.model.slug} right now ({reasons or 'none is set up'}).", retry_after_s=30
        ) from None
    steps = tuple(step for step in plan.steps if dialect_for(step.deployment, endpoint, _SPOKEN))
    if not steps:
        makes = plan.steps[0].deployment.dialect == _EMBEDDINGS
        where = "POST /v1/embeddings" if makes else "POST /v1/chat/completions, /v1/responses and /v1/messages"
        raise BadRequest(
            f"{plan.model.slug} can't be used on this endpoint. It answers {where}.",
            code="model_not_supported",
            param="model",
        )
    return replace(plan, steps=steps)
