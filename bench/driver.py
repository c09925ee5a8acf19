"""Sends requests over raw keep-alive connections and checks every reply.

A reply counts only if it is HTTP 200, reports usage, and, streamed, has its end marker and every chunk.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

from bench import scenarios
from bench.scenarios import Scenario

_TIMEOUT_S = 60.0
_CONTENT = re.compile(rb'"content": ?" ')  # the upstream's words begin with a space; the opening event has none
_COARSE_S = 0.002  # timers are no finer than a millisecond; the rest is waited out
_PAUSE_S = 0.02  # after a failure, so that a broken target does not spin


@dataclass(slots=True)
class Aim:
    """Where and as whom to ask."""

    url: str
    model: str
    headers: dict[str, str]


@dataclass(slots=True)
class Tally:
    """Latencies in seconds, of good replies only."""

    latencies: list[float] = field(default_factory=list)
    first_tokens: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    events: int = 0
    wall_s: float = 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request in flight."""

    def __init__(self) -> None:
        self.open = False
        self.closes = False
        self._waiting: asyncio.Future[str | None] | None = None
        self._reset(0.0)

    def _reset(self, started: float) -> None:
        self._started = started
        self._head = b""
        self._buffer = b""
        self._tail = b""
        self._state = "head"
        self._missing = 0
        self.status = 0
        self.events = 0
        self.first_token_s: float | None = None
        self.has_usage = self.has_end = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.open = True
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        self._finish(None if self._state == "until_close" else "connection lost")

    def send(self, data: bytes, started: float) -> asyncio.Future[str | None]:
        """Resolves to None, or to what went wrong on the wire."""
        self._reset(started)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._waiting

    def close(self) -> None:
        if self.open:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._state == "head":
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self._head[end + 4 :]
            self._read_head(self._head[:end].lower())
        if self._state == "length":
            self._missing -= len(data)
            self._payload(data)
            if self._missing <= 0:
                self._finish(None)
        elif self._state == "chunks":
            self._chunks(data)
        else:
            self._payload(data)

    def _read_head(self, head: bytes) -> None:
        self.status = int(head[9:12])
        self.closes = b"\r\nconnection: close" in head
        at = head.find(b"\r\ncontent-length:")
        if b"transfer-encoding: chunked" in head:
            self._state = "chunks"
        elif at >= 0:
            self._state = "length"
            self._missing = int(head[at + 17 :].split(b"\r\n", 1)[0])
        else:
            self._state = "until_close"

    def _chunks(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, parts, ended = 0, [], False
        while (line := buffer.find(b"\r\n", at)) >= 0:
            size = int(buffer[at:line].split(b";")[0], 16)
            after = line + 2 + size + 2
            if len(buffer) < after:
                break
            if size == 0:
                ended = True
                break
            parts.append(buffer[line + 2 : line + 2 + size])
            at = after
        self._buffer = buffer[at:]
        if parts:
            self._payload(b"".join(parts))
        if ended:
            self._finish(None)

    def _payload(self, data: bytes) -> None:
        seen = self._tail + data
        if self.first_token_s is None and _CONTENT.search(seen):
            self.first_token_s = time.perf_counter() - self._started
        # The tail is counted again with what follows, so take off what it held.
        self.events += seen.count(b"data: ") - self._tail.count(b"data: ")
        self.has_end = self.has_end or b"data: [DONE]" in seen
        self.has_usage = self.has_usage or b'"completion_tokens"' in seen
        self._tail = seen[-24:]

    def _finish(self, failure: str | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(failure)


def request_bytes(aim: Aim, scenario: Scenario) -> bytes:
    url = urlsplit(aim.url)
    body = scenarios.body(scenario, aim.model)
    headers = {"Host": url.netloc, "Content-Type": "application/json", "Accept": "*/*", "User-Agent": "bench"}
    headers |= aim.headers | {"Content-Length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {url.path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Drive:
    """One target given one kind of work for a while."""

    def __init__(self, aim: Aim, scenario: Scenario) -> None:
        url = urlsplit(aim.url)
        assert url.hostname and url.port
        self._address = (url.hostname, url.port)
        self._scenario = scenario
        self._data = request_bytes(aim, scenario)
        self._idle: list[Connection] = []
        self.tally = Tally()

    async def run(self, seconds: float, limit: int | None = None) -> Tally:
        """Until the time is up or `limit` requests were sent; what is in flight then still ends."""
        began = time.perf_counter()
        if self._scenario.rate:
            await self._open_loop(began, seconds)
        else:
            left = iter(range(limit)) if limit is not None else iter(int, 1)
            await asyncio.gather(*(self._worker(began + seconds, left) for _ in range(self._scenario.concurrency)))
        self.tally.wall_s = time.perf_counter() - began
        for connection in self._idle:
            connection.close()
        return self.tally

    async def _worker(self, stop: float, left: Iterator[int]) -> None:
        for _ in left:
            if time.perf_counter() >= stop:
                return
            if not await self._one(time.perf_counter()):
                await asyncio.sleep(_PAUSE_S)

    async def _open_loop(self, began: float, seconds: float) -> None:
        """Each request's time counts from when it was due, so that a slow target cannot slow the load."""
        tasks: set[asyncio.Task[bool]] = set()
        chance = random.Random(40)  # the same moments for every target
        for number in range(int(seconds * self._scenario.rate)):
            # Not exactly even, or all would fall on the same fraction of the timers' milliseconds.
            due = began + (number + chance.random() * 0.2) / self._scenario.rate
            while (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait - _COARSE_S if wait > _COARSE_S else 0)
            tasks.add(asyncio.ensure_future(self._one(due)))
        await asyncio.gather(*tasks)

    async def _one(self, started: float) -> bool:
        try:
            connection = await self._connection()
        except OSError:
            self.tally.failures["no connection"] += 1
            return False
        try:
            failure = await asyncio.wait_for(connection.send(self._data, started), _TIMEOUT_S)
        except TimeoutError:
            failure = "timeout"
        took = time.perf_counter() - started
        failure = failure or self._judge(connection)
        if failure:
            self.tally.failures[failure] += 1
            connection.close()
            return False
        self.tally.latencies.append(took)
        self.tally.first_tokens.append(connection.first_token_s or took)
        self.tally.events += connection.events
        if connection.closes or not connection.open:
            connection.close()
        else:
            self._idle.append(connection)
        return True

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        _, fresh = await asyncio.get_running_loop().create_connection(Connection, *self._address)
        return fresh

    def _judge(self, reply: Connection) -> str | None:
        if reply.status != 200:
            return f"HTTP {reply.status}"
        if not reply.has_usage:
            return "no usage in the reply"
        if self._scenario.chunks and not reply.has_end:
            return "stream without its end"
        if self._scenario.chunks and reply.events <= self._scenario.chunks:
            return "chunks missing"
        return None


def drive(aim: Aim, scenario: Scenario, seconds: float, limit: int | None = None) -> Tally:
    return uvloop.run(Drive(aim, scenario).run(seconds, limit))
