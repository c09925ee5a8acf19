"""What the routing step of one request costs.

    python -m bench.routing_step [--deployments 20]

CPU microseconds of a decision from nothing (names, eligibility, prices, health, score, trace), of a request that is
like another one of the last half second (its plan is known; exploration, warm caches and breakers are looked at), and
of the share that falls on each at 100 requests a second for one model.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from accounts.caller import Caller
from billing.pricing.rates import RateCard
from gateway.affinity import Affinity
from gateway.choose import Choices
from gateway.exchange import Exchange
from gateway.health import Health
from gateway.protocol.dialects import GLANCES
from routing.catalogue import Catalogue, CatalogueSnapshots, DeploymentInfo, ModelInfo

BODY = (
    b'{"model":"maker/model","messages":[{"role":"user","content":"What is the time in Chongqing?"}],"max_tokens":64}'
)
PER_S = 100
ALIKE_S = 0.5


class _Snapshots:
    def __init__(self, current: Catalogue) -> None:
        self.current = current


def _deployment(number: int) -> DeploymentInfo:
    rates = {"input": Decimal(1 + number % 7), "output": Decimal(2 + number % 5)}
    card = RateCard(number, "standard", None, None, 0, None, rates)  # type: ignore[arg-type]
    return DeploymentInfo(
        id=number, provider=f"p{number}", provider_name=f"P{number}", model="maker/model", upstream_id="m",
        dialect="openai_chat", other_dialects=(), base_urls={"openai_chat": "https://p.example/v1"}, auth="bearer",
        secret="x", extra_headers={}, on_client_leave="stop", context_length=128_000, max_output_tokens=8_192,
        status="active", retires_on=None, currency="USD", priority=100, price_cards=(card,),
    )  # fmt: skip


def _choices(count: int) -> Choices:
    deployments = tuple(_deployment(number) for number in range(1, count + 1))
    model = ModelInfo(
        "maker/model", "Model", "maker", "", None, 128_000, 8_192, ("text",), ("text",),
        {"tools": True, "vision": False}, 50.0, "active", deployments,
    )  # fmt: skip
    catalogue = Catalogue(models={model.slug: model}, aliases={}, withdrawn={})
    health, chance = Health(None), random.Random(7)
    for deployment in deployments:
        for _ in range(50):
            health.answered(deployment.id, chance.uniform(0.1, 2), 300, chance.uniform(1, 9))
    return Choices(cast(CatalogueSnapshots, _Snapshots(catalogue)), health, Affinity(b"x" * 32))


def _request() -> Exchange:
    exchange = Exchange("openai_chat")
    exchange.caller = Caller(1, 1, 1, 60, None)
    asked = GLANCES["openai_chat"].glance_request(BODY)
    assert asked is not None
    exchange.glanced(asked)
    exchange.prompt_tokens = asked.prompt_tokens
    return exchange


def _micros(work: Callable[[Any], None], arguments: list[Any]) -> float:
    began = time.process_time()
    for argument in arguments:
        work(argument)
    return (time.process_time() - began) / len(arguments) * 1e6


def measure(count: int, requests: int = 2_000) -> tuple[float, float]:
    """Microseconds of a decision from nothing, and of a request that is like another."""
    choices = _choices(count)

    def afresh(exchange: Exchange) -> None:
        choices._plans.clear()
        choices.route(exchange, {})

    afresh(_request())
    whole = min(_micros(afresh, [_request() for _ in range(requests)]) for _ in range(3))
    at = datetime.now(UTC)
    like = [_request() for _ in range(requests)]
    for exchange in like:
        exchange.at = at  # so that no plan grows old
    alike = min(_micros(lambda exchange: choices.route(exchange, {}), like) for _ in range(3))
    return whole, alike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=20)
    count = parser.parse_args().deployments
    whole, alike = measure(count)
    fresh = 1 / (PER_S * ALIKE_S)
    print(f"{count} deployments, CPU microseconds:")
    print(f"  a decision from nothing          {whole:8.1f}")
    print(f"  a request like another           {alike:8.1f}")
    print(f"  the mean at {PER_S} requests a second {fresh * whole + (1 - fresh) * alike:8.1f}")


if __name__ == "__main__":
    main()
