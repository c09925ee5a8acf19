"""A loopback proxy between one client and the gateway: passes bytes on unchanged and keeps them.

Counting here, before the gateway, also shows what the gateway's own log has no row for: a path that does not exist,
a refused key, a websocket. The client is told to use it as its proxy for everything else, and everything else is
refused and listed: a client under test has no business with other hosts.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

_HEAD_LIMIT = 1 << 20
_LEFT_OUT = (b"connection:", b"keep-alive:", b"proxy-connection:")


@dataclass
class Exchange:
    """One request and what came back for it, as bytes of HTTP/1.1. `began` is in seconds, monotonic."""

    method: str
    path: str
    request: bytes
    began: float
    response: bytearray = field(default_factory=bytearray)

    @property
    def status(self) -> int:
        """0 if no answer came."""
        words = bytes(self.response[:64]).split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1][:3].isdigit() else 0

    @property
    def streamed(self) -> bool:
        head = bytes(self.response).partition(b"\r\n\r\n")[0].lower()
        return b"content-type: text/event-stream" in head

    @property
    def line(self) -> str:
        return f"{self.method} {self.path} -> {self.status}"


class Witness:
    """Listens on a port of its own while it is open; `exchanges` are in the order in which they began."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self.exchanges: list[Exchange] = []
        self.strangers: list[str] = []

    async def __aenter__(self) -> Witness:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def write_down(self, folder: Path) -> None:
        for number, exchange in enumerate(self.exchanges, 1):
            (folder / f"{number:02d}-request.http").write_bytes(exchange.request)
            (folder / f"{number:02d}-response.http").write_bytes(bytes(exchange.response))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection: the answer says `connection: close`, clients open another."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target = head.split(b" ", 2)[:2]
            if method == b"CONNECT" or not target.startswith(b"/"):
                self.strangers.append(f"{method.decode()} {target.decode()}")
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
                return
            body = await _body(head, reader)
            exchange = Exchange(method.decode(), target.decode(), head + body, time.monotonic())
            self.exchanges.append(exchange)
            await self._pass_on(exchange, _closing(head) + body, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a side has gone; the client's own end tells what that meant
        finally:
            writer.close()

    async def _pass_on(self, exchange: Exchange, request: bytes, client: asyncio.StreamWriter) -> None:
        answer, gateway = await asyncio.open_connection(*self._upstream)
        try:
            gateway.write(request)
            await gateway.drain()
            while piece := await answer.read(65536):
                exchange.response += piece
                client.write(piece)
                await client.drain()
        finally:
            gateway.close()


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    """The body as it stands on the wire, chunk sizes included."""
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if b"content-length" in headers:
        return await reader.readexactly(int(headers[b"content-length"]))
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return b""
    body = b""
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        body += line + await reader.readexactly(size + 2)
        if size == 0:
            return body


def _closing(head: bytes) -> bytes:
    """The head with `connection: close`, unless it asks for another protocol."""
    if b"\r\nupgrade:" in head.lower():
        return head
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(_LEFT_OUT)]
    return b"\r\n".join([*lines, b"connection: close", b"", b""])
