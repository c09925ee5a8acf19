"""The memory of a process that serves requests: Python's search for cycles, and what the C library keeps for later."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A request makes next to no cycles, and each look at the youngest objects costs as much as making hundreds of them.
_YOUNG, _MIDDLE, _OLD = 10_000, 20, 20

LOOK_EVERY_S = 10.0
GROWN_BYTES = 32 * 1024 * 1024
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def settling(send: Send) -> Send:
    """`send` of a server's lifespan, which also settles the process down when it is ready."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete":
            settle_down()
            if can_trim():
                Trimmer(resident_bytes, trim).start(asyncio.get_running_loop())
        await send(message)

    return sent


def settle_down() -> None:
    """Call once when everything is loaded: that is never looked at again, and the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)


class Trimmer:
    """Gives memory back after a burst.

    Large bodies leave holes between what stays, which glibc keeps: 150 MB after a minute of prompts of 200 kB, all of
    it free. A trim takes some 10 ms, so it is done only where the process is larger than it was at its smallest.
    """

    def __init__(self, resident: Callable[[], int], trim: Callable[[], None]) -> None:
        self._resident = resident
        self._trim = trim
        self._floor = resident()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(LOOK_EVERY_S, self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self.look()
        self.start(loop)

    def look(self) -> None:
        if self._resident() > self._floor + GROWN_BYTES:
            self._trim()
        self._floor = min(self._floor, self._resident())


def can_trim() -> bool:
    """Linux with glibc."""
    return _STATM.exists() and _malloc_trim() is not None


def resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE


def trim() -> None:
    gc.collect()  # cycles hold large bodies too
    give_back = _malloc_trim()
    if give_back is not None:
        give_back(0)


def _malloc_trim() -> Any:
    """glibc's own; None with another C library."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
