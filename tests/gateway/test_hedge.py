"""Of two attempts the sooner good one counts, and no one is left running."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.hedge import race


class Runner:
    """Answers, fails or hangs when told; remembers who ran to an end."""

    def __init__(self) -> None:
        self.gates = [asyncio.Event(), asyncio.Event()]
        self.fails = [False, False]
        self.ended: list[str] = []

    async def run(self, number: int) -> str:
        try:
            await self.gates[number].wait()
        except asyncio.CancelledError:
            self.ended.append(f"stopped {number}")
            raise
        self.ended.append(f"ended {number}")
        if self.fails[number]:
            raise LookupError(number)
        return f"answer {number}"

    def second(self) -> Coroutine[Any, Any, str]:
        return self.run(1)


async def test_a_quick_first_is_alone() -> None:
    runner = Runner()
    runner.gates[0].set()
    answer, outcome = await race(runner.run(0), 5, runner.second)
    assert (answer, outcome, runner.ended) == ("answer 0", (0, None, False), ["ended 0"])


async def test_where_there_is_no_second_the_first_is_waited_for() -> None:
    runner = Runner()
    asyncio.get_running_loop().call_later(0.05, runner.gates[0].set)
    answer, outcome = await race(runner.run(0), 0.01, lambda: None)
    assert (answer, outcome) == ("answer 0", (0, None, False))


@pytest.mark.parametrize("winner", [0, 1])
async def test_the_sooner_answer_counts_and_the_other_is_stopped(winner: int) -> None:
    runner = Runner()
    asyncio.get_running_loop().call_later(0.05, runner.gates[winner].set)
    answer, outcome = await race(runner.run(0), 0.01, runner.second)
    assert (answer, outcome) == (f"answer {winner}", (winner, None, True))
    assert runner.ended == [f"ended {winner}", f"stopped {1 - winner}"]


@pytest.mark.parametrize("loser", [0, 1])
async def test_where_one_fails_the_other_decides(loser: int) -> None:
    runner = Runner()
    runner.fails[loser] = True
    loop = asyncio.get_running_loop()
    loop.call_later(0.05, runner.gates[loser].set)
    loop.call_later(0.1, runner.gates[1 - loser].set)
    answer, outcome = await race(runner.run(0), 0.01, runner.second)
    assert answer == f"answer {1 - loser}"
    assert (outcome.winner, type(outcome.other_failed)) == (1 - loser, LookupError)


async def test_where_both_fail_the_firsts_failure_is_raised() -> None:
    runner = Runner()
    runner.fails = [True, True]
    for gate in runner.gates:
        asyncio.get_running_loop().call_later(0.05, gate.set)
    with pytest.raises(LookupError) as failed:
        await race(runner.run(0), 0.01, runner.second)
    assert failed.value.args == (0,)


async def test_a_caller_who_goes_stops_both() -> None:
    runner = Runner()
    racing = asyncio.create_task(race(runner.run(0), 0.01, runner.second))
    await asyncio.sleep(0.05)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert sorted(runner.ended) == ["stopped 0", "stopped 1"]
