"""Reserve what the answer can cost, before anything is sent upstream."""

from __future__ import annotations

import asyncio
import time

from billing.pricing.estimate import most_nanos
from billing.reservation import CreditUnavailable, InsufficientCredit, Reservations
from gateway.config import GatewayConfig
from gateway.errors import NoCredit, NotAvailable
from gateway.exchange import Exchange
from routing.catalogue import DeploymentInfo

_POLL_S = 0.2


async def hold(exchange: Exchange, reservations: Reservations, config: GatewayConfig) -> None:
    """Set credit aside for the dearest deployment of the plan. Raises NoCredit or NotAvailable.

    Where credit does not cover the worst case, what is there is held and the output limit lowered to what it
    buys: never below an eighth of the client's own limit, or 1,024 tokens. While running requests hold the
    credit, waits a little.
    """
    assert exchange.caller is not None
    wanted = _output_tokens(exchange, config)
    amount = _cost(exchange, config, wanted)
    floor = _cost(exchange, config, _floor_tokens(exchange, config, wanted))
    give_up = time.monotonic() + config.credit_wait_s
    while True:
        try:
            held = await reservations.place(
                hold_id=exchange.id,
                organization_id=exchange.caller.organization_id,
                amount_nanos=amount,
                floor_nanos=floor,
                lifetime_s=config.max_request_s + config.hold_margin_s,
            )
        except InsufficientCredit as short:
            if (
                short.held_nanos > 0
                and short.available_nanos + short.held_nanos >= floor
                and time.monotonic() < give_up
            ):
                await asyncio.sleep(_POLL_S)
                continue
            raise _no_credit(config, short.available_nanos, short.held_nanos, floor) from None
        except CreditUnavailable:
            raise NotAvailable(
                "Credit can't be reserved right now. You were not charged.",
                code="temporarily_unavailable",
                retry_after_s=2,
            ) from None
        exchange.held_nanos = held
        if held < amount:
            exchange.output_cap = _affordable(exchange, config, held, wanted)
        return


def _no_credit(config: GatewayConfig, available: int, held: int, needed: int) -> NoCredit:
    top_up = f"{config.public_url}/wallet"
    return NoCredit(
        f"Not enough credit: this request needs ${needed / 1e9:.6f} and ${max(available, 0) / 1e9:.6f} is available"
        f" (${held / 1e9:.6f} is held by running requests). Nothing was charged. Add credit at {top_up}",
        details={"scope": "wallet", "top_up_url": top_up},
    )


def _deployments(exchange: Exchange) -> list[DeploymentInfo]:
    assert exchange.plan is not None
    return [step.deployment for step in exchange.plan.steps]


def _output_tokens(exchange: Exchange, config: GatewayConfig) -> int:
    assert exchange.conversation is not None and exchange.plan is not None
    most = exchange.plan.model.max_output_tokens or config.assumed_output_tokens
    wanted = exchange.conversation.sampling.max_output_tokens
    choices = max(1, exchange.conversation.sampling.n or 1)
    if wanted is None:
        return choices * min(most, config.assumed_output_tokens)
    return choices * min(wanted, most)


def _floor_tokens(exchange: Exchange, config: GatewayConfig, wanted: int) -> int:
    """The least output worth serving. Limits are set generously and answers are mostly far shorter."""
    assert exchange.conversation is not None
    if exchange.conversation.sampling.max_output_tokens is None:
        return min(wanted, config.floor_output_tokens)
    return min(max(1, wanted // 8), config.floor_output_tokens)


def _cost(exchange: Exchange, config: GatewayConfig, output_tokens: int) -> int:
    """The most that the dearest deployment of the plan can charge for this many output tokens, in nano-USD."""
    assert exchange.catalogue is not None and exchange.caller is not None
    return max(
        most_nanos(
            deployment.price_cards,
            at=exchange.at,
            prompt_tokens=exchange.prompt_tokens,
            max_output_tokens=output_tokens,
            units_per_usd=exchange.catalogue.units_per_usd(deployment.currency, exchange.at),
            markup=exchange.catalogue.markup(deployment, exchange.at, exchange.caller.organization_id),
        )
        for deployment in _deployments(exchange)
    )


def _affordable(exchange: Exchange, config: GatewayConfig, held: int, wanted: int) -> int:
    """The largest output limit that `held` pays for, by bisection over the price itself."""
    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        if _cost(exchange, config, middle) <= held:
            low = middle
        else:
            high = middle - 1
    assert exchange.conversation is not None
    return max(1, low // max(1, exchange.conversation.sampling.n or 1))
