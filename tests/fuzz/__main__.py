"""`python -m tests.fuzz --inputs 1000000`: damaged input for every decoder; exits 1 with the smallest that fails."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections import Counter
from typing import Any

from tests.fuzz import mutate
from tests.fuzz.targets import Fuzzed, all_targets

# Inputs made of one seed before the next is taken.
_BATCH = 16


def make_input(dice: random.Random, target: Fuzzed) -> bytes:
    """Most JSON stays JSON: what cannot be parsed is refused before any codec sees it."""
    seed = dice.choice(target.seeds)
    if target.is_json and dice.random() < 0.85:
        try:
            return mutate.to_bytes(mutate.damage_json(dice, json.loads(seed)))
        except ValueError:
            pass
    return mutate.damage_bytes(dice, seed, target.seeds)


def fails(target: Fuzzed, body: bytes) -> str:
    """The last line of the traceback, "" where all promises hold. The dice depend on the input alone."""
    try:
        target.run(body, random.Random(len(body)))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename}:{frame.lineno}: {error}"[:500]
    return ""


def work(job: tuple[int, int, float]) -> tuple[Counter[str], list[tuple[str, str, bytes]]]:
    """One process: counts by target, and the first failure of each kind."""
    seed, inputs, until = job
    dice = random.Random(seed)
    targets = all_targets()
    names = sorted(targets)
    counts: Counter[str] = Counter()
    found: dict[str, tuple[str, str, bytes]] = {}
    done = 0
    while done < inputs and time.monotonic() < until and len(found) < 20:
        name = names[(done // _BATCH) % len(names)]
        body = make_input(dice, targets[name])
        why = fails(targets[name], body)
        counts[name] += 1
        done += 1
        if why:
            place = why.split(": ")[0]
            found.setdefault(place, (name, why, body))
    return counts, list(found.values())


def main() -> int:
    options = _options()
    processes = max(1, options.processes)
    until = time.monotonic() + options.seconds
    each = -(-options.inputs // processes)
    started = time.monotonic()
    with multiprocessing.Pool(processes) as pool:
        results = pool.map(work, [(options.seed * 1000 + number, each, until) for number in range(processes)])
    took = time.monotonic() - started
    counts: Counter[str] = sum((counts for counts, _ in results), Counter())
    for name in sorted(counts):
        print(f"{counts[name]:>10,}  {name}")
    print(f"{counts.total():>10,}  in {took:.0f} s: {counts.total() / took:,.0f} inputs/s, {processes} processes")
    failures = {why.split(": ")[0]: (name, why, body) for _, found in results for name, why, body in found}
    for name, why, body in failures.values():
        _show(name, why, body)
    return 1 if failures else 0


def _show(name: str, why: str, body: bytes) -> None:
    target = all_targets()[name]
    place = why.split(": ")[0]
    smallest = mutate.shrink(body, lambda shorter: fails(target, shorter).startswith(place))
    print(f"\nFAILED {name}\n  {fails(target, smallest)}\n  {smallest!r}", file=sys.stderr)


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="another run by default")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    print(f"seed {options.seed}")
    return options


if __name__ == "__main__":
    sys.exit(main())
