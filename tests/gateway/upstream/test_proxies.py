"""The way out through a proxy, as the environment says."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from gateway.upstream.proxies import Proxies, UnusableProxy
from gateway.upstream.target import prepare
from tests.gateway.upstream.asking import ask, outcome
from tests.gateway.upstream.certificates import Authority
from tests.gateway.upstream.conftest import MakeClient
from tests.gateway.upstream.scripted import Line, Provider, keeps_answering, provider, says, whole

_AUTHORIZATION = b"proxy-authorization: basic " + base64.b64encode(b"me:p@ss").lower()


@contextlib.asynccontextmanager
async def connecting_proxy(port: int, answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> AsyncIterator[Provider]:
    """Answers CONNECT, then passes bytes on to 127.0.0.1."""

    async def handler(line: Line) -> None:
        head = await line.reader.readuntil(b"\r\n\r\n")
        line.server.requests.append((head, b""))
        await line.send(answer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pass_on(line.reader, writer), pass_on(reader, line.writer))

    async with provider(handler) as known:
        yield known


async def test_https_goes_through_a_tunnel(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with provider(keeps_answering(whole(b"ok")), authority.server("api.test")) as known:
        async with connecting_proxy(known.port) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
            client = make_client()
            for _ in range(2):  # the name is the proxy's to resolve
                assert await outcome(client, ask("https://api.test/v1/chat")) == (200, b"ok")
        assert proxy.connections == 1
        head = proxy.requests[0][0].lower()
        assert head.startswith(b"connect api.test:443 http/1.1\r\n")
        assert b"host: api.test:443\r\n" in head
        assert _AUTHORIZATION in head
        assert b"proxy-authorization" not in known.requests[0][0].lower()
        assert known.requests[0][0].startswith(b"POST /v1/chat HTTP/1.1\r\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"HTTP/1.1 502 No\r\n\r\n"])
async def test_a_proxy_that_refuses(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    async with connecting_proxy(9, answer) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await outcome(make_client(), ask("https://api.test/")) == ("send", "connect_failed")


async def test_a_proxy_that_says_nothing(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connecting_proxy(9, b"") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        result = await outcome(make_client(), ask("https://api.test/", connect_timeout_s=0.3, read_timeout_s=0.3))
        assert result[0] == "send"


async def test_plain_http_is_asked_of_the_proxy_by_its_whole_address(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(keeps_answering(whole(b"ok"))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        client = make_client()
        assert await outcome(client, ask("http://api.test:8080/v1/chat?x=1")) == (200, b"ok")
        target = prepare("http://api.test:8080/v1/chat?x=1", {})
        assert await outcome(client, ask("", headers={"x-more": "1"}, target=target)) == (200, b"ok")
        for head, _ in proxy.requests:
            assert head.startswith(b"POST http://api.test:8080/v1/chat?x=1 HTTP/1.1\r\n")
            assert b"host: api.test:8080\r\n" in head.lower()
            assert _AUTHORIZATION in head.lower()


async def test_exceptions_go_straight(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with provider(says(whole(b"straight"))) as known:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
        assert await outcome(make_client(), ask(known.url())) == (200, b"straight")


_EXCEPTIONS = [
    "*", "example.com", ".example.com", "*.example.com", "example.com:8080", "https://example.com", "http://example.com",
    "10.0.0.0/8", "10.1.2.3", "::1", "fd00::/8", "localhost", "ple.com", "EXAMPLE.com", " , ,", "all://api.example.com",
]  # fmt: skip
_URLS = [
    "http://example.com/", "https://example.com/", "https://api.example.com/", "https://wwwexample.com/",
    "http://example.com:8080/", "https://a.b.example.com:8080/", "http://10.1.2.3/", "https://11.1.2.3/",
    "http://[::1]:80/", "http://[fd00::5]/", "http://localhost/", "http://my.localhost/",
]  # fmt: skip


@pytest.mark.parametrize("exception", _EXCEPTIONS)
def test_exceptions_mean_what_they_mean_to_the_reference(exception: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.test:1")
    monkeypatch.setenv("ALL_PROXY", "http://every.test:2")
    monkeypatch.setenv("NO_PROXY", exception)
    reference = httpx2.AsyncClient()
    ours = Proxies()
    for url in _URLS:
        theirs = reference._transport_for_url(httpx2.URL(url))
        way = ours.way_to(prepare(url, {}).origin)
        assert (way is None) == (theirs is reference._transport), url
        if way is not None:
            assert way.host == ("proxy.test" if url.startswith("http:") else "every.test")


@pytest.mark.parametrize("url", ["socks5://me:secret@127.0.0.1:1", "https://me:secret@127.0.0.1", "http://:secret@"])
def test_a_proxy_of_another_kind_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(UnusableProxy) as refused:
        Proxies({"https": url})
    assert "HTTPS_PROXY" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    way = Proxies({"https": "http://me:secret@127.0.0.1:1"}).way_to(prepare("https://api.test/", {}).origin)
    assert "secret" not in repr(way)
    assert base64.b64encode(b"me:secret").decode() not in repr(way)
