"""The same work for every target in turn, round after round, and what each round cost."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench import figures
from bench.driver import Tally, drive
from bench.processes import cpu_s, memory_mb
from bench.scenarios import SCENARIOS, Scenario
from bench.targets import Target

WARM_UP_S = 3.0  # Python imports lazily, and Node.js compiles what it has run a few thousand times


@dataclass
class Between:
    """What a target took while others were measured: work put off until later would show here."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    since: tuple[dict[str, float], float] | None = None

    def pause(self, clocks: dict[str, float]) -> None:
        self.since = (clocks, time.perf_counter())

    def resume(self, clocks: dict[str, float]) -> None:
        if self.since is not None:
            before, began = self.since
            for part, seconds in clocks.items():
                self.cpu_s[part] = self.cpu_s.get(part, 0.0) + seconds - before[part]
            self.wall_s += time.perf_counter() - began
            self.since = None

    def rates(self) -> dict[str, float]:
        """CPU seconds a second, by part."""
        return {part: seconds / self.wall_s for part, seconds in self.cpu_s.items()} if self.wall_s else {}


@dataclass
class Results:
    """Figures by scenario and target, one mapping for each round."""

    rounds: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    problems: dict[str, list[str]] = field(default_factory=dict)
    between: dict[str, Between] = field(default_factory=dict)

    def note(self, scenario: str, target: str, problem: str) -> None:
        self.problems.setdefault(f"{scenario}, {target}", []).append(problem)

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        return {
            scenario: {target: figures.medians(rounds) for target, rounds in targets.items() if rounds}
            for scenario, targets in self.rounds.items()
        }


def run(scenario: Scenario, targets: Sequence[Target], results: Results, *, rounds: int, seconds: float) -> None:
    warm_up_s = min(WARM_UP_S, seconds)
    ready = [target for target in targets if _warm_up(scenario, target, results, warm_up_s)]
    kept = results.rounds.setdefault(scenario.name, {target.name: [] for target in ready})
    for number in range(1, rounds + 1):
        for target in ready:
            between = results.between.setdefault(target.name, Between())
            between.resume(read_clocks(target))
            measured, failures, problems = measure(target, scenario, seconds)
            between.pause(read_clocks(target))
            for problem in problems:
                results.note(scenario.name, target.name, f"round {number}: {problem}")
            for failure, count in failures.items():
                results.note(scenario.name, target.name, f"round {number}: {count} × {failure}")
            kept[target.name].append(measured)
            _say(scenario, target, number, measured)


def measure(
    target: Target, scenario: Scenario, seconds: float, limit: int | None = None
) -> tuple[dict[str, float], Mapping[str, int], list[str]]:
    """Figures, failures, and what was wrong with the books. The clocks are read when all work that followed is done."""
    before, began = read_clocks(target), time.perf_counter()
    tally = drive(target.aim, scenario, seconds, limit)
    drive_ended = time.perf_counter()
    problems = target.settle(len(tally.latencies))
    ended = time.perf_counter()
    after = read_clocks(target)
    spent = {part: after[part] - before[part] for part in after}
    found = _of_tally(tally, streamed=bool(scenario.chunks))
    found |= {"settle_s": ended - drive_ended, "window_s": ended - began, "load": os.getloadavg()[0]}
    found |= _of_clocks(spent, tally)
    if target.parts:
        found["rss_mb"], found["pss_mb"] = memory_mb(next(iter(target.parts.values())))
    return found, tally.failures, problems


def read_clocks(target: Target) -> dict[str, float]:
    """CPU seconds so far, by part."""
    return {part: cpu_s(roots, target.uncounted) for part, roots in target.parts.items()}


def drive_once(target: Target) -> None:
    """A little work of the first kind, settled, and a pause."""
    target.settle(len(drive(target.aim, SCENARIOS[0], WARM_UP_S).latencies))
    time.sleep(3)


def idle(target: Target, seconds: float) -> dict[str, float]:
    """CPU seconds a second that each part takes with nothing to do."""
    before = read_clocks(target)
    time.sleep(seconds)
    after = read_clocks(target)
    return {part: (after[part] - before[part]) / seconds for part in after}


def _of_tally(tally: Tally, *, streamed: bool) -> dict[str, float]:
    found = {
        "requests": float(len(tally.latencies)),
        "failed": float(sum(tally.failures.values())),
        "rps": len(tally.latencies) / tally.wall_s,
        "p50_ms": figures.percentile(tally.latencies, 50) * 1000,
        "p99_ms": figures.percentile(tally.latencies, 99) * 1000,
    }
    if streamed:
        found["ttft50_ms"] = figures.percentile(tally.first_tokens, 50) * 1000
        found["ttft99_ms"] = figures.percentile(tally.first_tokens, 99) * 1000
        found["chunks_s"] = tally.events / tally.wall_s
    return found


def _of_clocks(spent: Mapping[str, float], tally: Tally) -> dict[str, float]:
    if not spent:
        return {}
    requests = len(tally.latencies)
    found = {f"{part}_1k": figures.per_thousand(seconds, requests) for part, seconds in spent.items()}
    return found | {"cpu_1k": figures.per_thousand(sum(spent.values()), requests)}


def _warm_up(scenario: Scenario, target: Target, results: Results, seconds: float) -> bool:
    results.between.setdefault(target.name, Between()).resume(read_clocks(target))
    tally = drive(target.aim, scenario, seconds)
    target.settle(len(tally.latencies))
    results.between[target.name].pause(read_clocks(target))
    if tally.latencies:
        return True
    reason = tally.failures.most_common(1)[0][0] if tally.failures else "no answer"
    results.note(scenario.name, target.name, f"left out: {reason}")
    return False


def _say(scenario: Scenario, target: Target, number: int, found: Mapping[str, float]) -> None:
    nothing = float("nan")
    print(
        f"# {scenario.name} round {number} {target.name:8} {found['requests']:7.0f} requests {found['rps']:9.1f}/s "
        f"cpu/1k {found.get('cpu_1k', nothing):8.3f}  p50 {found['p50_ms']:7.2f} p99 {found['p99_ms']:7.2f} ms  "
        f"failed {found['failed']:.0f}  load {found['load']:.1f}",
        file=sys.stderr,
        flush=True,
    )
