"""What only the pooled transport promises: how it keeps, shares and gives up connections."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.upstream.client import TransportFailure
from gateway.upstream.connect import open_socket
from gateway.upstream.pooled import PooledClient
from gateway.upstream.proxies import Proxies
from gateway.upstream.target import prepare
from gateway.upstream.transport import make_client
from tests.gateway.upstream.asking import HEADERS, ask, outcome
from tests.gateway.upstream.scripted import Line, chunked, keeps_answering, provider, says, whole


@pytest.fixture
async def impatient() -> AsyncIterator[PooledClient]:
    client = PooledClient(idle_s=0.2, tick_s=0.02, max_per_origin=2, proxies=Proxies({}))
    yield client
    await client.close()


async def test_an_idle_connection_is_closed_in_time_and_the_timer_ends_with_it(impatient: PooledClient) -> None:
    async with provider(keeps_answering(whole(b"ok"))) as known:
        assert await outcome(impatient, ask(known.url())) == (200, b"ok")
        await asyncio.sleep(0.1)
        assert known.open_now == 1
        await asyncio.sleep(0.3)
        assert known.open_now == 0
    assert impatient._pool._timer is None


async def test_the_connection_used_last_is_taken_first(impatient: PooledClient) -> None:
    async with provider(keeps_answering(whole(b"ok"))) as known:
        await asyncio.gather(*[outcome(impatient, ask(known.url())) for _ in range(2)])
        for _ in range(10):  # one is busy now and then; the other's time is up
            await outcome(impatient, ask(known.url()))
            await asyncio.sleep(0.04)
        assert (known.connections, known.open_now) == (2, 1)


async def test_one_host_cannot_have_all_connections(impatient: PooledClient) -> None:
    async with provider(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal")) as slow:
        held = [await impatient.send(ask(slow.url())) for _ in range(2)]
        request = ask(slow.url(), connect_timeout_s=0.1)
        assert await outcome(impatient, request) == ("send", "connect_timeout")
        async with provider(says(whole(b"ok"))) as other:
            assert await outcome(impatient, ask(other.url())) == (200, b"ok")
        for response in held:
            await response.close()


async def test_who_waits_gets_the_next_connection_in_order() -> None:
    client = PooledClient(max_connections=1, tick_s=0.02, proxies=Proxies({}))
    async with provider(keeps_answering(whole(b"ok"))) as known:
        order: list[int] = []

        async def one(number: int) -> None:
            await outcome(client, ask(known.url()))
            order.append(number)

        await asyncio.gather(*[one(number) for number in range(20)])
        assert order == list(range(20))
        assert known.connections == 1
    await client.close()


async def test_a_failed_connect_lets_the_next_one_try() -> None:
    client = PooledClient(max_connections=1, tick_s=0.02, proxies=Proxies({}))
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        results = await asyncio.gather(*[outcome(client, ask(url, connect_timeout_s=2.0)) for _ in range(20)])
        assert set(results) == {("send", "connect_failed")}
    assert client._pool._open == 0
    await client.close()


async def test_a_finished_stream_keeps_its_connection_when_only_the_end_is_missing(impatient: PooledClient) -> None:
    async def handler(line: Line) -> None:
        while True:
            await line.request()
            await line.send(chunked(b"data: [DONE]\n\n")[:-5])
            await asyncio.sleep(0.02)
            await line.send(b"0\r\n\r\n")

    async with provider(handler) as known:
        for _ in range(3):
            response = await impatient.send(ask(known.url()))
            assert await response.next_chunk() == b"data: [DONE]\n\n"
            await response.finish()
            await asyncio.sleep(0.05)
        assert known.connections == 1


async def test_a_stream_that_goes_on_after_its_end_is_stopped(impatient: PooledClient) -> None:
    async def handler(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await line.send(b"a\r\n0123456789\r\n")
            await asyncio.sleep(0.05)

    async with provider(handler) as known:
        response = await impatient.send(ask(known.url()))
        await response.finish()
        await asyncio.sleep(1.3)
        assert known.open_now == 0


async def test_closing_the_client_ends_everything() -> None:
    client = PooledClient(max_connections=1, tick_s=0.02, proxies=Proxies({}))
    async with provider(says(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal")) as known:
        response = await client.send(ask(known.url()))
        waiting = asyncio.ensure_future(outcome(client, ask(known.url())))
        await asyncio.sleep(0.02)
        await client.close()
        assert await waiting == ("send", "connect_failed")
        with pytest.raises(TransportFailure, match="cut"):
            await response.read_all(100)
        await asyncio.sleep(0.02)
        assert known.open_now == 0


async def test_nothing_is_counted_as_open_after_a_storm_of_cancellations() -> None:
    client = PooledClient(max_connections=7, tick_s=0.02, proxies=Proxies({}))
    chance = random.Random(3)
    async with provider(keeps_answering(chunked(*[b"x" * 100] * 20))) as one, provider(says(then="reset")) as other:

        async def call(url: str) -> None:
            task = asyncio.ensure_future(outcome(client, ask(url)))
            await asyncio.sleep(chance.random() * 0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        for _ in range(10):
            await asyncio.gather(*[call(chance.choice([one, other]).url()) for _ in range(50)])
        await asyncio.sleep(0.1)
        pool = client._pool
        idle = sum(len(place.idle) for place in pool._places.values())
        assert pool._open == len(pool._connections) == idle <= 7
        assert not pool._waiting
        await client.close()
        assert pool._open == 0
        await asyncio.sleep(0.05)
        assert (one.open_now, other.open_now) == (0, 0)


async def test_a_place_that_comes_to_somebody_who_just_left_goes_to_the_next() -> None:
    client = PooledClient(max_connections=1, tick_s=0.02, proxies=Proxies({}))
    for script in (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", whole(b"ok")):
        async with provider(says(script)) as known:
            first = await client.send(ask(known.url()))
            waiting = asyncio.ensure_future(outcome(client, ask(known.url(), body=b"left")))
            await asyncio.sleep(0.05)
            await first.close()  # passes the place on
            waiting.cancel()  # before its owner could hear of it
            await asyncio.gather(waiting, return_exceptions=True)
            last = await client.send(ask(known.url(), connect_timeout_s=0.5))
            await last.close()
            assert all(body != b"left" for _, body in known.requests)
    await client.close()


async def test_a_dead_address_does_not_keep_the_living_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(says(whole(b"ok"))) as known:
        loop = asyncio.get_running_loop()
        dead = ("192.0.2.1", 80)  # set aside for documentation: nobody answers there

        async def addresses(*_: object, **__: object) -> list[tuple]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, ("127.0.0.1", known.port))
            ]

        class Resolver:
            getaddrinfo = staticmethod(addresses)

            def __getattr__(self, name: str) -> object:
                return getattr(loop, name)

        monkeypatch.setattr("gateway.upstream.connect.asyncio.get_running_loop", Resolver)
        async with asyncio.timeout(2):
            sock = await open_socket("both.test", known.port)
        monkeypatch.undo()
        assert sock.getpeername()[1] == known.port
        sock.close()
        gc.collect()


def test_a_prepared_target_does_not_show_its_credential() -> None:
    assert "sk-test" not in repr(prepare("http://127.0.0.1/", HEADERS))
    assert "sk-test" not in repr(ask("http://127.0.0.1/", target=prepare("http://127.0.0.1/", HEADERS)))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999/", "http://me:secret@host/", "http://ho st/", "http://a.test/b\r\nx-evil: 1"]
)
def test_an_address_that_is_none_is_refused_when_it_is_prepared(url: str) -> None:
    with pytest.raises(TransportFailure, match="connect_failed"):
        prepare(url, {})


def test_how_a_body_is_framed_is_not_for_headers_to_say() -> None:
    head = prepare(
        "http://a.test/", {"Content-Length": "3", "Transfer-Encoding": "chunked", "Connection": "close"}
    ).head
    assert head == b"POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: "


async def test_the_setting_chooses() -> None:
    for name in ("pooled", "httpx"):
        await make_client(name).close()
    with pytest.raises(ValueError, match="UPSTREAM_TRANSPORT"):
        make_client("carrier pigeon")
