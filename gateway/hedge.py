"""A second attempt beside a slow first one; the sooner answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Outcome(NamedTuple):
    """Which of the two answered (0 or 1), and what became of the other: its failure, or None where it was stopped or
    never began."""

    winner: int
    other_failed: Exception | None
    other_began: bool


async def race(
    first: Coroutine[Any, Any, T], after_s: float, second: Callable[[], Coroutine[Any, Any, T] | None]
) -> tuple[T, Outcome]:
    """The result of whichever answers first. `second` is asked for after `after_s`, and may have nothing.

    Where one fails the other decides; where both fail the first's failure is raised, the second's as its cause. Whoever
    is not needed is cancelled and waited for, also when the caller is.
    """
    tasks = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=after_s)
        spare = None if tasks[0].done() else second()
        if spare is None:
            return await tasks[0], Outcome(0, None, False)
        tasks.append(asyncio.ensure_future(spare))
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        done = [number for number, task in enumerate(tasks) if task.done()]
        good = [number for number in done if tasks[number].exception() is None]
        if not good:
            await asyncio.wait(tasks)
            good = [number for number, task in enumerate(tasks) if task.exception() is None]
        if not good:
            failures = [task.exception() for task in tasks]
            assert failures[0] is not None
            raise failures[0] from failures[1]
        winner = good[0]
        other = tasks[1 - winner]
        failed = other.exception() if other.done() else None
        return tasks[winner].result(), Outcome(winner, failed if isinstance(failed, Exception) else None, True)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
