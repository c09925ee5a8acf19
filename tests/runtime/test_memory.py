"""What a serving process gives back."""

from __future__ import annotations

import asyncio
import gc
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from routerone import memory
from routerone.memory import GROWN_BYTES, Trimmer


@pytest.fixture(autouse=True)
def own_collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


class Process:
    """Its size, and what a trim makes of it."""

    def __init__(self, size: int, after_trim: int) -> None:
        self.size = size
        self.after_trim = after_trim
        self.trims = 0

    def trim(self) -> None:
        self.trims += 1
        self.size = self.after_trim


def test_a_process_that_has_grown_is_trimmed() -> None:
    process = Process(100, 110)
    trimmer = Trimmer(lambda: process.size, process.trim)
    process.size = 100 + GROWN_BYTES
    trimmer.look()
    assert process.trims == 0
    process.size += 1
    trimmer.look()
    assert (process.trims, process.size) == (1, 110)


def test_what_was_in_use_during_one_look_is_given_back_after_the_next() -> None:
    process = Process(100, 100 + 3 * GROWN_BYTES)
    trimmer = Trimmer(lambda: process.size, process.trim)
    process.size = 100 + 4 * GROWN_BYTES
    trimmer.look()
    process.after_trim = 120
    trimmer.look()
    trimmer.look()
    assert (process.trims, process.size) == (2, 120)


async def test_a_server_that_has_started_stops_looking_at_what_is_loaded() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await memory.settling(send)({"type": "lifespan.startup.complete"})
    assert sent == [{"type": "lifespan.startup.complete"}]
    assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold()[0] > 700


async def test_the_look_comes_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LOOK_EVERY_S", 0.01)
    process = Process(100, 100)
    Trimmer(lambda: process.size, process.trim).start(asyncio.get_running_loop())
    process.size += 2 * GROWN_BYTES
    await asyncio.sleep(0.1)
    assert process.trims == 1


def test_trimming_does_no_harm_here() -> None:
    before = memory.resident_bytes()
    memory.trim()
    assert 0 < memory.resident_bytes() <= before + GROWN_BYTES


MAPS = """\
00400000-00a00000 r-xp 00000000 fe:00 123 /usr/bin/python3.11
00bfe000-01800000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f00005ff000 rw-p 00000000 00:00 0
7f0000600000-7f00007ff000 rw-p 00000000 00:00 0
7f0000800000-7f0000c00000 rw-p 00000000 fe:00 124 /usr/lib/some file.so
7f0000c00000-7f0001000000 rw-s 00000000 00:01 125 /dev/shm/shared
7f0001000000-7f0001400000 ---p 00000000 00:00 0
7ffc00000000-7ffc00800000 rw-p 00000000 00:00 0 [stack]
"""


def test_huge_pages_are_for_memory_of_our_own_that_has_room_for_them() -> None:
    assert list(memory._heap(MAPS)) == [(0xC00000, 0x1800000), (0x7F0000000000, 0x7F0000400000)]


def test_a_process_may_have_huge_pages() -> None:
    kept = bytearray(64 * 1024 * 1024)
    kept[::4096] = b"x" * (len(kept) // 4096)
    asked = memory.use_huge_pages()
    assert kept.count(b"x") == len(kept) // 4096
    if not memory._MAPS.exists():
        assert asked == 0
        pytest.skip("no /proc here")
    assert asked >= 60 * 1024 * 1024
    enabled = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not enabled.exists() or "[never]" in enabled.read_text():
        pytest.skip("this system has no huge pages")
    used = re.search(r"AnonHugePages: +(\d+) kB", Path("/proc/self/smaps_rollup").read_text())
    assert used is not None and int(used.group(1)) >= 40 * 1024
