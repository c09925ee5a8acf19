"""One connection to Redis, shared by everything a process does at the same time.

Commands of concurrent requests leave in one write per turn of the event loop; answers are matched in order. Nothing
here waits for Redis while it is away: commands fail at once, and the connection comes back in the background.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import hiredis
import structlog
from redis.asyncio.connection import parse_url

log = structlog.get_logger(__name__)

TIMEOUT_S = 1.0
IN_FLIGHT_MAX = 10_000
FIRST_BACKOFF_S = 0.05
LAST_BACKOFF_S = 1.0
TICKS_PER_TIMEOUT = 4

Argument = str | bytes | int | float
_pack: Callable[[tuple[Argument, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]
_MORE = object()  # the reader has no complete answer


class RedisAway(Exception):
    """Not connected, no answer in time, or too much waiting. A command that was sent may still have had its effect."""


class RedisRefused(Exception):
    """Redis answered with an error. `code` is its first word, such as "NOSCRIPT" or "OOM"."""

    @property
    def code(self) -> str:
        return str(self).partition(" ")[0]


class Script:
    """Lua text, known to Redis by its hash."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Many:
    """Collects the answers of several commands for one future."""

    __slots__ = ("answers", "future", "left")

    def __init__(self, future: asyncio.Future[list[Any]], left: int) -> None:
        self.future = future
        self.left = left
        self.answers: list[Any] = []


class _Connection(asyncio.Protocol):
    """One connection from its opening to its end; after a time-out it is dropped, later answers would be mismatched."""

    def __init__(self, timeout_s: float, in_flight_max: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._in_flight_max = in_flight_max
        self._reader: Any = hiredis.Reader(replyError=RedisRefused, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[Any] | _Many | None] = deque()
        self._out: list[bytes] = []
        self._answered = 0
        self._sent = 0  # as many answers as commands went out so far
        # Everything up to `_mark` had been asked at `_marked_at`; looked at by one timer, not one per command.
        self._mark = 0
        self._marked_at = self._loop.time()
        self._timer = self._loop.call_later(timeout_s / TICKS_PER_TIMEOUT, self._tick)
        self.lost: asyncio.Future[str] = self._loop.create_future()  # why

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop("closed by the server" if exc is None else type(exc).__name__)

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not _MORE:
                self._answered += 1
                asker = waiting.popleft()
                if type(asker) is _Many:
                    _collect(asker, reply)
                elif asker is not None and not asker.done():  # type: ignore[union-attr]
                    if type(reply) is RedisRefused:
                        asker.set_exception(reply)  # type: ignore[union-attr]
                    else:
                        asker.set_result(reply)  # type: ignore[union-attr]
        except (hiredis.HiredisError, IndexError):
            self.drop("not the Redis protocol")
        if self._answered >= self._sent and self._out:
            self._flush()

    def ask(self, command: tuple[Argument, ...]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue(_pack(command), future)
        return future

    def ask_many(self, commands: Sequence[Sequence[Argument]]) -> asyncio.Future[list[Any]]:
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        many = _Many(future, len(commands))
        packed = [_pack(command if type(command) is tuple else tuple(command)) for command in commands]
        if not packed:
            future.set_result([])
            return future
        self._queue(b"".join(packed), many, len(packed))
        return future

    def tell(self, command: tuple[Argument, ...]) -> None:
        """Nobody waits for the answer."""
        self._queue(_pack(command), None)

    def _queue(self, data: bytes, asker: asyncio.Future[Any] | _Many | None, count: int = 1) -> None:
        waiting, out = self._waiting, self._out
        if self._transport is None or self.lost.done():
            raise RedisAway("not connected")
        if len(waiting) + count > self._in_flight_max:
            raise RedisAway("too many commands wait for their answers")
        if not out and self._answered >= self._sent:
            self._loop.call_soon(self._flush)
        out.append(data)
        if count == 1:
            waiting.append(asker)
        else:
            waiting.extend([asker] * count)

    def flush_if_idle(self) -> None:
        if self._answered >= self._sent:
            self._flush()

    def _flush(self) -> None:
        """One write for all that waits. While its answers are due more is collected: the busier, the fewer writes."""
        out = self._out
        if self._transport is not None and out:
            self._sent = self._answered + len(self._waiting)
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _tick(self) -> None:
        """Also right for a process that stood still: event loops read what has come before they run timers."""
        now, every = self._loop.time(), self._timeout_s / TICKS_PER_TIMEOUT
        if self._answered >= self._mark:
            self._mark, self._marked_at = self._answered + len(self._waiting), now
        elif now - self._marked_at >= self._timeout_s:
            self.drop("no answer in time")
            return
        self._timer = self._loop.call_later(every, self._tick)

    def drop(self, why: str) -> None:
        """Every command that still waits fails with RedisAway."""
        if self.lost.done():
            return
        self.lost.set_result(why)
        self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        waiting = list(self._waiting)
        self._waiting.clear()
        self._out.clear()
        for asker in waiting:
            future = asker.future if isinstance(asker, _Many) else asker
            if future is not None and not future.done():
                future.set_exception(RedisAway(why))


def _collect(many: _Many, reply: Any) -> None:
    many.answers.append(reply)
    many.left -= 1
    if not many.left and not many.future.done():
        many.future.set_result(many.answers)


class RedisLink:
    """One per process and server; usable between `start` and `stop`, in one event loop.

    `scripts` are loaded whenever a connection is made, so that a command may name their hash.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        in_flight_max: int = IN_FLIGHT_MAX,
        scripts: Iterable[Script] = (),
    ) -> None:
        self._options: dict[str, Any] = dict(parse_url(url))
        self._timeout_s = timeout_s
        self._in_flight_max = in_flight_max
        self._scripts = list(scripts)
        self._callbacks: list[Callable[[], None]] = []
        self._connection: _Connection | None = None
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Never fails: without Redis it goes on trying."""
        self._task = asyncio.create_task(self._stay_connected())
        await self._tried.wait()

    async def stop(self) -> None:
        """What waits for an answer gets the usual time for it."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(TimeoutError, RedisAway, RedisRefused):
                await asyncio.wait_for(connection.ask(("PING",)), self._timeout_s)  # answered after all the others
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._task = self._connection = None
        if connection is not None:
            connection.drop("stopped")

    @property
    def is_up(self) -> bool:
        return self._connection is not None and not self._connection.lost.done()

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Called each time a connection has been made, the first one too, before any other command goes out."""
        self._callbacks.append(callback)

    def add_script(self, script: Script) -> None:
        self._scripts.append(script)
        if self.is_up:
            self.tell("SCRIPT", "LOAD", script.text)

    def call(self, *command: Argument) -> asyncio.Future[Any]:
        """The future of the answer; it fails with RedisAway or RedisRefused. Raises RedisAway at once while away."""
        if self._connection is None:
            raise RedisAway("not connected")
        return self._connection.ask(command)

    def call_many(self, commands: Sequence[Sequence[Argument]]) -> asyncio.Future[list[Any]]:
        """One answer per command, all in one write; a refused command has its RedisRefused there. Raises as `call`."""
        if self._connection is None:
            raise RedisAway("not connected")
        return self._connection.ask_many(commands)

    def tell(self, *command: Argument) -> None:
        """Send and look at no answer. Raises as `call`."""
        if self._connection is None:
            raise RedisAway("not connected")
        self._connection.tell(command)

    def flush(self) -> None:
        """Write what waits now, and not at the end of this turn, unless answers are still due."""
        if self._connection is not None:
            self._connection.flush_if_idle()

    async def run(self, script: Script, *rest: Argument) -> Any:
        """`rest` is the number of keys, the keys, the arguments. Raises RedisAway, RedisRefused."""
        try:
            return await self.call("EVALSHA", script.sha, *rest)
        except RedisRefused as refused:
            if refused.code != "NOSCRIPT":
                raise
        for known in self._scripts:  # all are gone, and others are named by their hash alone
            self.tell("SCRIPT", "LOAD", known.text)
        return await self.call("EVAL", script.text, *rest)

    async def _stay_connected(self) -> None:
        wait_s, told = FIRST_BACKOFF_S, False
        while True:
            try:
                connection = await self._connect()
            except (RedisAway, RedisRefused, OSError, TimeoutError) as error:
                if not told:  # once per absence
                    log.warning("redis_away", error=type(error).__name__)
                told = True
                self._tried.set()
                await asyncio.sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311  # spreads the processes
                wait_s = min(2 * wait_s, LAST_BACKOFF_S)
                continue
            self._connection = connection
            self._tried.set()
            self._tell_of_connection()
            wait_s, told = FIRST_BACKOFF_S, False
            log.warning("redis_lost", reason=await asyncio.shield(connection.lost))
            self._connection = None

    def _tell_of_connection(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception as error:  # one listener's trouble is not the connection's
                log.exception("redis_listener_failed", error=type(error).__name__)

    async def _connect(self) -> _Connection:
        """Connected, signed in, on the right database, with the scripts loaded, and answering."""
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                connection = await self._open()
                for answer in await connection.ask_many(self._greeting()):
                    if isinstance(answer, RedisRefused):
                        raise answer
        except BaseException:
            if connection is not None:
                connection.drop("not usable")
            raise
        return connection

    async def _open(self) -> _Connection:
        loop, options = asyncio.get_running_loop(), self._options

        def make() -> _Connection:
            return _Connection(self._timeout_s, self._in_flight_max)

        if path := options.get("path"):
            return (await loop.create_unix_connection(make, path))[1]
        host, port = options.get("host", "localhost"), int(options.get("port", 6379))
        return (await loop.create_connection(make, host, port, ssl=_tls(options)))[1]

    def _greeting(self) -> list[tuple[Argument, ...]]:
        options = self._options
        commands: list[tuple[Argument, ...]] = []
        if password := options.get("password"):
            username = options.get("username")
            commands.append(("AUTH", username, password) if username else ("AUTH", password))
        if db := int(options.get("db") or 0):
            commands.append(("SELECT", db))
        commands += [("SCRIPT", "LOAD", script.text) for script in self._scripts]
        commands.append(("PING",))
        return commands


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    """From the same options as redis-py has in its addresses."""
    if "SSL" not in getattr(options.get("connection_class"), "__name__", ""):
        return None
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    if str(options.get("ssl_check_hostname", "")).lower() in ("false", "0", "no"):
        context.check_hostname = False
    if str(options.get("ssl_cert_reqs", "")).lower() in ("none", "0"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    return context
