"""What a call to a provider costs in CPU, by transport, and how much of that is the event loop's own.

    python -m bench.transport            asyncio's figures too: --asyncio

The provider runs in a process of its own, so that its CPU is not counted. `bare` is the floor: a socket protocol that
writes the same bytes and counts the answer's, without reading HTTP, pooling or timeouts.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

from gateway.upstream.client import HttpxClient, UpstreamClient, UpstreamRequest
from gateway.upstream.pooled import PooledClient
from gateway.upstream.proxies import Proxies
from gateway.upstream.target import prepare

_HEADERS = {
    "content-type": "application/json",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "user-agent": "router-one",
    "authorization": "Bearer sk-" + "x" * 40,
}
_BODY = b'{"model":"m","messages":[{"role":"user","content":"' + b"word " * 60 + b'"}]}'
_ANSWER_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_123\r\n"
_PLAIN = _ANSWER_HEAD + b"content-length: 1000\r\n\r\n" + b"x" * 1000
_EVENT = b'data: {"choices":[{"delta":{"content":"word "}}]}\n\n'
_CHUNK = b"%x\r\n%b\r\n" % (len(_EVENT), _EVENT)
_CHUNKS = 200
_LAST = b"0\r\n\r\n"
_STREAM_HEAD = _ANSWER_HEAD + b"transfer-encoding: chunked\r\n\r\n"

Call = Callable[[], Awaitable[int]]


class _Provider(asyncio.Protocol):
    """Answers /plain at once, and /stream in one write per event."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if b"POST /plain" in data:  # a body may come in a packet of its own, or in front of the next head
            self._transport.write(_PLAIN)
        elif b"POST /stream" in data:
            asyncio.get_running_loop().call_soon(self._stream, 0)

    def _stream(self, number: int) -> None:
        """Four events per turn of the loop: a reader who keeps up sees many small pieces."""
        self._transport.write(_STREAM_HEAD * (number == 0) + _CHUNK * 4 + _LAST * (number + 4 >= _CHUNKS))
        if number + 4 < _CHUNKS:
            asyncio.get_running_loop().call_soon(self._stream, number + 4)


def _serve(pipe: Pipe) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()

    uvloop.run(main())


class _Bare(asyncio.Protocol):
    """The least that a call can cost on this event loop."""

    def __init__(self) -> None:
        self._left = 0
        self._end = b""
        self._done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def ask(self, request: bytes, end: bytes) -> int:
        self._done = asyncio.get_running_loop().create_future()
        self._end = end
        self._transport.write(request)
        return await self._done

    def data_received(self, data: bytes) -> None:
        if data.endswith(self._end) and self._done is not None:
            self._done.set_result(len(data))


def _through(client: UpstreamClient, url: str, *, prepared: bool, stream: bool) -> Call:
    target = prepare(url, _HEADERS) if prepared else None

    async def call() -> int:
        request = UpstreamRequest(url, {} if prepared else _HEADERS, _BODY, target=target)
        response = await client.send(request)
        length = 0
        if stream:
            while chunk := await response.next_chunk():
                length += len(chunk)
        else:
            length = len(await response.read_all(1_000_000))
        await response.close()
        return length

    return call


async def _bare(port: int, url: str, *, stream: bool) -> Call:
    target = prepare(url, _HEADERS)
    request = target.head + b"%d\r\n\r\n" % len(_BODY) + _BODY
    _, protocol = await asyncio.get_running_loop().create_connection(_Bare, "127.0.0.1", port)
    end = _LAST if stream else b"x"
    return lambda: protocol.ask(request, end)


async def _cost(calls: list[Call], count: int) -> float:
    """CPU microseconds per call, with as many calls at once as there are callers."""

    async def caller(call: Call) -> None:
        for _ in range(count // len(calls)):
            await call()

    await asyncio.gather(*[call() for call in calls])
    before = time.process_time()
    await asyncio.gather(*[caller(call) for call in calls])
    return (time.process_time() - before) / (count // len(calls) * len(calls)) * 1e6


async def _measure(port: int, rounds: int, at_once: int) -> None:
    pooled, httpx = PooledClient(proxies=Proxies({})), HttpxClient()
    for title, path, stream, count in (
        ("plain, 1 kB", "plain", False, 4000),
        ("stream, 200 events", "stream", True, 400),
    ):
        url = f"http://127.0.0.1:{port}/{path}"
        ways = {
            "bare": [await _bare(port, url, stream=stream) for _ in range(at_once)],
            "pooled, prepared": [_through(pooled, url, prepared=True, stream=stream)] * at_once,
            "pooled": [_through(pooled, url, prepared=False, stream=stream)] * at_once,
            "httpx": [_through(httpx, url, prepared=False, stream=stream)] * at_once,
        }
        costs: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, calls in ways.items():
                costs[name].append(await _cost(calls, count // 8 if name == "httpx" else count))
        print(f"  {title}")
        for name, each in costs.items():
            print(f"    {name:18} {statistics.median(each):8.1f} us   ({min(each):.1f} to {max(each):.1f})")
    await pooled.close()
    await httpx.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--asyncio", action="store_true", help="measure on asyncio's own event loop as well")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--at-once", type=int, default=16, help="calls in flight")
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    provider = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    provider.start()
    port = ours.recv()
    try:
        print("uvloop: CPU per call, median of rounds")
        uvloop.run(_measure(port, options.rounds, options.at_once))
        if options.asyncio:
            print("asyncio: CPU per call, median of rounds")
            asyncio.run(_measure(port, options.rounds, options.at_once))
    finally:
        provider.kill()


if __name__ == "__main__":
    main()
