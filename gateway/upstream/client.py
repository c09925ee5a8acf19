"""How bytes reach a provider and come back: a small protocol, and the adapter over httpx2.

A prebuilt request in; status, headers and an iterator of bytes out. Retries, failover and meaning live elsewhere.
`pooled.py` is the transport that is used; the adapter here is the reference it is compared with.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx2

from gateway.upstream.target import PreparedTarget
from gateway.upstream.trouble import FailureClass, Oversized, TransportFailure

__all__ = [
    "FailureClass",
    "HttpxClient",
    "Oversized",
    "TransportFailure",
    "UpstreamClient",
    "UpstreamRequest",
    "UpstreamResponse",
]


@dataclass(slots=True)
class UpstreamRequest:
    """A POST. With `target`, URL and constant headers are the target's, and `headers` come on top of them."""

    url: str
    headers: Mapping[str, str] = field(repr=False)  # holds the credential
    body: bytes = field(repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 120.0  # until status and headers are in
    stall_timeout_s: float | None = None  # between two pieces of the body; None for the same as read_timeout_s
    target: PreparedTarget | None = None


class UpstreamResponse(Protocol):
    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Lower-case names; a header that came more than once is joined by commas."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Decoded body bytes as they arrive. Raises TransportFailure."""
        ...

    async def next_chunk(self) -> bytes:
        """All decoded bytes that are there, waiting for some if none are; b"" at the end. Raises TransportFailure."""
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Give all that `next_chunk` would give to `take`, piece by piece as it arrives, from within the event loop's
        read where that is possible. False as soon as `take` returns False, True once the body is over. Raises
        TransportFailure, and what `take` raises."""
        ...

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body. Raises Oversized beyond `limit` decoded bytes, TransportFailure."""
        ...

    async def close(self) -> None:
        """Stop the upstream. Safe at any time, and twice."""
        ...

    async def finish(self) -> None:
        """Like close, for a caller who has seen the end: if only the closing bytes are missing, they get a moment to
        arrive, in the background, so that the connection can be used again."""
        ...


class UpstreamClient(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Returns once the status line and headers are in. Raises TransportFailure."""
        ...

    async def close(self) -> None: ...


class HttpxResponse:
    """An open httpx2 response."""

    __slots__ = ("_chunks", "_response", "headers", "status")

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self._chunks: AsyncIterator[bytes] | None = None
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        while chunk := await self.next_chunk():
            yield chunk

    async def next_chunk(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._response.aiter_bytes()
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        except httpx2.ReadTimeout:
            raise TransportFailure("stalled") from None
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.StreamError):
            raise TransportFailure("cut") from None
        return b""

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        while chunk := await self.next_chunk():
            if not take(chunk):
                return False
        return True

    async def read_all(self, limit: int) -> bytes:
        return await collect(self, limit)

    async def close(self) -> None:
        await self._response.aclose()

    async def finish(self) -> None:
        await self._response.aclose()


async def collect(response: UpstreamResponse, limit: int) -> bytes:
    """The rest of a body, chunk by chunk. Raises Oversized, TransportFailure."""
    parts = []
    size = 0
    while chunk := await response.next_chunk():
        size += len(chunk)
        if size > limit:
            raise Oversized
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


class HttpxClient:
    """The reference adapter. One pool per process; never follows a redirect with a credential in hand."""

    def __init__(self, *, max_connections: int = 2000) -> None:
        limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=200, keepalive_expiry=30)
        self._client = httpx2.AsyncClient(limits=limits, follow_redirects=False)

    async def send(self, request: UpstreamRequest) -> HttpxResponse:
        try:
            built = self._build(request)
            response = await self._client.send(built, stream=True)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise TransportFailure("connect_timeout") from None
        except (httpx2.ReadTimeout, httpx2.WriteTimeout):
            raise TransportFailure("first_byte_timeout") from None
        except (
            httpx2.ConnectError,
            httpx2.InvalidURL,
            httpx2.LocalProtocolError,  # a header that cannot be sent
            httpx2.ProxyError,
            httpx2.UnsupportedProtocol,
            UnicodeEncodeError,
        ):
            raise TransportFailure("connect_failed") from None
        except httpx2.TransportError:
            raise TransportFailure("cut") from None
        if request.stall_timeout_s is not None:
            built.extensions["timeout"]["read"] = request.stall_timeout_s  # looked at when the body is first read
        return HttpxResponse(response)

    def _build(self, request: UpstreamRequest) -> httpx2.Request:
        url, headers = request.url, request.headers
        if request.target is not None:
            url, headers = request.target.url, {**request.target.headers, **headers}
        timeout = httpx2.Timeout(
            request.read_timeout_s, connect=request.connect_timeout_s, pool=request.connect_timeout_s
        )
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        return self._client.build_request("POST", url, headers=encoded, content=request.body, timeout=timeout)

    async def close(self) -> None:
        await self._client.aclose()
