"""uvicorn's HTTP/1.1 protocol with a third of its work: for `uvicorn --http routerone.http_protocol:LeanProtocol`.

The parser, connections, shutdown, pipelining and upgrades are uvicorn's own. What is done once per request is new:
the head of an answer goes out in one write with the first piece of its body, headers are checked all at once and not by
two searches each, and a connection has one keep-alive timer instead of one per request. uvicorn's access log, its
`--limit-concurrency` and `--root-path` do not exist here.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Iterable
from typing import Any, cast

import httptools
from uvicorn._types import ASGIVersions
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_ASGI: ASGIVersions = {"version": "3.0", "spec_version": "2.3"}
_NO_BODY = frozenset((204, 304))
# As most clients write them, and in lower case.
_KNOWN_NAMES = {
    written: name
    for name in (
        *(b"host", b"authorization", b"content-type", b"content-length", b"accept", b"accept-encoding", b"user-agent"),
        *(b"connection", b"x-api-key", b"anthropic-version"),
    )
    for written in (name, b"-".join(part.capitalize() for part in name.split(b"-")))
}
_Headers = Iterable[tuple[bytes, bytes]]


class LeanProtocol(HttpToolsProtocol):
    """One connection. `cycle` is the request that came last."""

    _is_idle = False  # between two requests
    _idle_since = 0.0
    _upgrades = False

    def data_received(self, data: bytes) -> None:
        self._is_idle = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        for cycle, _ in self.pipeline:
            cycle.disconnected = True

    # What the parser calls

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        name = _KNOWN_NAMES.get(name) or name.lower()
        self.headers.append((name, value))
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    def on_headers_complete(self) -> None:
        parser = self.parser
        version = parser.get_http_version()
        raw_path, query = _split(self.url)
        path = raw_path.decode("ascii")
        extensions: Any = {}
        self.scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": urllib.parse.unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self.headers,
            "state": self.app_state,
            "extensions": extensions,
        }
        self._upgrades = parser.should_upgrade() and self._should_upgrade()
        if self._upgrades:
            return
        before = self.cycle
        self.cycle = cycle = LeanCycle(self, version != "1.0" and parser.should_keep_alive())
        extensions["routerone.write_at_once"] = cycle.write_at_once
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = cast(LeanCycle, self.cycle)
        if self._upgrades or cycle.response_complete:
            return
        cycle.take(body)

    def on_message_complete(self) -> None:
        cycle = cast(LeanCycle, self.cycle)
        if self._upgrades or cycle.response_complete:
            return
        cycle.more_body = False
        cycle.message_event.set()

    # What the cycle calls

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        assert isinstance(cycle, LeanCycle)
        cycle.task = task = self.loop.create_task(cycle.run_asgi(app))
        self.tasks.add(task)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._is_idle = True
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def _look_after(self, delay_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was not used for so long; one that was is looked at again when it may be due."""
        self.timeout_keep_alive_task = None
        if not self._is_idle or self.transport.is_closing():
            return  # the answer that is being made sets the timer anew
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_after(left_s)
        else:
            self.transport.close()


class _Signal:
    """As much of an `asyncio.Event` as one waiter needs, and nothing to make where nobody waits."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiter is None or self._waiter.done():
            self._waiter = loop.create_future()
        await self._waiter


class LeanCycle(RequestResponseCycle):
    """One request and its answer."""

    task: asyncio.Task[None] | None = None

    def __init__(self, protocol: LeanProtocol, keep_alive: bool) -> None:
        self.protocol = protocol
        self.scope = protocol.scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.on_response = protocol.on_response_complete
        self._signal = self.message_event = _Signal()  # type: ignore[assignment]
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._head = b""
        self._left: int | None = None  # bytes of the body that are still to come; None: it goes out in chunks
        self._has_body = True
        self._is_told = False  # the application has the whole body of the request

    async def run_asgi(self, app: Any) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("Exception in ASGI application\n", exc_info=error)
            await self._give_up()
        else:
            if not (self.response_complete or self.disconnected):
                self.logger.error("ASGI callable returned without completing response.")
                await self._give_up()
        finally:
            self.on_response = _nothing
            self.protocol.tasks.discard(self.task)
            self.task = None

    async def _give_up(self) -> None:
        if self.response_started:
            self.transport.close()
        else:
            await self.send_500_response()

    def take(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)
        if self._size > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            self.message_event.set()

    async def receive(self) -> Any:
        """As much of the body as is there: all of it, or what fills the buffer. Then the client's leaving."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        while not (self._is_there() or self.disconnected or self.response_complete):
            self.flow.resume_reading()
            await self._signal.wait(self.protocol.loop)
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        pieces = self._pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = []
        self._size = 0
        if not self.more_body:
            self._is_told = True
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    def _is_there(self) -> bool:
        return self._size > HIGH_WATER_LIMIT or not (self.more_body or self._is_told)

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")
        elif kind != "http.response.body":
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
        else:
            self._write(message.get("body", b""), message.get("more_body", False))

    def write_at_once(self, body: bytes) -> bool:
        """A piece of a begun answer, from outside a coroutine; more follows. False where it would have to wait."""
        if self.disconnected:
            return True
        if self.flow.write_paused or not self.response_started or self.response_complete:
            return False
        self._write(body, True)
        return True

    def _begin(self, status: int, headers: _Headers) -> None:
        """Make the head; it goes out with the first piece of the body."""
        self.response_started = True
        self.waiting_for_100_continue = False
        headers = _lower(headers)
        defaults = self.protocol.server_state.default_headers
        framing = dict(headers)
        if defaults:
            framing |= defaults
        lines = [STATUS_LINE[status], _block_of_defaults(defaults), *[b"%b: %b\r\n" % header for header in headers]]
        count = len(headers) + len(defaults) + 2
        length = framing.get(b"content-length")
        left = None if length is None else int(length)
        closes = False
        if b"connection" in framing:
            closes = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
            self.keep_alive = self.keep_alive and not closes
        self._has_body = self.scope["method"] != "HEAD"
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
            count += 1
        if length is None and b"transfer-encoding" not in framing:
            if self._has_body and status not in _NO_BODY:
                lines.append(b"transfer-encoding: chunked\r\n")
                count += 1
            else:
                left = 0
        self._left = left if self._has_body else None
        lines.append(b"\r\n")
        head = b"".join(lines)
        # A line end within a value would begin a header of its own.
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            self.response_started = False
            raise RuntimeError("Invalid HTTP header.")
        self._head = head

    def _write(self, body: bytes, more: bool) -> None:
        left = self._left
        if not self._has_body:
            out = b""
        elif left is None:
            out = _chunked(body, more)
        else:
            out = body
            self._left = left = left - len(body)
            if left < 0:
                raise RuntimeError("Response content longer than Content-Length")
        if self._head:
            out, self._head = self._head + out, b""
        if out:
            self.transport.write(out)
        if more:
            return
        if left:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self._signal.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


_LOWER_NAMES: set[bytes] = set()  # applications use the same few
_MOST_NAMES = 512


def _lower(headers: _Headers) -> list[tuple[bytes, bytes]]:
    """With names in lower case."""
    listed = list(headers)
    names = [name for name, _ in listed]
    if _LOWER_NAMES.issuperset(names):
        return listed
    if any(name != name.lower() for name in names):
        return [(name.lower(), value) for name, value in listed]
    if len(_LOWER_NAMES) < _MOST_NAMES:
        _LOWER_NAMES.update(names)
    return listed


_defaults: tuple[_Headers, bytes] = ((), b"")


def _block_of_defaults(defaults: list[tuple[bytes, bytes]]) -> bytes:
    """The lines of the server's own headers, which are a new list once in a second."""
    global _defaults
    if _defaults[0] is not defaults:
        _defaults = (defaults, b"".join([b"%b: %b\r\n" % (name.lower(), value) for name, value in defaults]))
    return _defaults[1]


def _nothing() -> None:
    """The connection must not hear of an answer that nobody waits for."""


def _chunked(body: bytes, more: bool) -> bytes:
    ends = b"" if more else b"0\r\n\r\n"
    return b"%x\r\n%b\r\n%b" % (len(body), body, ends) if body else ends


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Path and query."""
    if url[:1] != b"/" or url[:2] == b"//" or b"#" in url:
        parsed = httptools.parse_url(url)
        return parsed.path or b"/", parsed.query or b""
    path, _, query = url.partition(b"?")
    return path, query
