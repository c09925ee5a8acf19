"""Where a request goes, and the part of its head that is the same every time, as bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from gateway.upstream.trouble import TransportFailure

_UNSENDABLE = re.compile(r"[\x00-\x1f\x7f]")  # a line break in a path or a header would begin a header of its own
_BREAKS = re.compile(r"[\x00\r\n]")
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HOST = re.compile(r"[0-9A-Za-z._\-:]+")
_OURS = frozenset(("connection", "content-length", "transfer-encoding"))  # how a body is framed is the transport's
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MOST_KEPT = 512


class Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class PreparedTarget:
    """A URL and its constant headers, encoded once. `head` ends in `content-length: `, without the number."""

    __slots__ = ("head", "headers", "origin", "proxied_head", "url")

    def __init__(self, url: str, headers: Mapping[str, str], origin: Origin, head: bytes, proxied_head: bytes) -> None:
        self.url = url
        self.headers = headers
        self.origin = origin
        self.head = head
        self.proxied_head = proxied_head  # names the whole URL: what a proxy wants to see for plain http

    def __repr__(self) -> str:
        return f"PreparedTarget({self.origin})"  # the heads hold the credential


def prepare(url: str, headers: Mapping[str, str]) -> PreparedTarget:
    """Encode what stays the same between requests. Raises TransportFailure("connect_failed") for what is unsendable."""
    try:
        origin, path = _split(url)
    except ValueError:
        raise TransportFailure("connect_failed") from None
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != _DEFAULT_PORTS[origin.scheme]:
        host = f"{host}:{origin.port}"
    constant = dict(headers)
    if not any(name.lower() == "host" for name in constant):
        constant = {"host": host, **constant}
    rest = b" HTTP/1.1\r\n" + encode_headers(constant) + b"content-length: "
    return PreparedTarget(
        url=url,
        headers=dict(headers),
        origin=origin,
        head=b"POST " + path.encode() + rest,
        proxied_head=f"POST {origin.scheme}://{host}{path}".encode() + rest,
    )


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """Header lines as bytes. Raises TransportFailure("connect_failed") for what would break out of its line."""
    lines = []
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or _BREAKS.search(value):
            raise TransportFailure("connect_failed")
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value.strip()}\r\n")
    try:
        return "".join(lines).encode("latin-1")
    except UnicodeEncodeError:
        raise TransportFailure("connect_failed") from None


def _split(url: str) -> tuple[Origin, str]:
    """The origin and the request target. Raises ValueError."""
    if _UNSENDABLE.search(url):
        raise ValueError("control character")  # before urlsplit, which drops line breaks in silence
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a plain http(s) URL")
    host = parts.hostname
    if not host.isascii():
        host = host.encode("idna").decode()
    if not _HOST.fullmatch(host):
        raise ValueError("host")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~[]")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~[]?")
    return Origin(parts.scheme, host, parts.port or _DEFAULT_PORTS[parts.scheme]), path


class Targets:
    """The targets of the last requests, so that a caller who gives URL and headers pays for encoding them once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], PreparedTarget] = {}

    def of(self, url: str, headers: Mapping[str, str]) -> PreparedTarget:
        key = (url, tuple(headers.items()))
        target = self._known.get(key)
        if target is None:
            if len(self._known) >= _MOST_KEPT:
                self._known.clear()
            target = self._known[key] = prepare(url, headers)
        return target
