"""What stops a request that waits, and what keeps its line alive meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gateway import guard as module
from gateway.config import GatewayConfig
from gateway.exchange import Exchange
from gateway.guard import Guard

CONFIG = GatewayConfig(
    public_url="http://localhost",
    max_body_bytes=1,
    max_request_s=30.0,
    default_requests_per_minute=1,
    stall_timeout_s=30.0,
    keep_alive_s=30.0,
    read_on_s=30.0,
)


class Line:
    """The part of a client's request that the guard looks at."""

    def __init__(self) -> None:
        self.on_left: Callable[[], None] | None = None
        self.watcher: object | None = None
        self.writes = 0
        self.left = False

    def watch(self) -> None:
        self.watcher = object()

    def leave(self) -> None:
        self.left = True
        if self.on_left is not None:
            self.on_left()


class Work:
    """A request under guard that waits for ever, and how it ended."""

    def __init__(self, **config: float) -> None:
        self.line = Line()
        self.exchange = Exchange("openai_chat")
        self.config = replace(CONFIG, **config)  # type: ignore[arg-type]
        self.guard: Guard
        self.reason: str | None = None
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        self.guard = Guard(self.line, self.exchange, self.config)  # type: ignore[arg-type]
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            self.reason = self.guard.stopped()
            if not self.reason:
                raise
        finally:
            self.guard.close()

    async def ended(self, within_s: float = 2.0) -> str:
        await asyncio.wait_for(asyncio.shield(self.task), within_s)
        assert self.reason is not None
        return self.reason

    async def goes_on(self, for_s: float = 0.15) -> None:
        await asyncio.wait({self.task}, timeout=for_s)
        assert not self.task.done()


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.02)


async def test_a_request_stops_at_its_deadline() -> None:
    assert await Work(max_request_s=0.05).ended() == "deadline"


async def test_a_deadline_that_passed_while_the_process_stood_still_is_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = Work(max_request_s=60.0)
    await work.goes_on(0.03)
    work.exchange.started = time.perf_counter() - 61.0
    assert await work.ended() == "deadline"


async def test_a_client_that_leaves_stops_the_work() -> None:
    work = Work()
    await work.goes_on(0.05)
    work.line.leave()
    assert await work.ended() == "left"
    assert not work.exchange.client_left, "whoever stopped the work decides what that means"


async def test_where_the_provider_bills_on_it_is_read_on_for_a_bounded_time() -> None:
    work = Work(read_on_s=0.2)
    await work.goes_on(0.05)
    work.guard.reads_on = lambda: True
    work.line.leave()
    await work.goes_on(0.1)
    assert work.exchange.client_left
    assert await work.ended() == "left"


async def test_a_silent_stream_is_a_stall_and_each_chunk_starts_it_anew() -> None:
    work = Work(stall_timeout_s=0.15)
    await work.goes_on(0.2)  # before the stream has begun silence is no stall
    work.guard.stream_begins()
    for _ in range(6):
        work.guard.chunks += 1
        await work.goes_on(0.05)
    assert await work.ended() == "stalled"


async def test_after_the_finish_the_usage_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_FINISH_S", 0.1)
    work = Work()
    await work.goes_on(0.15)
    work.guard.chunks += 1
    work.guard.finished = True
    assert await work.ended() == "after_finish"


async def test_a_request_that_is_sent_again_stops() -> None:
    work = Work()
    await work.goes_on(0.03)
    work.guard.supersede()
    assert await work.ended() == "left"


async def test_only_the_first_reason_counts() -> None:
    work = Work(max_request_s=0.05)
    await work.goes_on(0.02)
    work.guard.supersede()
    await asyncio.sleep(0.1)
    assert await work.ended() == "left"


async def test_once_closed_nothing_is_stopped_any_more() -> None:
    work = Work(max_request_s=0.1)
    await work.goes_on(0.03)
    work.guard.close()
    work.guard.supersede()
    work.line.leave()
    await work.goes_on(0.2)
    work.task.cancel()
    await asyncio.gather(work.task, return_exceptions=True)


async def test_the_servers_own_cancellation_is_not_ours() -> None:
    work = Work()
    await work.goes_on(0.03)
    work.task.cancel()
    await asyncio.gather(work.task, return_exceptions=True)
    assert work.task.cancelled()
    assert work.reason == ""


async def test_a_stopped_task_can_wait_again() -> None:
    """The cancellation is taken back: what follows, such as putting the end down, is not cut off."""
    waited = False

    async def walk() -> None:
        nonlocal waited
        guard = Guard(Line(), Exchange("openai_chat"), replace(CONFIG, max_request_s=0.05))  # type: ignore[arg-type]
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            assert guard.stopped() == "deadline"
        guard.close()
        async with asyncio.timeout(1):
            await asyncio.sleep(0.01)
        waited = True

    await asyncio.wait_for(walk(), 2)
    assert waited


async def test_signs_of_life_come_in_silence_only() -> None:
    work = Work(keep_alive_s=0.1)
    await work.goes_on(0.01)
    signs: list[float] = []

    async def sign() -> None:
        signs.append(time.monotonic())
        work.line.writes += 1

    work.guard.keep_alive = sign
    for _ in range(5):
        work.line.writes += 1
        await work.goes_on(0.04)
    assert not signs
    await work.goes_on(0.35)
    assert 2 <= len(signs) <= 4
    work.guard.supersede()
    await work.ended()


async def test_what_follows_waits_for_a_sign_that_is_being_written() -> None:
    work = Work(keep_alive_s=0.05)
    await work.goes_on(0.01)
    said: list[str] = []

    async def slow_sign(*_: Any) -> None:
        await asyncio.sleep(0.1)
        said.append("sign")

    work.guard.keep_alive = slow_sign
    await work.goes_on(0.09)
    await work.guard.quiet()
    said.append("answer")
    assert said == ["sign", "answer"]
    work.guard.supersede()
    await work.ended()
