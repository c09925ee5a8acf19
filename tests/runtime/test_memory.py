"""What a serving process gives back."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
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
