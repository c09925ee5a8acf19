"""One HTTP request and its answer over raw ASGI: headers, bounded body, who is still listening."""

from __future__ import annotations

import asyncio
import contextlib
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any

import zstandard

from gateway.errors import BadRequest, TooLarge

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
WRITE_AT_ONCE = "routerone.write_at_once"  # an extension of our own server: `LeanCycle.write_at_once`
_NO_EXTENSIONS: Mapping[str, Any] = {}
_ZSTD_PIECE = 1024
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_MOST_ZSTD_WINDOW = 8 * 1024 * 1024  # what every encoder keeps to unless told otherwise


class ClientLeft(Exception):
    """The client closed the connection before its body was complete."""


class ClientRequest:
    """What came in, and the only door to what goes out."""

    __slots__ = (
        "_receive",
        "_send",
        "_write_at_once",
        "headers",
        "is_read",
        "left",
        "method",
        "on_left",
        "path",
        "peer",
        "query",
        "started",
        "watcher",
        "writes",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._write_at_once: Callable[[bytes], bool] | None = scope.get("extensions", _NO_EXTENSIONS).get(WRITE_AT_ONCE)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get("query_string", b"")
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.peer: Sequence[object] | None = scope.get("client")
        self.is_read = False  # the body is complete: what is received from now on is the client's leaving
        self.left = False
        self.on_left: Callable[[], None] | None = None
        self.started = False  # the status line is out; from now on errors are in-band
        self.writes = 0
        self.watcher: asyncio.Task[None] | None = None

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1").strip()

    async def body(self, limit: int) -> bytes:
        """The whole body, decompressed. Raises TooLarge, BadRequest or ClientLeft."""
        declared = self.headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        message = await self._receive()
        if (
            message["type"] == "http.request"
            and not message.get("more_body")
            and len(message["body"]) <= limit
            and b"content-encoding" not in self.headers
        ):
            whole: bytes = message["body"]
            self.is_read = True
            return whole
        return await self._rest_of_body(message, limit)

    async def _rest_of_body(self, message: MutableMapping[str, Any], limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientLeft
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"The request body is larger than {limit} bytes.")
            chunks.append(chunk)
            if not message.get("more_body"):
                self.is_read = True
                return decompress(b"".join(chunks), self.header(b"content-encoding").lower(), limit)
            message = await self._receive()

    def watch(self) -> None:
        """Notice from now on when the client goes: sets `left`, calls `on_left`.

        Does nothing before the body has been read: it would be lost, and reading it notices by itself.
        """
        if self.watcher is None and self.is_read:
            self.watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        if self.on_left is not None:
            self.on_left()

    async def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool = True) -> None:
        if not self.left:
            self.writes += 1
            try:
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except OSError:  # the server may tell of a lost client by an error
                pass

    def write_at_once(self, data: bytes) -> bool:
        """As `write`, without waiting. False: nothing was written, for the client has to be waited for."""
        if self.left:
            return True
        if self._write_at_once is None or not self._write_at_once(data):
            return False
        self.writes += 1
        return True

    async def answer(self, status: int, body: bytes, headers: list[Header]) -> None:
        """A whole answer at once."""
        headers.append((b"content-length", b"%d" % len(body)))
        await self.start(status, headers)
        await self.write(b"" if self.method == "HEAD" else body, more=False)

    async def close(self) -> None:
        if self.watcher is not None:
            self.watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.watcher


def text_headers(request: ClientRequest) -> dict[str, str]:
    """The caller's headers as text, lower-case names."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """Undo gzip, deflate or zstd, never past `limit` bytes."""
    if encoding in ("", "identity"):
        return body
    if encoding == "zstd":
        plain = _unzstd(body, limit)
    elif encoding in ("gzip", "deflate"):
        plain = _inflate(body, encoding, limit)
    else:
        raise BadRequest(
            f"The content encoding is not supported: {encoding[:32]!r}. Use gzip, deflate, zstd or none.",
            code="unsupported_encoding",
        )
    if len(plain) > limit:
        raise TooLarge(f"The request body is larger than {limit} bytes once decompressed.")
    return plain


def _unzstd(body: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MOST_ZSTD_WINDOW).decompressobj()
    plain = bytearray()
    try:
        # In small pieces: a few bytes may say "128 kB of zeros", and the library has no bound of its own.
        for start in range(0, len(body), _ZSTD_PIECE):
            plain += decompressor.decompress(body[start : start + _ZSTD_PIECE])
            if decompressor.eof or len(plain) > limit:
                return bytes(plain)
    except zstandard.ZstdError:
        raise BadRequest("The body is not valid zstd.", code="invalid_encoding") from None
    raise BadRequest("The zstd body is cut short.", code="invalid_encoding")


def _inflate(body: bytes, encoding: str, limit: int) -> bytes:
    try:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip and zlib headers, told apart by zlib itself
        plain = inflater.decompress(body, limit + 1)
    except zlib.error:
        raise BadRequest(f"The body is not valid {encoding}.", code="invalid_encoding") from None
    if len(plain) <= limit and not inflater.eof:
        raise BadRequest(f"The {encoding} body is cut short.", code="invalid_encoding")
    return plain


def header_list(values: Mapping[str, str]) -> list[Header]:
    """Values may hold what a caller wrote (names of dropped fields): a line end would begin a header of its own."""
    return [
        (name.encode("latin-1"), _CONTROLS.sub("?", value).encode("latin-1", "replace"))
        for name, value in values.items()
    ]
