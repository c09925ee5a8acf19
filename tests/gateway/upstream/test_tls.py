"""TLS: whom both transports trust, and whom not."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.gateway.upstream.asking import ask, outcome
from tests.gateway.upstream.certificates import Authority
from tests.gateway.upstream.conftest import MakeClient
from tests.gateway.upstream.scripted import Line, chunked, keeps_answering, provider, says, whole


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The authority is in the file that SSL_CERT_FILE names."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


async def test_a_trusted_provider_answers_on_one_connection(trusted: Authority, make_client: MakeClient) -> None:
    client = make_client()
    async with provider(keeps_answering(chunked(b"one", b"two")), trusted.server("localhost")) as known:
        for _ in range(3):
            assert await outcome(client, ask(known.url(host="localhost"))) == (200, b"onetwo")
        assert known.connections == 1


async def test_only_http_1_1_is_offered_and_the_host_is_named(trusted: Authority, make_client: MakeClient) -> None:
    seen: list[object] = []
    context = trusted.server("localhost")
    context.sni_callback = lambda ssl_object, name, _: seen.append(name)

    async def handler(line: Line) -> None:
        await line.request()
        seen.append(line.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await line.send(whole(b"ok"))

    async with provider(handler, context) as known:
        assert await outcome(make_client(), ask(known.url(host="localhost"))) == (200, b"ok")
    assert seen == ["localhost", "http/1.1"]


async def test_an_unknown_authority_is_not_trusted(
    authority: Authority, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Authority(tmp_path).file))
    async with provider(says(whole(b"ok")), authority.server("localhost")) as known:
        assert await outcome(make_client(), ask(known.url(host="localhost"))) == ("send", "connect_failed")
        assert known.requests == []


@pytest.mark.parametrize(("host", "expired"), [("elsewhere.test", False), ("localhost", True)])
async def test_the_wrong_host_and_an_old_certificate_are_not_trusted(
    trusted: Authority, make_client: MakeClient, host: str, expired: bool
) -> None:
    async with provider(says(whole(b"ok")), trusted.server(host, expired=expired)) as known:
        assert await outcome(make_client(), ask(known.url(host="localhost"))) == ("send", "connect_failed")
        assert known.requests == []


async def test_a_provider_that_speaks_no_tls(trusted: Authority, make_client: MakeClient) -> None:
    async def handler(line: Line) -> None:
        await line.reader.read(10)
        await line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with provider(handler) as known:
        known.scheme = "https"
        assert await outcome(make_client(), ask(known.url(host="localhost"))) == ("send", "connect_failed")


async def test_a_handshake_that_hangs(trusted: Authority, make_client: MakeClient) -> None:
    async def handler(line: Line) -> None:
        await line.reader.read()

    async with provider(handler) as known:
        known.scheme = "https"
        request = ask(known.url(host="localhost"), connect_timeout_s=0.3)
        assert await outcome(make_client(), request) == ("send", "connect_timeout")
        await asyncio.sleep(0.1)
        assert known.open_now == 0


async def test_long_bodies_both_ways_over_tls(trusted: Authority, make_client: MakeClient) -> None:
    body = random.Random(1).randbytes(1_000_000)
    async with provider(keeps_answering(whole(body)), trusted.server("localhost")) as known:
        assert await outcome(make_client(), ask(known.url(host="localhost"), body=body)) == (200, body)
        assert known.requests[0][1] == body


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_stream_that_is_cut_over_tls(trusted: Authority, make_client: MakeClient, then: str) -> None:
    script = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with provider(says(script, then=then), trusted.server("localhost")) as known:
        assert await outcome(make_client(), ask(known.url(host="localhost"))) == (200, b"one", "cut")


async def test_a_stall_over_tls(trusted: Authority, make_client: MakeClient) -> None:
    script = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with provider(says(script), trusted.server("localhost")) as known:
        request = ask(known.url(host="localhost"), stall_timeout_s=0.2)
        assert await outcome(make_client(), request) == (200, b"one", "stalled")
