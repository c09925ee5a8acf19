"""The benches of routing run, and say the same for the same seed."""

from __future__ import annotations

import random

import pytest

from bench import routing_sim, routing_step
from bench.routing_strategies import STRATEGIES, World, run
from bench.routing_worlds import FAILING, SCENARIOS, generated
from routing.policy.weights import PRESETS


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_serves_and_the_same_seed_gives_the_same_loss(name: str) -> None:
    world, weights = World(SCENARIOS["outage"], 150), PRESETS["balanced"]

    def loss() -> float:
        return run(world, STRATEGIES[name](world, weights, random.Random(2)), 1)

    assert 0 < loss() < 1
    assert loss() == loss()


def test_whoever_asks_the_same_provider_with_the_same_request_gets_the_same() -> None:
    world, other = World(SCENARIOS["steady"], 50), World(SCENARIOS["steady"], 50)
    assert world.attempts(3) == other.attempts(3) != world.attempts(4)
    of_one_request = world.attempts(3)[7]
    assert len({attempt.tokens for attempt in of_one_request if attempt.ok}) == 1


def test_random_scenarios_are_the_same_for_the_same_seed_and_judging_ones_are_not_those_of_tuning() -> None:
    one, again = World(generated(5), 200), World(generated(5), 200)
    assert one.states == again.states != World(generated(6), 200).states
    assert not set(routing_sim.TUNING) & set(routing_sim.JUDGING)
    assert len(routing_sim.scenarios("judging")) == 30


@pytest.mark.parametrize("preset", PRESETS)
def test_ours_beats_drawing_lots_where_a_provider_flaps_and_nobody_beats_the_oracle(preset: str) -> None:
    row = _row(routing_sim.compare(World(SCENARIOS["flapping"], 600), PRESETS[preset], (1, 2)))
    assert row.mean("ours") < row.mean("random")
    assert row.mean("oracle") <= min(row.mean(name) for name in row.losses) * 1.02  # it knows the state, not each draw


@pytest.mark.parametrize("scenario", ["flap10/50%", "flap240/50%", "half broken"])
def test_who_fails_in_part_is_still_asked_first_where_that_is_best(scenario: str) -> None:
    row = _row(routing_sim.compare(World(FAILING[scenario], 1000), PRESETS["fastest"], (1, 2)))
    assert row.ratio() < 1.05


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
    row = _row({name: [loss, loss] for name, loss in losses.items()})
    assert (row.ratio(), row.ratio(routing_sim.ALL), row.ratio(name="random"), row.error()) == (1.0, 2.0, 2.0, 0.0)
    told = routing_sim.summary([row])
    assert "1 of 1 within 2 % of the best strategy that could be run" in told
    assert "0 of 1 within 2 % of the best where the fixed choice counts" in told
    assert "100.0% behind fixed; within 2 % of it where it obeys Retry-After" in told


def test_the_standard_error_is_that_of_the_ratio_and_not_of_the_losses() -> None:
    """Seeds that are hard for both alike say nothing against the ratio."""
    alike = {name: [0.5, 0.7] for name in routing_sim.COLUMNS}
    assert _row({**alike, "ours": [0.2, 0.4], "latency": [0.1, 0.2]}).error() == pytest.approx(0.0, abs=1e-12)
    assert _row({**alike, "ours": [0.2, 0.4], "latency": [0.2, 0.1]}).error() > 0.5


def test_what_a_decision_costs_is_measured_and_adds_up() -> None:
    step = routing_step.measure(3, rounds=2)
    assert 0 < step.alike.least <= step.alike.median
    assert step.alike.median < step.afresh.median
    assert step.alike.median * 0.9 < step.mean


def _row(losses: routing_sim.Losses) -> routing_sim.Row:
    return routing_sim.Row("a scenario", "balanced", losses)
