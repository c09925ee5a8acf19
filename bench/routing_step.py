"""What the routing step of one request costs.

    python -m bench.routing_step [--deployments 20]

CPU microseconds of `Choices.route`, the least and the median of many rounds of a hundred requests (a busy machine only
adds to them):

- a decision whose plan is not known: names, eligibility, costs, health, score. What is known for a second (the price
  cards in force, estimates of health) or longer (who is switched on) is known already, as for most decisions;
- the same as the first of a second, when cards and estimates are looked up anew;
- the trace of a decision, which is written once for all requests alike, after their answers;
- a request that is like another one of the last half second: exploration, warm caches and breakers are looked at;
- what all this comes to for one request at 100 a second for one model.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple, cast

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
GOAL_MICROS = 100.0
AT_ONCE = 100


class _Snapshots:
    def __init__(self, current: Catalogue) -> None:
        self.current = current


def _deployment(number: int) -> DeploymentInfo:
    rates = {"input": Decimal(1 + number % 7), "output": Decimal(2 + number % 5)}
    card = RateCard(number, "standard", None, None, 0, None, rates)
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


class Micros(NamedTuple):
    """CPU microseconds for one request."""

    least: float
    median: float

    @property
    def text(self) -> str:
        return f"{self.least:9.1f}{self.median:9.1f}"


class Step(NamedTuple):
    afresh: Micros
    cold: Micros
    trace: Micros
    alike: Micros

    @property
    def mean(self) -> float:
        """Of the medians. Cold is one decision in a second, afresh the others that no other request has made."""
        cold, decisions = 1 / PER_S, 1 / (PER_S * ALIKE_S)
        rest = self.alike.median * (1 - decisions)
        return self.cold.median * cold + self.afresh.median * (decisions - cold) + self.trace.median * decisions + rest


def _micros(work: Callable[[Exchange], object], exchanges: Sequence[Exchange], rounds: int) -> Micros:
    took = []
    for _ in range(rounds):
        began = time.process_time()
        for exchange in exchanges:
            work(exchange)
        took.append((time.process_time() - began) / len(exchanges) * 1e6)
    return Micros(min(took), statistics.median(took))


def measure(count: int, rounds: int = 60) -> Step:
    choices, exchanges = _choices(count), [_request() for _ in range(AT_ONCE)]

    def afresh(exchange: Exchange) -> None:
        choices._plans.clear()
        choices.route(exchange, {})

    def cold(exchange: Exchange) -> None:
        choices.prices._second = 0
        choices.prices._now = None
        choices._health._estimates.clear()
        afresh(exchange)

    def told(exchange: Exchange) -> bytes:
        assert exchange.plan is not None
        write = exchange.plan.told._write
        assert write is not None
        return write()

    _micros(afresh, exchanges, 3)
    whole = _micros(afresh, exchanges, rounds)
    # Each has its own plan, of which nothing was told yet.
    traces = _micros(told, exchanges, rounds)
    from_nothing = _micros(cold, exchanges, max(1, rounds // 6))
    at = datetime.now(UTC)
    for exchange in exchanges:
        exchange.at = at  # so that no plan grows old
    alike = _micros(lambda exchange: choices.route(exchange, {}), exchanges, rounds)
    return Step(whole, from_nothing, traces, alike)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deployments", type=int, default=20)
    count = parser.parse_args().deployments
    step = measure(count)
    print(f"{count} deployments, CPU microseconds for one request{'least':>11}{'median':>9}")
    print(f"  a decision whose plan is not known          {step.afresh.text}")
    print(f"  the same as the first of a second           {step.cold.text}")
    print(f"  a decision's trace, after the answer        {step.trace.text}")
    print(f"  a request like another                      {step.alike.text}")
    print(f"  the mean at {PER_S} requests a second          {step.mean:18.1f}")
    met = step.afresh.least <= GOAL_MICROS
    print(f"Goal: a decision within {GOAL_MICROS:g}, in the least disturbed round. {'met' if met else 'MISSED'}")
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
