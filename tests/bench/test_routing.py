"""The benches of routing run, and say the same for the same seed."""

from __future__ import annotations

import random

import pytest

from bench import routing_sim
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
