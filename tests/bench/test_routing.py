"""The benches of routing run, and say the same for the same seed."""

from __future__ import annotations

import random

import pytest

from bench import routing_sim, routing_step
from routing.policy.weights import PRESETS


@pytest.mark.parametrize("name", routing_sim.STRATEGIES)
def test_every_strategy_serves_and_the_same_seed_gives_the_same_loss(name: str) -> None:
    world, weights = routing_sim.World(routing_sim.SCENARIOS["outage"]), PRESETS["balanced"]

    def loss() -> float:
        strategy = routing_sim.STRATEGIES[name](world, weights, random.Random(2))
        return routing_sim.run(world, strategy, weights, 150, 1)

    assert 0 < loss() < 1
    assert loss() == loss()


@pytest.mark.parametrize("preset", PRESETS)
def test_ours_beats_drawing_lots_where_a_provider_flaps_and_nobody_beats_the_oracle(preset: str) -> None:
    losses = routing_sim.compare(
        routing_sim.World(routing_sim.SCENARIOS["flapping"]), PRESETS[preset], requests=600, seeds=(1,)
    )
    assert losses["ours"] < losses["random"]
    assert losses["oracle"] <= min(losses.values()) * 1.02  # it knows the state, not each draw


def test_a_row_is_judged_with_and_without_the_choice_that_was_known_only_afterwards() -> None:
    losses = {
        "ours": 0.10,
        "random": 0.2,
        "price": 0.2,
        "latency": 0.11,
        "fixed": 0.05,
        "obeying": 0.10,
        "oracle": 0.04,
    }
    row = routing_sim.Row("a scenario", "balanced", losses)
    assert (row.against(*routing_sim.REALISABLE), row.against(*routing_sim.ALL)) == (1.0, 2.0)
    told = routing_sim.summary([row])
    assert "1 of 1 within 2 % of the best strategy that could be run" in told
    assert "0 of 1 within 2 % of the best where the fixed choice counts" in told
    assert "100.0% behind fixed; within 2 % of it where it obeys Retry-After" in told


def test_what_a_decision_costs_is_measured_and_adds_up() -> None:
    step = routing_step.measure(3, rounds=2)
    assert 0 < step.alike.least <= step.alike.median
    assert step.alike.median < step.afresh.median
    assert step.alike.median * 0.9 < step.mean
