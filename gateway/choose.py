"""The requested model to deployments that may answer this caller on this endpoint."""

from __future__ import annotations

from dataclasses import replace

from accounts.model_limits import allows
from gateway.errors import BadRequest, NotAllowed, NotAvailable, NotFound
from gateway.exchange import Exchange
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.upstream.address import dialect_for
from routing import planner
from routing.catalogue import Catalogue

_EMBEDDINGS = "openai_embeddings"


def route(exchange: Exchange, catalogue: Catalogue) -> None:
    """Set the exchange's catalogue and plan. Raises NotFound, NotAllowed, BadRequest or NotAvailable."""
    assert exchange.conversation is not None and exchange.caller is not None
    exchange.catalogue = catalogue
    name = exchange.conversation.model
    model = catalogue.resolve(name)
    if model is not None and not allows(exchange.caller.allowed_models, model.slug):
        raise NotAllowed(
            f"This API key may not use {model.slug}. GET /v1/models lists the models that it may use.",
            code="model_not_allowed",
            param="model",
        )
    try:
        plan = planner.plan(catalogue, name, at=exchange.at, organization_id=exchange.caller.organization_id)
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
    spoken = frozenset(UPSTREAM_CODECS)
    steps = tuple(step for step in plan.steps if dialect_for(step.deployment, exchange.endpoint, spoken))
    if not steps:
        makes = plan.steps[0].deployment.dialect == _EMBEDDINGS
        where = "POST /v1/embeddings" if makes else "POST /v1/chat/completions, /v1/responses and /v1/messages"
        raise BadRequest(
            f"{plan.model.slug} can't be used on this endpoint. It answers {where}.",
            code="model_not_supported",
            param="model",
        )
    exchange.plan = replace(plan, steps=steps)
