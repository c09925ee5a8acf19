"""The requested model to deployments that may answer this caller on this endpoint, best first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from accounts.caller import Caller
from accounts.model_limits import allows
from billing.pricing.markup import ORGANIZATION
from billing.pricing.usage import TokenUsage
from gateway.affinity import LEAST_PROMPT_TOKENS, Affinity
from gateway.errors import BadRequest, NotAllowed, NotAvailable, NotFound
from gateway.exchange import Exchange
from gateway.health import Health
from gateway.needs import needs_of
from gateway.price_book import PriceBook
from gateway.protocol.conversation import NOTHING
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.upstream.address import dialect_for
from routing import planner
from routing.catalogue import Catalogue, CatalogueSnapshots, DeploymentInfo, ModelInfo
from routing.policy.eligibility import WISHED
from routing.policy.needs import Needs
from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.wishes import NO_WISHES, MaxPrice, Wishes

_EMBEDDINGS = "openai_embeddings"
_SPOKEN = frozenset(UPSTREAM_CODECS)
_KEPT_S = 0.5
_MOST_KEPT = 5_000
_MOST_POLICIES = 10_000
_SIGNIFICANT_BITS = 4
_MILLION = 1_000_000
_PROMPT_MARGIN = 1.25  # what the upper estimate has over the likely one
_Key = tuple[str, int, int, Wishes, Needs, int, tuple[str, ...]]


class Choices:
    """Route plans over the process's snapshot of the catalogue and its live health, each kept for half a second."""

    def __init__(self, snapshots: CatalogueSnapshots, health: Health, affinity: Affinity) -> None:
        self._snapshots = snapshots
        self._health = health
        self._affinity = affinity
        self._prices = PriceBook(snapshots.current)
        self._plans: dict[_Key, planner.RoutePlan] = {}
        self._policies: dict[str, ProjectPolicy] = {"": DEFAULT}
        self._kept_until = 0.0

    @property
    def prices(self) -> PriceBook:
        current = self._snapshots.current
        if self._prices.catalogue is not current:
            self._prices = PriceBook(current)
            self._plans.clear()
        return self._prices

    def route(self, exchange: Exchange) -> None:
        """Set the exchange's prices, plan and model. Raises NotFound, NotAllowed, BadRequest or NotAvailable."""
        caller = exchange.caller
        assert caller is not None
        exchange.prices = prices = self.prices
        exchange.policy = policy = self._policy(caller)
        now = exchange.at.timestamp()
        if now >= self._kept_until or len(self._plans) > _MOST_KEPT:
            self._plans.clear()
            self._kept_until = now + _KEPT_S
        wishes = NO_WISHES
        needs = _alike(needs_of(exchange))
        # An organization's own markup may change which deployment is cheapest.
        markups = prices.catalogue.markups.rules
        own = caller.organization_id if (ORGANIZATION, caller.organization_id) in markups else 0
        whose = 0 if policy is DEFAULT else caller.project_id
        key = (exchange.model_asked, whose, policy.version, wishes, needs, own, caller.allowed_models)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._decide(exchange, caller, policy, wishes, needs, own)
        if len(plan.steps) > 1:
            plan = self._adjusted(exchange, caller, policy, wishes, plan)
        exchange.plan = plan
        exchange.model = plan.model

    def answered(self, exchange: Exchange) -> None:
        """Remember where this conversation's prompt cache is warm now."""
        if exchange.affinity_key and exchange.deployment is not None:
            self._affinity.answered(exchange.affinity_key, exchange.deployment.id)

    def _policy(self, caller: Caller) -> ProjectPolicy:
        text = caller.routing
        policy = self._policies.get(text)
        if policy is None:
            if len(self._policies) > _MOST_POLICIES:
                self._policies = {"": DEFAULT}
            policy = self._policies[text] = ProjectPolicy.of_json(text)
        return policy

    def _adjusted(
        self, exchange: Exchange, caller: Caller, policy: ProjectPolicy, wishes: Wishes, plan: planner.RoutePlan
    ) -> planner.RoutePlan:
        warm = None
        if policy.cache_affinity and (wishes.session or exchange.prompt_tokens >= LEAST_PROMPT_TOKENS):
            source: Mapping[str, Any] = NOTHING
            if exchange.asked is not None:
                source = exchange.asked.source
            elif exchange.conversation is not None:
                source = exchange.conversation.source
            exchange.affinity_key = self._affinity.key(caller.project_id, source, wishes.session)
            warm = self._affinity.place(exchange.affinity_key)
        return planner.adjusted(plan, warm=warm, chance=exchange.chance, explores=policy.exploration)

    def _decide(
        self, exchange: Exchange, caller: Caller, policy: ProjectPolicy, wishes: Wishes, needs: Needs, own: int
    ) -> planner.RoutePlan:
        catalogue, at = self.prices.catalogue, exchange.at
        models = (_model(catalogue, exchange.model_asked, policy),)
        _check_allowed(caller, models[0].slug)  # before anything is said about who could serve it
        asking = planner.Asking(
            groups=tuple(planner.Group((model,)) for model in models),
            needs=needs,
            at=at,
            prices=CallerPrices(self.prices, at, own or None),
            vitals=self._health.vitals,
            speaks=lambda deployment: dialect_for(deployment, exchange.endpoint, _SPOKEN) is not None,
            wishes=wishes,
            policy=policy,
            key_models=caller.allowed_models,
        )
        try:
            return planner.decide(asking)
        except planner.NoDeployment as none:
            raise _nobody(none) from None


class CallerPrices:
    """What deployments cost one caller at one moment, in nano-USD."""

    def __init__(self, book: PriceBook, at: datetime, organization_id: int | None) -> None:
        self._book = book
        self._at = at
        self._organization_id = organization_id

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        return self._nanos(deployment, TokenUsage(input=prompt_tokens, output=output_tokens))

    def per_million(self, deployment: DeploymentInfo) -> MaxPrice:
        return MaxPrice(
            prompt=self._nanos(deployment, TokenUsage(input=_MILLION, request=0), prompt_size=0),
            completion=self._nanos(deployment, TokenUsage(output=_MILLION, request=0), prompt_size=0),
            request=self._nanos(deployment, TokenUsage(request=1), prompt_size=0),
            image=0,
        )

    def _nanos(self, deployment: DeploymentInfo, usage: TokenUsage, prompt_size: int | None = None) -> int:
        catalogue = self._book.catalogue
        priced = self._book.card(
            deployment,
            tier="standard",
            prompt_size=usage.prompt_size if prompt_size is None else prompt_size,
            markup=catalogue.markup(deployment, self._at, self._organization_id),
            now=self._at,
        )
        if priced is None:
            try:
                catalogue.units_per_usd(deployment.currency, self._at)
            except LookupError:
                raise LookupError("no_exchange_rate") from None
            raise LookupError("no_price")
        return priced.nanos(usage)


def _alike(needs: Needs) -> Needs:
    """The needs of all requests that are decided alike: sizes rounded down to four significant bits, so that a prompt
    is never taken for longer than it is."""
    likely = int(needs.prompt_tokens / _PROMPT_MARGIN)
    most = needs.max_output_tokens
    return needs._replace(prompt_tokens=_rounded(likely), max_output_tokens=None if most is None else _rounded(most))


def _rounded(number: int) -> int:
    dropped = number.bit_length() - _SIGNIFICANT_BITS
    return number if dropped <= 0 else number >> dropped << dropped


def _model(catalogue: Catalogue, name: str, policy: ProjectPolicy) -> ModelInfo:
    try:
        return planner.resolve(
            catalogue, policy.aliases.get(name.strip().lower(), name), same_family=policy.same_family_fallback
        )
    except planner.UnknownModel as unknown:
        hint = f" It was withdrawn; its successor is {unknown.successor}." if unknown.successor else ""
        raise NotFound(
            f"The model '{name[:160]}' does not exist.{hint} GET /v1/models lists the models.", param="model"
        ) from None


def _check_allowed(caller: Caller, model: str) -> None:
    if not allows(caller.allowed_models, model):
        raise NotAllowed(
            f"This API key may not use {model}. GET /v1/models lists the models that it may use.",
            code="model_not_allowed",
            param="model",
        )


def _nobody(none: planner.NoDeployment) -> Exception:
    """Why nobody is left: the caller's own wish, what the model can't do, or trouble of ours."""
    refusals = none.refusals
    model = none.model
    assert model is not None
    reasons = {refusal.reason for refusal in refusals}
    told = "; ".join(f"{refusal.provider}: {refusal.reason}" for refusal in refusals[:8])
    usable = reasons - _OURS
    if usable == {"endpoint"}:
        makes = any(deployment.dialect == _EMBEDDINGS for deployment in model.deployments)
        where = "POST /v1/embeddings" if makes else "POST /v1/chat/completions, /v1/responses and /v1/messages"
        return BadRequest(
            f"{model.slug} can't be used on this endpoint. It answers {where}.",
            code="model_not_supported",
            param="model",
        )
    if not usable:
        return NotAvailable(
            f"No provider can serve {model.slug} right now ({told or 'none is set up'}).", retry_after_s=30
        )
    if usable == {"context_length"}:
        return BadRequest(
            f"The prompt is too long for {model.slug} ({told}).", code="context_length_exceeded", param="messages"
        )
    if usable & WISHED:
        return NotFound(
            f"No provider of {model.slug} is left by your routing settings ({told}).",
            code="no_provider_allowed",
            param="provider",
        )
    return BadRequest(
        f"No provider of {model.slug} can do what this request needs ({told}).",
        code="model_not_supported",
        param="model",
    )


# What is nobody's wish and may be otherwise in a while.
_OURS = frozenset(
    {"provider_disabled", "deployment_disabled", "draining", "retired", "no_address", "no_credential", "no_price",
     "no_exchange_rate"}
)  # fmt: skip
