"""The requested model to deployments that may answer this caller on this endpoint, best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from accounts.caller import Caller
from accounts.model_limits import allows
from billing.pricing.markup import ORGANIZATION
from billing.pricing.rates import InvalidRateCard
from gateway.affinity import LEAST_PROMPT_TOKENS, Affinity
from gateway.errors import BadRequest, GatewayError, NotAllowed, NotAvailable, NotFound
from gateway.exchange import Exchange
from gateway.health import Health
from gateway.model_names import named
from gateway.needs import alike, alike_needs_of, needs_of
from gateway.price_book import PriceBook, Priced
from gateway.protocol.conversation import NOTHING
from gateway.protocol.dialects import UPSTREAM_CODECS
from gateway.upstream.address import dialect_for
from gateway.wishes import wishes_of
from routing import planner
from routing.catalogue import Catalogue, CatalogueSnapshots, DeploymentInfo, ModelInfo
from routing.policy.auto import is_auto, models_for, preset_of, rough_prices
from routing.policy.eligibility import OURS, WISHED, Standing, may_use, standing
from routing.policy.family import relatives
from routing.policy.needs import Needs
from routing.policy.project import DEFAULT, ProjectPolicy
from routing.policy.reading import Unreadable
from routing.policy.rules import Directed, Occasion, Rule, direct, first_match
from routing.policy.weights import PRESETS, Weights
from routing.policy.wishes import NO_WISHES, MaxPrice, Wishes

_EMBEDDINGS = "openai_embeddings"
_SPOKEN = frozenset(UPSTREAM_CODECS)
_KEPT_S = 0.5
_MOST_KEPT = 5_000
_MOST_POLICIES = 10_000
_MILLION = 1_000_000
_LONGEST_LABEL = 200
_Key = tuple[str, int, int, int, Wishes, Needs, int, tuple[str, ...]]


class Choices:
    """Route plans over the process's snapshot of the catalogue and its live health, each kept for half a second."""

    def __init__(self, snapshots: CatalogueSnapshots, health: Health, affinity: Affinity) -> None:
        self._snapshots = snapshots
        self._health = health
        self._affinity = affinity
        self._prices = PriceBook(snapshots.current)
        self._plans: dict[_Key, planner.RoutePlan] = {}
        self._policies: dict[str, ProjectPolicy] = {"": DEFAULT}
        self._standings: dict[tuple[str, str, int], Standing] = {}
        self._kept_until = 0.0
        self._rough: tuple[tuple[int, int], Mapping[str, float]] | None = None

    @property
    def prices(self) -> PriceBook:
        current = self._snapshots.current
        if self._prices.catalogue is not current:
            self._prices = PriceBook(current)
            self._plans.clear()
            self._standings.clear()
        return self._prices

    def route(self, exchange: Exchange, headers: Mapping[bytes, bytes]) -> None:
        """Set the exchange's prices, plan and model. Raises NotFound, NotAllowed, BadRequest, NotAvailable or
        ProtocolError."""
        caller = exchange.caller
        assert caller is not None
        exchange.prices = prices = self.prices
        exchange.policy = policy = self._policy(caller)
        now = exchange.at.timestamp()
        if now >= self._kept_until or len(self._plans) > _MOST_KEPT:
            self._plans.clear()
            self._kept_until = now + _KEPT_S
        wishes = wishes_of(exchange.routing, headers, self._affinity.hash_session)
        rule = None
        if policy.rules:
            needs = needs_of(exchange)
            rule = self._rule(exchange, policy, needs, headers)
            needs = alike(needs)
        else:
            needs = alike_needs_of(exchange)
        # An organization's own markup may change which deployment is cheapest.
        markups = prices.catalogue.markups.rules
        own = caller.organization_id if (ORGANIZATION, caller.organization_id) in markups else 0
        whose = 0 if policy is DEFAULT else caller.project_id
        by_rule = 0 if rule is None else rule.id
        shared = wishes._replace(session="") if wishes.session else wishes
        key = (exchange.model_asked, whose, policy.version, by_rule, shared, needs, own, caller.allowed_models)
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._decide(exchange, caller, wishes, rule, needs, own)
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
            try:
                policy = self._policies[text] = ProjectPolicy.of_json(text)
            except Unreadable:  # what it forbids is not known, so nothing is allowed
                raise NotAvailable(
                    "This project's routing settings can't be read right now.",
                    code="temporarily_unavailable",
                    retry_after_s=30,
                ) from None
        return policy

    def _adjusted(
        self, exchange: Exchange, caller: Caller, policy: ProjectPolicy, wishes: Wishes, plan: planner.RoutePlan
    ) -> planner.RoutePlan:
        warm = None
        if policy.cache_affinity and (wishes.session or exchange.prompt_tokens >= LEAST_PROMPT_TOKENS):
            key = self._affinity.key(caller.project_id, exchange.source, wishes.session)
            exchange.affinity_key = f"{key}:{plan.model.slug}" if wishes.session else key
            warm = self._affinity.place(exchange.affinity_key)
        return planner.adjusted(plan, warm=warm, chance=exchange.chance, explores=policy.exploration)

    def _rule(
        self, exchange: Exchange, policy: ProjectPolicy, needs: Needs, headers: Mapping[bytes, bytes]
    ) -> Rule | None:
        """The project's first rule that matches this request."""
        assert exchange.caller is not None
        catalogue, asked = self.prices.catalogue, exchange.model_asked.strip().lower()
        base, _ = named(asked, NO_WISHES, lambda one: _knows(catalogue, policy, one))
        model = catalogue.resolve(policy.aliases.get(base, base))
        names = (asked, base) if model is None else (asked, base, model.slug.lower())
        metadata = exchange.source.get("metadata")
        labels = _labels(headers, metadata if isinstance(metadata, dict) else NOTHING)
        return first_match(policy.rules, Occasion(names, needs, exchange.caller.api_key_id, labels, exchange.at))

    def _decide(
        self, exchange: Exchange, caller: Caller, wishes: Wishes, rule: Rule | None, needs: Needs, own: int
    ) -> planner.RoutePlan:
        catalogue, at, policy = self.prices.catalogue, exchange.at, exchange.policy
        name, wishes = named(exchange.model_asked, wishes, lambda one: _knows(catalogue, policy, one))
        directed = _with_preset(direct(name, wishes, rule), policy)
        weights = directed.weights or PRESETS.get(directed.wishes.preset, policy.weights)
        groups = [self._group(caller, policy, needs, names, at, weights) for names in directed.groups]
        if policy.same_family_fallback and not groups[0].auto:
            groups += [planner.Group((one,), True) for one in _relatives(catalogue, groups[0].models)]
        asking = planner.Asking(
            groups=tuple(groups),
            needs=needs,
            at=at,
            prices=CallerPrices(self.prices, at, own or None),
            vitals=self._health.vitals,
            speaks=lambda deployment: _speaks(deployment, exchange.endpoint),
            wishes=directed.wishes,
            policy=policy,
            key_models=caller.allowed_models,
            rule_id=directed.rule_id,
            weights=directed.weights,
            set_by=_set_by(wishes, rule, directed, policy),
            standing=lambda model: self._standing(model, exchange.endpoint, at),
        )
        try:
            return planner.decide(asking)
        except planner.NoDeployment as none:
            exchange.refusals = none.refusals
            raise _nobody(none, name) from None

    def _group(
        self,
        caller: Caller,
        policy: ProjectPolicy,
        needs: Needs,
        names: Sequence[str],
        at: datetime,
        weights: Weights,
    ) -> planner.Group:
        catalogue = self.prices.catalogue
        models: list[ModelInfo] = []
        auto = False
        for asked in names:
            name = policy.aliases.get(asked.strip().lower(), asked)
            if is_auto(name) or preset_of(name):
                auto = True
                models += models_for(
                    catalogue.models.values(),
                    lambda model: may_use(model, caller.allowed_models, policy),
                    needs,
                    at,
                    weights=weights,
                    prices=self._rough_prices(at),
                )
            else:
                model = _model(catalogue, name, policy)
                if len(names) == 1:
                    _check_allowed(caller, model.slug)  # before anything is said about who could serve it
                models.append(model)
        return planner.Group(tuple({model.slug: model for model in models}.values()), auto)

    def _standing(self, model: ModelInfo, endpoint: str, at: datetime) -> Standing:
        """Kept for as long as the catalogue stays the same, and a day at most: on some day a deployment retires."""
        key = (model.slug, endpoint, at.toordinal())
        known = self._standings.get(key)
        if known is None:
            if len(self._standings) > _MOST_KEPT:
                self._standings.clear()
            known = self._standings[key] = standing(model, at, lambda one: _speaks(one, endpoint))
        return known

    def _rough_prices(self, at: datetime) -> Mapping[str, float]:
        """Kept for as long as the catalogue stays the same, and an hour at most: a schedule may change a card."""
        catalogue = self.prices.catalogue
        of = (id(catalogue), at.hour)
        if self._rough is None or self._rough[0] != of:
            self._rough = (of, rough_prices(catalogue, at))
        return self._rough[1]


class CallerPrices:
    """What deployments cost one caller at one moment, in nano-USD."""

    def __init__(self, book: PriceBook, at: datetime, organization_id: int | None) -> None:
        self._book = book
        self._at = at
        self._organization_id = organization_id
        self._known = book.offers(organization_id or 0, at)

    def expected_nanos(self, deployment: DeploymentInfo, prompt_tokens: int, output_tokens: int) -> int:
        key = (deployment.id, prompt_tokens)
        priced = self._known.get(key)
        try:
            if priced is None:
                priced = self._known[key] = self._price(deployment, prompt_tokens)
            return priced.plain_nanos(prompt_tokens, output_tokens)
        except InvalidRateCard:
            raise LookupError("no_price") from None

    def per_million(self, deployment: DeploymentInfo, prompt_tokens: int) -> MaxPrice:
        price = self._price(deployment, prompt_tokens)
        request = price.plain_nanos(0, 0)
        prompt, completion = price.plain_nanos(_MILLION, 0) - request, price.plain_nanos(0, _MILLION) - request
        return MaxPrice(prompt, completion, request, image=0)

    def _price(self, deployment: DeploymentInfo, prompt_size: int) -> Priced:
        catalogue = self._book.catalogue
        markup = catalogue.markup(deployment, self._at, self._organization_id)
        priced = self._book.card(deployment, tier="standard", prompt_size=prompt_size, markup=markup, now=self._at)
        if priced is not None:
            return priced
        try:
            catalogue.units_per_usd(deployment.currency, self._at)
        except LookupError:
            raise LookupError("no_exchange_rate") from None
        raise LookupError("no_price")


def _speaks(deployment: DeploymentInfo, endpoint: str) -> bool:
    return dialect_for(deployment, endpoint, _SPOKEN) is not None


def _knows(catalogue: Catalogue, policy: ProjectPolicy, name: str) -> bool:
    return name in policy.aliases or catalogue.resolve(name) is not None or bool(catalogue.successor_of(name))


def _relatives(catalogue: Catalogue, models: Sequence[ModelInfo]) -> tuple[ModelInfo, ...]:
    """Models that may stand in where none of these can be had."""
    found = {one.slug: one for model in models for one in relatives(model, catalogue.models.values())}
    return tuple(one for slug, one in found.items() if slug not in {model.slug for model in models})


def _with_preset(directed: Directed, policy: ProjectPolicy) -> Directed:
    """A rule's target or an alias may be auto:<preset>: it holds where neither request nor rule has an order of its
    own."""
    if directed.wishes.have_an_order or directed.weights is not None:
        return directed
    names = (policy.aliases.get(one.strip().lower(), one) for group in directed.groups for one in group)
    preset = next((found for name in names if (found := preset_of(name))), "")
    return directed._replace(wishes=directed.wishes._replace(preset=preset)) if preset else directed


def _set_by(wishes: Wishes, rule: Rule | None, directed: Directed, policy: ProjectPolicy) -> str:
    """Who says what matters for the order. `wishes` are the request's own."""
    if wishes.have_an_order:
        return "request"
    if rule is not None and (rule.action.weights is not None or rule.action.preset or rule.action.order):
        return "rule"
    if directed.wishes.preset:
        return "alias" if rule is None or not rule.action.models else "rule"
    return "default" if policy is DEFAULT else "project"


def _labels(headers: Mapping[bytes, bytes], metadata: Mapping[str, Any]) -> dict[str, str]:
    """What a rule may look at: our own headers, and what the request says of itself."""
    told = {name: value[:_LONGEST_LABEL] for name, value in metadata.items() if isinstance(value, str)}
    told.update(
        (name.decode("latin-1"), value[:_LONGEST_LABEL].decode("latin-1"))
        for name, value in headers.items()
        if name.startswith(b"x-router-")
    )
    return {name.lower(): value for name, value in told.items()}


def _model(catalogue: Catalogue, name: str, policy: ProjectPolicy) -> ModelInfo:
    try:
        return planner.resolve(catalogue, name, same_family=policy.same_family_fallback)
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


def _nobody(none: planner.NoDeployment, name: str) -> GatewayError:
    """Why nobody is left: the caller's own wish, what the model can't do, or trouble of ours."""
    refusals = none.refusals
    if none.model is None:
        return NotFound(
            f"None of the models that this key and project may use can serve this request ({name}).",
            code="no_model_allowed",
            param="model",
        )
    model = none.model
    reasons = {refusal.reason for refusal in refusals}
    told = "; ".join(f"{refusal.provider}: {refusal.reason}" for refusal in refusals[:8])
    usable = reasons - OURS
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
