"""What the gateway adds to a call: the same requests, interleaved, to the provider directly and through the gateway.

    make bench ARGS="--direct http://127.0.0.1:9001/v1 --gateway http://127.0.0.1:8000/v1 --key sk-ro-…"

Prints medians per round and their ratios. Loopback addresses only.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2


@dataclass(frozen=True)
class Target:
    name: str
    url: str
    model: str
    key: str


@dataclass(frozen=True)
class Round:
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int


async def run(target: Target, *, requests: int, concurrency: int, stream: bool) -> Round:
    """One round of `requests` calls with `concurrency` at a time."""
    body = {
        "model": target.model,
        "messages": [{"role": "user", "content": "hello"}],
        "stream": stream,
        "max_tokens": 50,
    }
    headers = {"authorization": f"Bearer {target.key}"}
    waiting = iter(range(requests))
    times: list[float] = []
    failed = 0
    async with httpx2.AsyncClient(timeout=60, limits=httpx2.Limits(max_connections=concurrency)) as client:

        async def work() -> None:
            nonlocal failed
            for _ in waiting:
                started = time.perf_counter()
                answer = await client.post(f"{target.url}/chat/completions", json=body, headers=headers)
                times.append(time.perf_counter() - started)
                complete = answer.status_code == 200 and (not stream or "data: [DONE]" in answer.text)
                failed += not complete

        began = time.perf_counter()
        await asyncio.gather(*[work() for _ in range(concurrency)])
        took = time.perf_counter() - began
    ordered = sorted(times)
    return Round(requests / took, statistics.median(ordered) * 1e3, ordered[int(len(ordered) * 0.99) - 1] * 1e3, failed)


def report(rounds: dict[str, list[Round]]) -> None:
    medians = {
        name: [
            statistics.median(getattr(one, field) for one in some) for field in ("requests_per_s", "p50_ms", "p99_ms")
        ]
        for name, some in rounds.items()
    }
    print(f"{'target':10} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'failed':>7}")
    for name, (rate, p50, p99) in medians.items():
        print(f"{name:10} {rate:11.1f} {p50:8.2f} {p99:8.2f} {sum(one.failed for one in rounds[name]):7d}")
    direct, gateway = medians["direct"], medians["gateway"]
    print(f"gateway / direct: requests/s {gateway[0] / direct[0]:.3f}, p50 {gateway[1] / direct[1]:.2f}")
    print(f"added: p50 {gateway[1] - direct[1]:.2f} ms, p99 {gateway[2] - direct[2]:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--direct", required=True, help="base URL of the sandbox provider, with /v1")
    parser.add_argument("--gateway", required=True, help="base URL of the gateway, with /v1")
    parser.add_argument("--key", required=True)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stream", action="store_true")
    options = parser.parse_args()
    for url in (options.direct, options.gateway):
        if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
            parser.error("only addresses of this machine")
    targets = [
        Target("direct", options.direct, "sandbox-echo", "none"),
        Target("gateway", options.gateway, "sandbox/echo", options.key),
    ]
    rounds: dict[str, list[Round]] = {target.name: [] for target in targets}
    for _ in range(options.rounds):
        for target in targets:
            result = asyncio.run(
                run(target, requests=options.requests, concurrency=options.concurrency, stream=options.stream)
            )
            rounds[target.name].append(result)
    report(rounds)


if __name__ == "__main__":
    main()
