"""The transport of the hot path: HTTP/1.1 over pooled connections, parsed by httptools."""

from __future__ import annotations

import asyncio
import ssl

from gateway.upstream.answer import Answer
from gateway.upstream.client import UpstreamRequest
from gateway.upstream.http1 import Connection
from gateway.upstream.pool import Place, Pool
from gateway.upstream.proxies import Proxies
from gateway.upstream.target import PreparedTarget, Targets, encode_headers
from gateway.upstream.trouble import TransportFailure

_CROSSED_S = 1.0  # a close within this time of writing may have crossed the request on its way


class PooledClient:
    """Satisfies UpstreamClient. Belongs to the event loop that first used it."""

    def __init__(
        self,
        *,
        max_connections: int = 2000,
        max_per_origin: int = 1000,
        idle_s: float = 30.0,
        tick_s: float = 0.5,  # how exactly timeouts are kept
        tls: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
    ) -> None:
        self._targets = Targets()
        self._pool = Pool(
            most=max_connections,
            most_per_origin=max_per_origin,
            idle_s=idle_s,
            tick_s=tick_s,
            tls=tls,
            proxies=proxies,
        )

    async def send(self, request: UpstreamRequest) -> Answer:
        target, extra = request.target, b""
        if target is None:
            target = self._targets.of(request.url, request.headers)
        elif request.headers:
            extra = encode_headers(request.headers)
        place = self._pool.place(target.origin)
        head = _head(target, place, len(request.body), extra)
        connection = self._pool.take_idle(place) or await self._take(place, request, fresh=False)
        if connection.used:
            sent_at = asyncio.get_running_loop().time()
            answer = await _ask(connection, head, request)
            if not _may_have_crossed(answer, sent_at):
                return _begun(answer)
            connection = await self._take(place, request, fresh=True)
        return _begun(await _ask(connection, head, request))

    async def close(self) -> None:
        self._pool.close()

    async def _take(self, place: Place, request: UpstreamRequest, *, fresh: bool) -> Connection:
        try:
            async with asyncio.timeout(request.connect_timeout_s):
                return await self._pool.take(place, fresh=fresh)
        except TimeoutError:
            raise TransportFailure("connect_timeout") from None
        except OSError:  # TLS and the resolver included
            raise TransportFailure("connect_failed") from None


def _head(target: PreparedTarget, place: Place, length: int, extra: bytes) -> bytes:
    if place.proxy is not None and target.origin.scheme == "http":
        return b"%b%d\r\n%b%b\r\n" % (target.proxied_head, length, place.proxy.authorization, extra)
    return b"%b%d\r\n%b\r\n" % (target.head, length, extra)


async def _ask(connection: Connection, head: bytes, request: UpstreamRequest) -> Answer:
    """The answer, once its head is in or it failed."""
    stall_s = request.stall_timeout_s
    answer = connection.ask(head, request.body, request.read_timeout_s if stall_s is None else stall_s)
    try:
        await answer.wait(request.read_timeout_s)
    except BaseException:  # the caller is gone
        answer.drop()
        raise
    return answer


def _begun(answer: Answer) -> Answer:
    if answer.head_done:
        return answer
    raise TransportFailure(answer.failure or "cut")


def _may_have_crossed(answer: Answer, sent_at: float) -> bool:
    """Whether a kept connection was probably being closed by the provider while we wrote to it.

    Then the request is sent once more, on a new connection. HTTP forbids that for a POST which may have been carried
    out, and httpx2 and urllib3 don't do it; here it is safe for the customer, who is charged from the one answer that
    is delivered. At worst the provider charges us twice, so it is done only where the close came at once and nothing
    was heard: a later close means that the provider had the request.
    """
    if answer.head_done or answer.heard or answer.failure != "cut":
        return False
    return asyncio.get_running_loop().time() - sent_at < _CROSSED_S
