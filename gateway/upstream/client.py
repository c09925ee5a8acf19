"""How bytes reach a provider and come back: a small protocol, and the adapter over httpx2.

A prebuilt request in; status, headers and an iterator of bytes out. Retries, failover and meaning live elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import httpx2

FailureClass = Literal["connect_failed", "connect_timeout", "first_byte_timeout", "stalled", "cut"]


class TransportFailure(Exception):
    """No answer, or an answer that broke off. Holds the class alone: the cause may name addresses."""

    def __init__(self, failure: FailureClass) -> None:
        super().__init__(failure)
        self.failure: FailureClass = failure


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    url: str
    headers: Mapping[str, str] = field(repr=False)  # holds the credential
    body: bytes = field(repr=False)
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 120.0


class UpstreamResponse(Protocol):
    status: int
    headers: Mapping[str, str]  # lower-case names

    def chunks(self) -> AsyncIterator[bytes]:
        """Decoded body bytes as they arrive. Raises TransportFailure."""
        ...

    async def close(self) -> None:
        """Stop the upstream. Safe at any time, and twice."""
        ...


class UpstreamClient(Protocol):
    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Returns once the status line and headers are in. Raises TransportFailure."""
        ...

    async def close(self) -> None: ...


class HttpxResponse:
    """An open httpx2 response."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except httpx2.ReadTimeout:
            raise TransportFailure("stalled") from None
        except (httpx2.TransportError, httpx2.DecodingError, httpx2.StreamError):
            raise TransportFailure("cut") from None

    async def close(self) -> None:
        await self._response.aclose()


class HttpxClient:
    """The reference adapter. One pool per process; never follows a redirect with a credential in hand."""

    def __init__(self, *, max_connections: int = 2000) -> None:
        limits = httpx2.Limits(max_connections=max_connections, max_keepalive_connections=200, keepalive_expiry=30)
        self._client = httpx2.AsyncClient(limits=limits, follow_redirects=False)

    async def send(self, request: UpstreamRequest) -> HttpxResponse:
        timeout = httpx2.Timeout(
            request.read_timeout_s, connect=request.connect_timeout_s, pool=request.connect_timeout_s
        )
        try:
            built = self._client.build_request(
                "POST", request.url, headers=dict(request.headers), content=request.body, timeout=timeout
            )
            return HttpxResponse(await self._client.send(built, stream=True))
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout):
            raise TransportFailure("connect_timeout") from None
        except (httpx2.ReadTimeout, httpx2.WriteTimeout):
            raise TransportFailure("first_byte_timeout") from None
        except (httpx2.ConnectError, httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise TransportFailure("connect_failed") from None
        except httpx2.TransportError:
            raise TransportFailure("cut") from None

    async def close(self) -> None:
        await self._client.aclose()
