"""How good is the routing? Simulated providers that change over time, ours against other strategies.

    python -m bench.routing_sim [--requests 2000] [--seeds 11,12,…] [--scenario outage] [--sets named,failing,judging]

No clock and no network: time is simulated, every random number comes from a recorded seed, and `ours` is the product's
own code (`routing.policy`: health, breaker, score, explore). What a strategy is judged by is what happens to requests:
the loss of an answer is the published formula with references that are fixed for a scenario (the best seconds, cost and
quality that any of its providers has at any time), so that it depends on nothing but the outcome; a request that
nobody answers has a loss of 1. A failed attempt costs its time, then the strategy's next provider is asked. Whoever
asks the same provider with the same request gets the same, so that strategies differ by what they choose alone.

Strategies: `oracle` knows the true state of all providers at every moment. `fixed` is the one provider that was best
over the whole run, known only afterwards; `obeying` is the same where it stays away for as long as a 429 told it to,
which `ours` must and the others need not. What could be run for real: `ours`; `random` draws by one over the square of
the price; `price` takes the cheapest that has not just failed; `latency` is the latency-based strategy of LiteLLM's
router as its sources have it: the mean of the last ten times per output token, unknown ones first, a cooldown of five
seconds where more than half of the last minute's requests failed (five at least) or a limit was met.

A row has two verdicts: against the best of those that could be run, with the standard error of that ratio over the
seeds, and against the best of those and `fixed`, who knows the future and need not learn.

Sets of scenarios: `named` and `failing` were looked at while the policy was made, and so were the random scenarios of
`tuning`. Those of `judging` come from other seeds, and nothing was chosen by them.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from typing import Final, NamedTuple

from bench.routing_strategies import STRATEGIES, Fixed, Obeying, World, run
from bench.routing_worlds import FAILING, SCENARIOS, Scenario, generated
from routing.policy.weights import PRESETS, Weights

REQUESTS: Final = 2000
REPORTED_ON: Final = tuple(range(11, 17))
TUNING: Final = tuple(range(1, 31))
JUDGING: Final = tuple(range(1001, 1031))
WITHIN: Final = 1.02
REALISABLE: Final = ("ours", "random", "price", "latency")
COLUMNS: Final = ("oracle", "fixed", "obeying", *REALISABLE)
ALL: Final = (*REALISABLE, "fixed")
Losses = dict[str, list[float]]  # by strategy, one for each seed

SETS: Final[dict[str, str]] = {
    "named": "Scenarios by name:",
    "failing": "A fast provider that fails from time to time:",
    "tuning": "Random scenarios that were looked at while the policy was made:",
    "judging": "Random scenarios that nothing was chosen by:",
}


def scenarios(name: str) -> Mapping[str, Scenario]:
    if name == "named":
        return SCENARIOS
    if name == "failing":
        return FAILING
    return {f"random {seed}": generated(seed) for seed in (TUNING if name == "tuning" else JUDGING)}


def compare(world: World, weights: Weights, seeds: Sequence[int]) -> Losses:
    losses = {
        name: [run(world, kind(world, weights, random.Random(f"{name} {seed}")), seed) for seed in seeds]
        for name, kind in STRATEGIES.items()
    }
    losses["fixed"] = _best_fixed(Fixed, world, weights, seeds)
    losses["obeying"] = _best_fixed(Obeying, world, weights, seeds)
    return losses


def _best_fixed(kind: type[Fixed], world: World, weights: Weights, seeds: Sequence[int]) -> list[float]:
    found = []
    for first in range(len(world.states[0])):
        losses = []
        for seed in seeds:
            strategy = kind(world, weights, random.Random(0))
            strategy.first = first
            losses.append(run(world, strategy, seed))
        found.append(losses)
    return min(found, key=sum)


class Row(NamedTuple):
    scenario: str
    preset: str
    losses: Losses

    def mean(self, name: str) -> float:
        losses = self.losses[name]
        return sum(losses) / len(losses)

    def best(self, names: Iterable[str]) -> str:
        """The strategy of these with the least loss; `ours` where it is."""
        return min(("ours", *names), key=self.mean)

    def ratio(self, names: Iterable[str] = REALISABLE, name: str = "ours") -> float:
        """A strategy's loss as a multiple of the least of these strategies' and our own."""
        return self.mean(name) / self.mean(self.best(names))

    def error(self) -> float:
        """The standard error of the first verdict's ratio, as far as the seeds tell."""
        ours, best = self.losses["ours"], self.losses[self.best(REALISABLE)]
        count, ratio, mean = len(ours), self.ratio(), sum(best) / len(best)
        if count < 2:
            return 0.0
        off = [one - ratio * other for one, other in zip(ours, best, strict=True)]
        return sqrt(sum(value * value for value in off) / (count - 1) / count) / mean

    def line(self) -> str:
        figures = "".join(f"{self.mean(one):9.4f}" for one in COLUMNS)
        ours = self.mean("ours")
        regrets = f"{ours - self.mean('oracle'):12.4f}{ours - self.mean('fixed'):10.4f}"
        verdicts = f"{_verdict(self.ratio()):>11}{100 * self.error():8.2f}{_verdict(self.ratio(ALL)):>11}"
        return f"{self.scenario:14}{self.preset:10}{figures}{regrets}{verdicts}"


def _verdict(ratio: float) -> str:
    return "yes" if ratio <= WITHIN else f"NO {ratio:.3f}"


def summary(rows: Sequence[Row]) -> str:
    """How many rows hold, by both measures and for each strategy, and which rows don't."""
    real = [row for row in rows if row.ratio() <= WITHIN]
    every = [row for row in rows if row.ratio(ALL) <= WITHIN]
    lines = [
        f"{len(real)} of {len(rows)} within 2 % of the best strategy that could be run.",
        f"{len(every)} of {len(rows)} within 2 % of the best where the fixed choice counts, too.",
        "Ratios to the best that could be run (mean, worst, rows within 2 %):",
        f"  {'':10}" + "".join(f"{name:>22}" for name in REALISABLE),
    ]
    for preset in (*PRESETS, ""):
        of = [row for row in rows if preset in ("", row.preset)]
        if of:
            lines.append(f"  {preset or 'all':10}" + "".join(f"{_ratios(of, name):>22}" for name in REALISABLE))
    for row in rows:
        if row not in real:
            behind = row.best(REALISABLE)
            lines.append(f"  {row.scenario}, {row.preset}: {row.ratio() - 1:.1%} behind {behind}")
        elif row not in every:
            lines.append(f"  {row.scenario}, {row.preset}: {row.ratio(ALL) - 1:.1%} behind fixed; {_why(row)}")
    return "\n".join(lines)


def _ratios(rows: Sequence[Row], name: str) -> str:
    ratios = [row.ratio(name=name) for row in rows]
    within = sum(ratio <= WITHIN for ratio in ratios)
    return f"{sum(ratios) / len(ratios):7.3f} {max(ratios):6.3f} {within:3}/{len(ratios):3}"


def _why(row: Row) -> str:
    if row.ratio((*REALISABLE, "obeying")) <= WITHIN:
        return "within 2 % of it where it obeys Retry-After"
    nearest = min(row.mean(name) for name in REALISABLE) / row.mean("fixed") - 1
    return f"the best that could be run differs from it by {nearest:+.1%}"


HEAD: Final = (
    f"{'scenario':14}{'preset':10}"
    + "".join(f"{name:>9}" for name in COLUMNS)
    + f"{'vs oracle':>12}{'vs fixed':>10}{'realisable':>11}{'+- %':>8}{'and fixed':>11}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seeds", default=",".join(map(str, REPORTED_ON)))
    parser.add_argument("--scenario", default="")
    parser.add_argument("--sets", default="named,failing,judging", help=", ".join(SETS))
    asked = parser.parse_args()
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    print("Mean loss per request (0 is the best that any provider has at any time); regret is ours less the other's.")
    print(
        "Within 2 % of the best: of those that could be run, and the standard error of that ratio; of those and fixed."
    )
    for name in asked.sets.split(","):
        print(f"\n{SETS[name]}\n{HEAD}")
        rows = []
        for scenario, what in scenarios(name).items():
            if asked.scenario not in ("", scenario):
                continue
            world = World(what, asked.requests)
            for preset, weights in PRESETS.items():
                rows.append(Row(scenario, preset, compare(world, weights, seeds)))
                print(rows[-1].line(), flush=True)
        print("\n" + summary(rows))


if __name__ == "__main__":
    main()
