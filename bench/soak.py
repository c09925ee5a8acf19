"""Many requests in one go through ours alone: does memory stay flat, and do the books agree afterwards?"""

from __future__ import annotations

import sys
from typing import Any

from bench import figures
from bench.processes import memory_mb
from bench.product import Product
from bench.rounds import Results, measure
from bench.scenarios import Scenario

_SAMPLES = 20
_SCENARIO = Scenario("soak", "plain replies in one go, 16 in flight")


def run(product: Product, results: Results, requests: int) -> dict[str, Any]:
    """The samples of the gateway's memory (MB), and the proof's last line."""
    roots = product.parts["gateway"]
    samples = [memory_mb(roots)[0]]
    rounds = []
    for _ in range(_SAMPLES):
        measured, failures, problems = measure(product, _SCENARIO, 3600, requests // _SAMPLES)
        for problem in [*problems, *(f"{count} × {name}" for name, count in failures.items())]:
            results.note("soak", "ours", problem)
        rounds.append(measured)
        samples.append(measured["rss_mb"])
        done, rate = len(rounds) * requests // _SAMPLES, measured["rps"]
        print(f"# soak {done} requests, {rate:.0f}/s, {samples[-1]:.1f} MB", file=sys.stderr, flush=True)
    last = {**figures.medians(rounds), "rss_mb": max(samples), "growth_mb": figures.growth(samples)}
    results.rounds["soak"] = {"ours": [last]}
    return {"requests": requests, "rss_mb": [round(one, 1) for one in samples], "proof": product.prove()}
