"""How soon a second gateway process knows what the first one saw: health over Redis, between two real processes.

    python -m bench.routing_convergence [--rounds 10]

In each round the parent records forty answers and ten failures of a deployment that nobody knows, at a random moment.
Told are the seconds until the other process leaves that deployment alone (its breaker is open) and until its estimates
of first-token time and errors are those of the parent within a tenth. Redis is the embedded one, in a temporary folder.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from redis.asyncio import Redis

from gateway.gossip import Gossip
from gateway.health import Health
from routerone.embedded.paths import embedded_paths
from routerone.embedded.valkey import ValkeyServer
from routing.catalogue import DeploymentInfo

GOAL_S = 2.0
LIMIT_S = 20.0
_ANSWERS, _FAILURES = 40, 10


def _deployment(number: int) -> DeploymentInfo:
    return cast(DeploymentInfo, SimpleNamespace(id=number, provider="p", credentials=()))


async def _with_health(url: str, work: Callable[[Health], Any]) -> None:
    async with Redis.from_url(url) as redis:
        health = Health(redis)
        parts = (health, Gossip(redis, (health,)))
        for part in parts:
            await part.start()
        await work(health)
        for part in reversed(parts):
            await part.stop()


async def _until(true: Callable[[], bool]) -> float:
    end = time.time() + LIMIT_S
    while not true():
        if time.time() > end:
            return float("inf")
        await asyncio.sleep(0.005)
    return time.time()


async def _child(health: Health) -> None:
    """Says when it knows, in the machine's time; is told each round's deployment and what to expect of it."""
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        number, first_s, errors = int(line[0]), float(line[1]), float(line[2])

        def agrees(number: int = number, first_s: float = first_s, errors: float = errors) -> bool:
            known = health.vitals(number)
            return abs(known.first_token_s / first_s - 1) < 0.1 and abs(known.error_rate / errors - 1) < 0.1

        def refuses(number: int = number) -> bool:
            return health.admission(_deployment(number), (), 0.5).refusal == "breaker_open"

        refused, agreed = await asyncio.gather(_until(refuses), _until(agrees))
        print(refused, agreed, flush=True)


async def _parent(url: str, rounds: int) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.routing_convergence", "--listen", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None and child.stdout is not None
    stdin, stdout = child.stdin, child.stdout

    async def work(health: Health) -> None:
        await stdout.readline()
        chance = random.Random(5)
        for number in range(1, rounds + 1):
            await asyncio.sleep(chance.uniform(0, 1))
            for _ in range(_ANSWERS):
                health.answered(number, chance.uniform(2, 4), 300, 5.0)
            for _ in range(_FAILURES):
                health.failed(_deployment(number), None, "server_error")
            began, mine = time.time(), health.vitals(number)
            stdin.write(f"{number} {mine.first_token_s} {mine.error_rate}\n".encode())
            refused, agreed = (float(part) - began for part in (await stdout.readline()).split())
            found.append((refused, agreed))

    await _with_health(url, work)
    stdin.close()
    await child.wait()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--listen", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        asyncio.run(_with_health(options.listen, _child))
        return
    with tempfile.TemporaryDirectory(prefix="r1bench-", ignore_cleanup_errors=True) as folder:
        valkey = ValkeyServer(embedded_paths(Path(folder)), durable=False)
        valkey.start()
        try:
            found = asyncio.run(_parent(valkey.url, options.rounds))
        finally:
            valkey.stop()
    print(f"Two processes, {len(found)} rounds, seconds after the first one knew (least, median, most):")
    for place, what in enumerate(("the second leaves it alone", "the second estimates the same")):
        took = [one[place] for one in found]
        print(f"  {what:30} {min(took):5.2f} {statistics.median(took):5.2f} {max(took):5.2f}")
    worst = max(max(one) for one in found)
    print(f"Goal: within {GOAL_S:g} s. {'met' if worst <= GOAL_S else 'MISSED'}")
    sys.exit(worst > GOAL_S)


if __name__ == "__main__":
    main()
