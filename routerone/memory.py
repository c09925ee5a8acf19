"""The memory of a process that serves requests: Python's search for cycles, the size of its pages, and what the C
library keeps for later."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# A request makes next to no cycles, and each look at the youngest objects costs as much as making hundreds of them.
_YOUNG, _MIDDLE, _OLD = 10_000, 20, 20

LOOK_EVERY_S = 10.0
GROWN_BYTES = 16 * 1024 * 1024
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MAPS = Path("/proc/self/maps")
_HUGE = 2 * 1024 * 1024
_MADV_COLLAPSE = 25  # of linux/mman.h


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
    use_huge_pages()


def use_huge_pages() -> int:
    """Put what is loaded into pages of 2 MB, where the system allows it; returns for how many bytes that was asked.

    A request touches hundreds of places all over the heap. With pages of 4 kB each of them is a look-up of its own in
    the page tables, in a virtual machine one through two sets of tables, and all of them anew after a moment without
    work. Needs Linux 6.1; it is a matter of speed alone, so nothing is said where it fails.
    """
    madvise = _c_function("madvise")
    if madvise is None or not _MAPS.exists():
        return 0
    done = 0
    for start, end in _heap(_MAPS.read_text()):
        # For what is there, and not for what is yet to come, of which small pages take less.
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), ctypes.c_int(_MADV_COLLAPSE))
        done += end - start
    return done


def _heap(maps: str) -> Iterator[tuple[int, int]]:
    """The whole huge pages within memory that is no file's and no stack, from the text of /proc/self/maps."""
    for line in maps.splitlines():
        place, access, *_, name = [*line.split(maxsplit=5), ""][:6]
        if access == "rw-p" and name in ("", "[heap]"):
            start, _, end = place.partition("-")
            first, last = -(-int(start, 16) // _HUGE) * _HUGE, int(end, 16) // _HUGE * _HUGE
            if first < last:
                yield first, last


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
    return _STATM.exists() and _c_function("malloc_trim") is not None


def resident_bytes() -> int:
    return int(_STATM.read_text().split()[1]) * _PAGE


def trim() -> None:
    gc.collect()  # cycles hold large bodies too
    give_back = _c_function("malloc_trim")
    if give_back is not None:
        give_back(0)


def _c_function(name: str) -> Any:
    """None where the C library has no such function: `malloc_trim` is glibc's own."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
