"""A provider that sends exactly the bytes a test wants, when it wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

Handler = Callable[["Line"], Awaitable[None]]


@dataclass
class Line:
    """One connection, as the provider sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int  # of connections, from 1
    server: Provider

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request. Raises IncompleteReadError when there is none."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        body = await self.reader.readexactly(length)
        self.server.requests.append((head, body))
        return head, body

    async def send(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for number, piece in enumerate(pieces):
            if number:
                await asyncio.sleep(pause_s)
            self.writer.write(piece)
            await self.writer.drain()

    def reset(self) -> None:
        """End with a RST instead of a FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


@dataclass
class Provider:
    port: int = 0
    scheme: str = "http"
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)

    def url(self, path: str = "/v1/chat", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def provider(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Provider]:
    """A server on 127.0.0.1; what still runs in it ends with the block."""
    running: set[asyncio.Task[None]] = set()
    known = Provider(scheme="https" if tls else "http")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        known.connections += 1
        known.open_now += 1
        known.most_open = max(known.most_open, known.open_now)
        try:
            await handler(Line(reader, writer, known.connections, known))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the client has gone, or the test is over
        finally:
            known.open_now -= 1
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, backlog=1024)
    known.port = server.sockets[0].getsockname()[1]
    try:
        yield known
    finally:
        server.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def says(*pieces: bytes, pause_s: float = 0.0, then: str = "stay") -> Handler:
    """A provider that answers its first request on a connection with these bytes, then stays, closes or resets."""

    async def handler(line: Line) -> None:
        await line.request()
        await line.send(*pieces, pause_s=pause_s)
        if then == "stay":
            await line.reader.read()
        elif then == "reset":
            await asyncio.sleep(0.05)  # so that what was sent has been read by then
            line.reset()

    return handler


def whole(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer with its length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, headers: tuple[bytes, ...] = (), trailer: bytes = b"") -> bytes:
    lines = [b"HTTP/1.1 200 OK", *headers, b"transfer-encoding: chunked"]
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body + b"0\r\n" + trailer + b"\r\n"


def keeps_answering(answer: bytes) -> Handler:
    async def handler(line: Line) -> None:
        while True:
            await line.request()
            await line.send(answer)

    return handler
