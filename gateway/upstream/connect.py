"""Opening a connection: addresses tried side by side, through a proxy where one is set, TLS on top."""

from __future__ import annotations

import asyncio
import socket
import ssl

from gateway.upstream.http1 import Connection
from gateway.upstream.proxies import Proxy
from gateway.upstream.target import Origin

_HEAD_START_S = 0.25  # before the next address is tried beside a slow one (RFC 8305)
_MOST_PROXY_HEAD = 16 * 1024
_HANDSHAKE_S = 600.0  # the caller's own timeout ends it long before


async def connect(connection: Connection, origin: Origin, proxy: Proxy | None, tls: ssl.SSLContext | None) -> None:
    """Raises OSError for whatever went wrong. No timeout of its own; cancelling leaves nothing open."""
    loop = asyncio.get_running_loop()
    secure = origin.scheme == "https"
    sock = await open_socket(*((origin.host, origin.port) if proxy is None else (proxy.host, proxy.port)))
    if proxy is not None and secure:
        try:
            await _tunnel(sock, origin, proxy)
        except BaseException:
            sock.close()
            raise
    try:  # from here on the socket is the event loop's, which closes it
        if secure:
            await loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=tls,
                server_hostname=origin.host,
                ssl_handshake_timeout=_HANDSHAKE_S,
            )
        else:
            await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        connection.abort()
        raise


async def open_socket(host: str, port: int) -> socket.socket:
    """Connected to whichever of the host's addresses answers first. Raises OSError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:  # a label that no name server could know
        raise OSError("no such host") from None
    addresses = _interleaved([(info[0], info[4]) for info in found])
    if len(addresses) == 1:
        return await _open(*addresses[0])
    return await _first(addresses)


def _interleaved(addresses: list[tuple[int, tuple]]) -> list[tuple[int, tuple]]:
    """The resolver's order, families taking turns."""
    first = [one for one in addresses if one[0] == addresses[0][0]]
    other = [one for one in addresses if one[0] != addresses[0][0]]
    mixed = []
    while first or other:
        mixed += [*first[:1], *other[:1]]
        first, other = first[1:], other[1:]
    return mixed


async def _first(addresses: list[tuple[int, tuple]]) -> socket.socket:
    """Each address gets a head start over the next one; the others are dropped once one is connected."""
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    failure: OSError = OSError("no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(_open(*waiting.pop(0))))
            done, _ = await asyncio.wait(
                running, timeout=_HEAD_START_S if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                running.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                if isinstance(error, OSError):
                    failure = error
        raise failure
    finally:
        for task in running:
            task.add_done_callback(_close_late)
            task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _open(family: int, address: tuple) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(sock: socket.socket, origin: Origin, proxy: Proxy) -> None:
    """Ask the proxy for a line to the origin. Raises OSError if it refuses."""
    loop = asyncio.get_running_loop()
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    where = f"{host}:{origin.port}".encode()
    await loop.sock_sendall(sock, b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (where, where, proxy.authorization))
    head = b""
    while b"\r\n\r\n" not in head:
        data = await loop.sock_recv(sock, 4096)
        head += data
        if not data or len(head) > _MOST_PROXY_HEAD:
            raise OSError("the proxy gave no answer")
    status_line, _, _ = head.partition(b"\r\n")
    words = status_line.split(b" ", 2)
    accepted = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1][:1] == b"2" and words[1].isdigit()
    if not accepted or not head.endswith(b"\r\n\r\n"):  # nobody speaks before our side of the TLS handshake
        raise OSError("the proxy refused")
