"""The lean HTTP protocol beside uvicorn's own: the same bytes in, the same answers out."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

PROTOCOLS = {"uvicorn": "httptools", "ours": "routerone.http_protocol:LeanProtocol"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Does what the path says."""
    path = scope.get("path", "")
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
    elif path == "/before":  # an answer before the body was read
        await _whole(send, 413, b"too large")
    else:
        body = await _body(receive)
        if body is not None:
            await _ANSWERS.get(path, _told)(scope, send, body)


async def _body(receive: Any) -> bytes | None:
    body, message = b"", {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message["body"]
    return body


async def _told(scope: Any, send: Any, body: bytes) -> None:
    said = f"{scope['method']} {scope['path']} {scope['raw_path']!r} {scope['query_string']!r} {scope['http_version']} "
    await _whole(send, 200, said.encode() + b"%d %b" % (len(body), body[:40]))


async def _chunks(_scope: Any, send: Any, _body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for piece in (b"one", b"", b"two"):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b""})


async def _at_once(scope: Any, send: Any, _body: bytes) -> None:
    """As `_chunks`, but from a callback, where the server can do that."""
    write = scope.get("extensions", {}).get("routerone.write_at_once", lambda _: False)
    if write(b"too soon"):
        raise AssertionError
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for piece in (b"one", b"two", b"x" * 100_000, b"three"):
        if not write(piece):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    if write(b"too late"):
        raise AssertionError


async def _evil(_scope: Any, send: Any, _body: bytes) -> None:
    await _whole(send, 200, b"x", (b"x-named", b"a\r\nset-cookie: b"))


async def _nothing(_scope: Any, send: Any, _body: bytes) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def _crash(_scope: Any, _send: Any, _body: bytes) -> None:
    raise ValueError


async def _silent(_scope: Any, _send: Any, _body: bytes) -> None:
    return


async def _short(_scope: Any, send: Any, _body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
    await send({"type": "http.response.body", "body": b"four"})


async def _close(_scope: Any, send: Any, _body: bytes) -> None:
    await _whole(send, 200, b"bye", (b"Connection", b"close"))


_ANSWERS = {
    "/chunks": _chunks, "/at-once": _at_once, "/evil": _evil, "/nothing": _nothing, "/crash": _crash,
    "/silent": _silent, "/short": _short, "/close": _close,
}  # fmt: skip


async def _lifespan(receive: Any, send: Any) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


async def _whole(send: Any, status: int, body: bytes, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"Content-Length", b"%d" % len(body)), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, http: str, **options: Any) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                application, port=0, http=http, loop="uvloop", log_level="critical", access_log=False, **options
            )
        )
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        end = time.monotonic() + 20
        while not self._server.started and time.monotonic() < end:
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    running = {name: Server(http, timeout_keep_alive=1) for name, http in PROTOCOLS.items()}
    yield running
    for server in running.values():
        server.stop()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def talk(server: Server, *pieces: bytes, pause_s: float = 0.02) -> bytes:
    """All that is answered until the server closes."""
    with connect(server) as line:
        for piece in pieces:
            line.sendall(piece)
            time.sleep(pause_s)
        heard = b""
        while got := line.recv(65536):
            heard += got
    return re.sub(rb"date: [^\r]*", b"date: -", heard)


def get(path: bytes, *headers: bytes, method: bytes = b"GET", version: bytes = b"1.1", body: bytes = b"") -> bytes:
    lines = [b"%b %b HTTP/%b" % (method, path, version), b"host: x", *headers]
    if body:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


LAST = b"connection: close"
CONVERSATIONS: dict[str, tuple[bytes, ...]] = {
    "a plain one": (get(b"/a/b?c=d&e", LAST),),
    "an encoded path": (get(b"/a%20b/%E4%BD%A0?x=%20", LAST),),
    "an absolute address": (get(b"http://x/a?b", LAST),),
    "a fragment": (get(b"/a?b#c", LAST),),
    "a body": (get(b"/", LAST, method=b"POST", body=b"hello"),),
    "a body in pieces": (get(b"/", LAST, method=b"POST", body=b"hello")[:-3], b"l", b"lo"),
    "a body in chunks": (
        get(b"/", b"transfer-encoding: chunked", LAST, method=b"POST"), b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n",
    ),
    "a large body": (get(b"/", LAST, method=b"POST", body=b"x" * 300_000),),
    "two in a row": (get(b"/one"), get(b"/two", LAST)),
    "two at once": (get(b"/one") + get(b"/two", LAST),),
    "three at once with bodies": (
        get(b"/one", method=b"POST", body=b"1") + get(b"/chunks", method=b"POST", body=b"22") + get(b"/three", LAST),
    ),
    "a head only": (get(b"/", method=b"HEAD") + get(b"/chunks", LAST, method=b"HEAD"),),
    "an answer in chunks": (get(b"/chunks", LAST),),
    "pieces from a callback": (get(b"/at-once", LAST),),
    "pieces from a callback, several requests at once": (get(b"/at-once") + get(b"/at-once") + get(b"/one", LAST),),
    "pieces from a callback for a head": (get(b"/at-once", LAST, method=b"HEAD"),),
    "an old client and pieces from a callback": (get(b"/at-once", version=b"1.0"),),
    "an old client": (get(b"/", version=b"1.0"),),
    "an old client and chunks": (get(b"/chunks", version=b"1.0"),),
    "no content": (get(b"/nothing", LAST),),
    "an answer before the body": (get(b"/before", LAST, method=b"POST", body=b"x" * 10),),
    "the server closes": (get(b"/close"),),
    "a crash": (get(b"/crash"),),
    "a crash, then another": (get(b"/crash") + get(b"/two", LAST),),
    "no answer": (get(b"/silent"),),
    "too short an answer": (get(b"/short"),),
    "expect 100": (get(b"/", b"expect: 100-continue", LAST, method=b"POST", body=b"hello"),),
    "an upgrade that nobody knows": (get(b"/", b"connection: upgrade, close", b"upgrade: h2c"),),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\r\n\r\n",),
    "no HTTP after a request": (get(b"/one") + b"\x00garbage\r\n\r\n",),
}  # fmt: skip


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_conversation_goes_as_with_uvicorns_own_protocol(servers: dict[str, Server], name: str) -> None:
    theirs = talk(servers["uvicorn"], *CONVERSATIONS[name])
    assert theirs
    ours = talk(servers["ours"], *CONVERSATIONS[name])
    assert ours.split(b"\r\n") == theirs.split(b"\r\n")


def test_a_line_end_in_a_header_never_goes_out(servers: dict[str, Server]) -> None:
    heard = talk(servers["ours"], get(b"/evil", LAST))
    assert heard.startswith(b"HTTP/1.1 500 ") and b"set-cookie" not in heard


def test_an_idle_connection_is_closed_and_one_in_use_is_not(servers: dict[str, Server]) -> None:
    with connect(servers["ours"]) as line:
        for _ in range(4):  # in all more than the second that a connection may be idle
            line.sendall(get(b"/"))
            assert line.recv(65536).startswith(b"HTTP/1.1 200")
            time.sleep(0.4)
        line.settimeout(5)
        assert line.recv(1) == b""


def test_a_whole_answer_leaves_in_one_piece(servers: dict[str, Server]) -> None:
    with connect(servers["ours"]) as line:
        line.sendall(get(b"/"))
        heard = line.recv(65536)
    assert heard.startswith(b"HTTP/1.1 200") and heard.endswith(b"0 ")


def test_a_client_that_reads_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    async def pours(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        write = scope["extensions"]["routerone.write_at_once"]
        while write(b"x" * 65536):
            taken.append(1)
        await send({"type": "http.response.body", "body": b"the rest"})

    monkeypatch.setitem(globals(), "application", pours)
    server = Server(PROTOCOLS["ours"])
    with connect(server) as line:
        line.sendall(get(b"/", LAST))
        time.sleep(0.3)
        poured = len(taken)
        assert 0 < poured < 1_000
        heard = b""
        while got := line.recv(1 << 20):
            heard += got
    assert heard.count(b"x") == 65536 * poured and b"the rest" in heard
    server.stop()


def test_an_application_learns_that_its_client_left(monkeypatch: pytest.MonkeyPatch) -> None:
    left = threading.Event()

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        assert (await receive())["body"] == b""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"nobody hears it"})
        left.set()

    monkeypatch.setitem(globals(), "application", waits)  # the server takes it as it stands
    server = Server(PROTOCOLS["ours"])
    with connect(server) as line:
        line.sendall(get(b"/"))
        assert b"one" in line.recv(65536)
    assert left.wait(5)
    server.stop()


def test_a_shut_down_waits_for_the_answer_that_is_being_made(servers: dict[str, Server]) -> None:
    server = Server(PROTOCOLS["ours"], timeout_graceful_shutdown=5)
    with connect(server) as line, connect(server) as idle:
        idle.sendall(get(b"/"))
        assert idle.recv(65536)
        line.sendall(get(b"/", method=b"POST", body=b"hello")[:-2])
        time.sleep(0.1)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        time.sleep(0.3)
        line.sendall(b"lo")
        heard = line.recv(65536)
        assert heard.startswith(b"HTTP/1.1 200") and b"5 hello" in heard and b"connection: close" in heard
        stopping.join(20)
    assert not stopping.is_alive()
