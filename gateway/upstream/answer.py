"""One answer of a provider: filled by its connection, emptied by its caller."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from gateway.upstream.inflate import Inflate
from gateway.upstream.trouble import FailureClass, Oversized, TransportFailure

NEVER = float("inf")
_LINGER_S = 1.0


class Line(Protocol):
    """What an answer needs of its connection."""

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


class Answer:
    """Satisfies UpstreamResponse once `head_done`."""

    __slots__ = (
        "_headers",
        "_line",
        "_loop",
        "_stall_s",
        "_taker",
        "_trouble",
        "_waiter",
        "body_bytes",
        "buffer",
        "buffered",
        "complete",
        "deadline",
        "draining",
        "failure",
        "head_done",
        "heard",
        "inflate",
        "paused",
        "raw_headers",
        "status",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, line: Line, stall_s: float) -> None:
        self._loop = loop
        self._line: Line | None = line  # None once the connection is done with this answer
        self._stall_s = stall_s
        self._waiter: asyncio.Future[None] | None = None
        self._taker: Callable[[bytes], bool] | None = None
        self._trouble: Exception | None = None  # raised by the taker
        self._headers: dict[str, str] | None = None
        self.status = 0
        self.raw_headers: list[tuple[bytes, bytes]] = []
        self.buffer: list[bytes] = []
        self.buffered = 0
        self.body_bytes = 0
        self.heard = False  # at least one byte came
        self.head_done = False
        self.complete = False
        self.paused = False
        self.draining = False
        self.failure: FailureClass | None = None
        self.inflate: Inflate | None = None
        self.deadline = NEVER  # of the caller's present wait, by the loop's clock

    # What the connection calls

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    def arrived(self) -> None:
        """There is something in the buffer."""
        taker = self._taker
        if taker is None:
            self.wake()
            return
        try:
            goes_on = taker(self._take())
        except Exception as error:
            self._trouble, goes_on = error, False
        if goes_on:
            self.deadline = self._loop.time() + self._stall_s
        else:
            self._taker = None
            self.wake()

    def heard_more(self) -> None:
        """Bytes came, of which none are for the caller yet."""
        if self.head_done and self._waiter is not None:
            self.deadline = self._loop.time() + self._stall_s

    def end(self, failure: FailureClass | None = None) -> None:
        """The connection has no more to say."""
        self._line = None
        self.deadline = NEVER
        if failure is None:
            self.complete = True
        else:
            self.failure = failure
        self.wake()

    # What the caller calls

    async def wait(self, seconds: float) -> None:
        """Until something has changed. Time running out is a change too: the failure says so."""
        self._waiter = waiter = self._loop.create_future()
        self.deadline = self._loop.time() + seconds
        try:
            await waiter
        finally:
            self._waiter = None
            self.deadline = NEVER

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            self._headers = {}
            for raw_name, raw_value in self.raw_headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1").strip()
                known = self._headers.get(name)
                self._headers[name] = value if known is None else f"{known}, {value}"
        return self._headers

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.next_chunk():
            yield chunk

    async def next_chunk(self) -> bytes:
        while True:
            if chunk := self._at_hand():
                return chunk
            if self.failure is not None:
                raise TransportFailure(self.failure)
            if self.complete:
                return b""
            await self.wait(self._stall_s)

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        stopped = False

        def taker(chunk: bytes) -> bool:
            nonlocal stopped
            stopped = not take(chunk)
            return not stopped

        while True:
            chunk = self._at_hand()
            if chunk:
                if not take(chunk):
                    return False
                continue
            if self.failure is not None:
                raise TransportFailure(self.failure)
            if self.complete:
                return True
            if self.inflate is None:
                self._taker = taker
            try:
                await self.wait(self._stall_s)
            finally:
                self._taker = None
            if self._trouble is not None:
                raise self._trouble
            if stopped:
                return False

    async def read_all(self, limit: int) -> bytes:
        parts = []
        size = 0
        while chunk := await self.next_chunk():
            size += len(chunk)
            if size > limit:
                raise Oversized
            parts.append(chunk)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def close(self) -> None:
        self.drop()

    def drop(self) -> None:
        self.buffer.clear()
        self.inflate = None
        line = self._line
        if line is not None:
            self.end("cut")
            line.abort()

    async def finish(self) -> None:
        self.buffer.clear()
        self.inflate = None
        if self._line is not None and not self.draining:
            self.draining = True
            self.deadline = self._loop.time() + _LINGER_S
            self._resume()

    def _at_hand(self) -> bytes:
        if self.inflate is not None:
            return self._inflated(self.inflate)
        return self._take() if self.buffer else b""

    def _take(self) -> bytes:
        buffer = self.buffer
        chunk = buffer[0] if len(buffer) == 1 else b"".join(buffer)
        buffer.clear()
        self.buffered = 0
        if self.paused:
            self._resume()
        return chunk

    def _resume(self) -> None:
        if self.paused and self._line is not None:
            self.paused = False
            self._line.resume_reading()

    def _inflated(self, inflate: Inflate) -> bytes:
        """Some bytes, or b"" where more input is needed or the body is over. Raises TransportFailure."""
        try:
            while self.buffer or inflate.pending:
                chunk = inflate.feed(b"" if inflate.pending else self._take())
                if chunk:
                    return chunk
        except zlib.error:
            self.drop()
            raise TransportFailure("cut") from None
        if self.complete and not inflate.whole:
            raise TransportFailure("cut")
        return b""
