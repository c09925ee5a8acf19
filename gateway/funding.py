"""Reserve what the answer can cost, before anything is sent upstream: out of the plan or the wallet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from accounts.caller import Caller
from accounts.model_limits import allows
from billing.pricing.compiled import CostBound
from billing.pricing.rates import InvalidRateCard, NoRateCard
from billing.reservation import CreditUnavailable, InsufficientCredit, Shortage, Source
from gateway.config import GatewayConfig
from gateway.credit_words import no_credit, not_covered
from gateway.errors import NotAvailable
from gateway.exchange import Exchange
from gateway.slices import Payer, Share, Slices
from routing.planner import RoutePlan

_POLL_S = 0.2
_REMEMBER_S = 1.0
_MOST_REMEMBERED = 10_000


class _Need(NamedTuple):
    """What this request has to set aside in nano-USD, and the least that is worth serving. `hedge`: on top of it, for
    an attempt that loses against another, where the project pays for both."""

    bound: CostBound
    wanted_tokens: int
    amount: int
    floor: int
    hedge: int


class Funding:
    """Decides who pays and takes the credit. One per process."""

    def __init__(self, slices: Slices, config: GatewayConfig, recall: Callable[[int], Awaitable[None]]) -> None:
        self._slices = slices
        self._config = config
        self._recall = recall
        self._called_back: dict[int, float] = {}
        self._short: dict[Payer, tuple[float, int, Shortage]] = {}

    def hold_at_once(self, exchange: Exchange) -> bool:
        """Set credit aside that this process has already. False: `hold` it. Raises NotAvailable."""
        caller, plan = exchange.caller, exchange.plan
        assert caller is not None and plan is not None
        for source in sources_of(caller, plan.model.slug):
            amount, hedge = self._amounts(exchange, caller, source)
            share = self._slices.take(_payer(caller, source), amount + hedge, caller.epoch)
            if share is not None:
                exchange.share = share
                exchange.hedge_nanos = hedge
                return True
        return False

    async def hold(self, exchange: Exchange) -> None:
        """Set credit aside for the dearest deployment of the plan. Raises NoCredit or NotAvailable.

        Where credit does not cover the worst case, what is there is held and the output limit lowered to what it
        buys: never below an eighth of the client's own limit, or 1,024 tokens.
        """
        caller, plan = exchange.caller, exchange.plan
        assert caller is not None and plan is not None
        sources = sources_of(caller, plan.model.slug)
        if not sources:
            raise not_covered(self._config.public_url, plan.model.slug)
        if not self.hold_at_once(exchange):
            await self._ask(exchange, caller, sources)

    def forget_shortage(self, organization_id: int) -> None:
        """Credit came in."""
        for payer in [payer for payer in self._short if payer.organization_id == organization_id]:
            del self._short[payer]

    async def _ask(self, exchange: Exchange, caller: Caller, sources: Sequence[Source]) -> None:
        shortages: list[Shortage] = []
        needed = 0
        for source in sources:
            need = self._need(exchange, caller, source)
            try:
                share = await self._reserve(caller, _payer(caller, source), need, last=source == sources[-1])
            except InsufficientCredit as short:
                shortages.append(short.shortage)
                needed = need.floor
                continue
            except CreditUnavailable:
                raise NotAvailable(
                    "Credit can't be reserved right now. You were not charged.",
                    code="temporarily_unavailable",
                    retry_after_s=2,
                ) from None
            exchange.share = share
            if share.nanos >= need.amount + need.hedge:
                exchange.hedge_nanos = need.hedge
            if share.nanos < need.amount:
                affordable = need.bound.affordable(exchange.prompt_tokens, share.nanos, need.wanted_tokens)
                exchange.output_cap = max(1, affordable // exchange.choices)
            return
        raise no_credit(self._config.public_url, shortages, needed, caller)

    async def _reserve(self, caller: Caller, payer: Payer, need: _Need, *, last: bool) -> Share:
        """Ask; then call idle credit back from other processes; then wait a little for running requests."""
        remembered = self._short.get(payer)
        if remembered is not None and time.monotonic() < remembered[0] and need.floor >= remembered[1]:
            raise InsufficientCredit(remembered[2])
        give_up = time.monotonic() + self._config.credit_wait_s
        wanted = need.amount + need.hedge
        floor = need.amount  # less only once nothing more can come back
        while True:
            try:
                return await self._slices.reserve(
                    payer, wanted, floor, caller.epoch, project_id=caller.project_id, api_key_id=caller.api_key_id
                )
            except InsufficientCredit as short:
                shortage = short.shortage
            may_come = shortage.held_nanos > 0 and shortage.available_nanos + shortage.held_nanos >= need.floor
            if may_come and last and time.monotonic() < give_up:
                await self._call_back(payer.organization_id)
                await asyncio.sleep(_POLL_S)
            elif shortage.available_nanos >= need.floor and floor > need.floor:
                floor = need.floor
            else:
                self._remember(payer, need.floor, shortage)
                raise InsufficientCredit(shortage)

    async def _call_back(self, organization_id: int) -> None:
        """Idle slices of all processes, ours too; asked for once for all that wait."""
        now = time.monotonic()
        if now - self._called_back.get(organization_id, 0.0) >= _POLL_S / 2:
            if len(self._called_back) > _MOST_REMEMBERED:
                self._called_back.clear()
            self._called_back[organization_id] = now
            await self._recall(organization_id)

    def _remember(self, payer: Payer, floor: int, shortage: Shortage) -> None:
        if len(self._short) > _MOST_REMEMBERED:
            self._short.clear()
        self._short[payer] = (time.monotonic() + _REMEMBER_S, floor, shortage)

    def _need(self, exchange: Exchange, caller: Caller, source: Source) -> _Need:
        amount, hedge = self._amounts(exchange, caller, source)
        bound = _bound(exchange, caller, source)
        wanted = self._wanted(exchange)
        floor = wanted
        if exchange.max_output_tokens is not None:
            floor = max(1, wanted // 8)  # limits are set generously and answers are mostly far shorter
        least = bound.nanos(exchange.prompt_tokens, min(floor, self._config.floor_output_tokens))
        return _Need(bound, wanted, amount, min(amount, least), hedge)

    def _amounts(self, exchange: Exchange, caller: Caller, source: Source) -> tuple[int, int]:
        """What to set aside for the answer and for a hedge."""
        try:
            bound = _bound(exchange, caller, source)
            amount = bound.nanos(exchange.prompt_tokens, self._wanted(exchange))
            if exchange.policy.hedge != "paid" or not exchange.stream or len(_plan(exchange).steps) < 2:
                return amount, 0
            # The loser is stopped before its first content, so it costs its prompt.
            return amount, bound.nanos(exchange.prompt_tokens, 0)
        except (NoRateCard, InvalidRateCard, LookupError):
            raise NotAvailable("This model has no price right now.", retry_after_s=30) from None

    def _wanted(self, exchange: Exchange) -> int:
        """Output tokens to hold for, over all choices."""
        assumed, asked = self._config.assumed_output_tokens, exchange.max_output_tokens
        most = _plan(exchange).model.max_output_tokens or assumed
        if asked is None:
            asked = assumed
        return exchange.choices * (asked if asked < most else most)


def _plan(exchange: Exchange) -> RoutePlan:
    assert exchange.plan is not None
    return exchange.plan


def _bound(exchange: Exchange, caller: Caller, source: Source) -> CostBound:
    assert exchange.prices is not None
    # Plans pay list prices.
    return exchange.prices.bound(_plan(exchange), exchange.at, 0 if source == "plan" else caller.organization_id)


def sources_of(caller: Caller, model: str) -> tuple[Source, ...]:
    """Who may pay for this model, in the order to try. Empty: the key is for the plan only, which does not cover it."""
    if caller.funding == "wallet_only" or (caller.plan_models is None and caller.funding != "plan_only"):
        return ("wallet",)
    covered = caller.plan_models is not None and bool(caller.plan_models) and allows(caller.plan_models, model)
    if caller.funding == "plan_only":
        return ("plan",) if covered else ()
    if not covered:
        return ("wallet",)
    return ("plan", "overflow") if caller.plan_overflow else ("plan",)


def _payer(caller: Caller, source: Source) -> Payer:
    if caller.budget_scope == "key":
        return Payer(caller.organization_id, source, caller.project_id, caller.api_key_id)
    if caller.budget_scope == "project":
        return Payer(caller.organization_id, source, caller.project_id)
    return Payer(caller.organization_id, source)
