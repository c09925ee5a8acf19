"""Looks after a request while it waits: the client that left, the deadline, the silence that needs a sign of life.

No task, and one timer per request that takes a moment: those that are answered at once share one timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Literal

from gateway.config import GatewayConfig
from gateway.exchange import Exchange
from gateway.request import ClientRequest

Reason = Literal["", "left", "deadline", "stalled", "after_finish", "first_token"]

_FIRST_LOOK_S = 0.05  # most failures and refusals are over by then
_LOOK_EVERY_S = 1.0
_AFTER_FINISH_S = 10.0  # usage comes right after the finish, or never


class _FirstLooks:
    """The guards of one event loop that were not looked at yet, in the order of time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: deque[tuple[float, Guard]] = deque()
        self._is_timed = False

    def add(self, guard: Guard, now: float) -> None:
        self._waiting.append((now + _FIRST_LOOK_S, guard))
        if not self._is_timed:
            self._is_timed = True
            self.loop.call_later(_FIRST_LOOK_S, self._look)

    def _look(self) -> None:
        waiting, now = self._waiting, self.loop.time()
        while waiting and waiting[0][0] <= now:
            guard = waiting.popleft()[1]
            if not guard.is_closed:
                guard.look()
        self._is_timed = bool(waiting)
        if waiting:
            self.loop.call_at(max(waiting[0][0], now + _FIRST_LOOK_S / 2), self._look)


_first_looks: _FirstLooks | None = None  # of the loop that ran last: a process has one


class Guard:
    """Stops the work of the task that made it by cancelling it; `reason` then says why."""

    __slots__ = (
        "_attempt_until",
        "_config",
        "_exchange",
        "_kept_alive_at",
        "_left_at",
        "_loop",
        "_request",
        "_seen_chunks",
        "_seen_chunks_at",
        "_seen_writes",
        "_sign",
        "_streams",
        "_task",
        "_timer",
        "chunks",
        "finished",
        "is_closed",
        "keep_alive",
        "reads_on",
        "reason",
    )

    def __init__(self, request: ClientRequest, exchange: Exchange, config: GatewayConfig) -> None:
        self._request = request
        self._exchange = exchange
        self._config = config
        self._loop = loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(loop)
        self.is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._kept_alive_at = self._seen_chunks_at = now = loop.time()
        self._seen_writes = 0
        self._seen_chunks = 0
        self._left_at = 0.0
        self._sign: asyncio.Task[None] | None = None
        self.chunks = 0  # counted by whoever reads the provider
        self._streams = False
        self._attempt_until = 0.0
        self.finished = False  # the provider has said its finish
        self.keep_alive: Callable[[], Awaitable[None]] | None = None
        self.reads_on: Callable[[], bool] | None = None
        self.reason: Reason = ""
        global _first_looks
        if _first_looks is None or _first_looks.loop is not loop:
            _first_looks = _FirstLooks(loop)
        _first_looks.add(self, now)

    def close(self) -> None:
        """The work is done: nothing is stopped any more."""
        if self.is_closed:
            return
        self.is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._request.on_left = None
        # Nothing should wait for the garbage collector, or for our first look.
        self.keep_alive = self.reads_on = None
        del self._request, self._exchange

    def stream_begins(self) -> None:
        """The provider has begun a stream: from now on a silence of it is a stall."""
        self._streams = True
        self._seen_chunks_at = self._loop.time()

    def stream_pauses(self) -> None:
        """The provider's stream broke off, and another provider is asked to go on."""
        self._streams = self.finished = False
        self.reason = ""
        self.reads_on = None

    def attempt_begins(self, limit_s: float) -> None:
        """An attempt that has brought no content after so long is stopped; 0: it may take its time."""
        self._attempt_until = self._loop.time() + limit_s if limit_s else 0.0

    def attempt_ends(self) -> None:
        self._attempt_until = 0.0

    def goes_on(self) -> None:
        """Only an attempt was stopped, not the work."""
        self.reason = ""

    async def quiet(self) -> None:
        """Wait for a sign of life that is just being written, so that what follows comes after it."""
        if self._sign is not None:
            await self._sign
            self._sign = None

    def stopped(self) -> Reason:
        """Called on CancelledError: why we stopped the work; "" where the server did. Takes the cancellation back."""
        if self.reason and self._task is not None:
            self._task.uncancel()
        return self.reason

    def supersede(self) -> None:
        """The client sent the same request again: this one stops."""
        self._stop("left")

    def _stop(self, reason: Reason) -> None:
        if not self.reason and not self.is_closed and self._task is not None:
            self.reason = reason
            self._task.cancel()

    def look(self) -> None:
        """Whatever is due; from now on regularly."""
        if self.is_closed:
            return
        if self._request.watcher is None:
            self._request.on_left = self._left
            self._request.watch()
        now = self._loop.time()
        config, remaining = self._config, self._config.max_request_s - self._exchange.elapsed_s()
        if self.chunks != self._seen_chunks:
            self._seen_chunks, self._seen_chunks_at = self.chunks, now
        silent = now - self._seen_chunks_at
        if remaining <= 0:
            self._stop("deadline")
        elif self._exchange.client_left and now - self._left_at >= config.read_on_s:
            self._stop("left")
        elif self.finished and silent >= _AFTER_FINISH_S:
            self._stop("after_finish")
        elif self._streams and silent >= config.stall_timeout_s:
            self._stop("stalled")
        elif self._attempt_until and now >= self._attempt_until:
            self._stop("first_token")
        self._show_life(now)
        beat = min(_LOOK_EVERY_S, config.keep_alive_s / 4, config.stall_timeout_s / 4, config.read_on_s / 2)
        self._timer = self._loop.call_later(max(0.01, min(beat, remaining)), self.look)

    def _show_life(self, now: float) -> None:
        if self._request.writes != self._seen_writes:
            self._seen_writes, self._kept_alive_at = self._request.writes, now
        if self.keep_alive is None or self.reason or now - self._kept_alive_at < self._config.keep_alive_s:
            return
        self._kept_alive_at = now
        if self._sign is None or self._sign.done():
            self._sign = self._loop.create_task(_sign(self.keep_alive))

    def _left(self) -> None:
        if self.is_closed:
            return
        if self.reads_on is not None and self.reads_on():
            self._exchange.client_left = True
            self._left_at = self._loop.time()
        else:
            self._stop("left")


async def _sign(keep_alive: Callable[[], Awaitable[None]]) -> None:
    await keep_alive()
