from __future__ import annotations

import asyncio

from accounts.background import end_all


async def _loses_the_first_cancellation(lost: list[str]) -> None:
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if lost:
                raise
            lost.append("lost")


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    lost: list[str] = []
    task = asyncio.create_task(_loses_the_first_cancellation(lost))
    await asyncio.sleep(0)
    await asyncio.wait_for(end_all((task,)), 10)
    assert lost and task.cancelled()


async def test_there_may_be_nothing_to_end() -> None:
    await end_all(())
