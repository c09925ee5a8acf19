"""Ending tasks that run for the life of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

_ASK_AGAIN_S = 0.5


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them and wait until each has ended.

    More than once where need be: a cancellation that meets a time-out inside a client library can get lost in it, and
    the task's loop would go on as if nothing had been.
    """
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=_ASK_AGAIN_S)
