"""Which proxy leads to an origin, by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies

from gateway.upstream.target import Origin


class UnusableProxy(ValueError):
    """Names the variable, never its value: that may hold a password."""


@dataclass(frozen=True, slots=True)
class Proxy:
    host: str
    port: int
    authorization: bytes = field(default=b"", repr=False)  # a whole header line, or nothing


class Proxies:
    """Read once. `settings` is of the form of urllib's getproxies()."""

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        settings = getproxies() if settings is None else settings
        self._by_scheme = {
            scheme: _proxy(scheme, settings[scheme]) for scheme in ("http", "https") if settings.get(scheme)
        }
        if settings.get("all"):
            every = _proxy("all", settings["all"])
            self._by_scheme = {"http": every, "https": every} | self._by_scheme
        self._direct = [entry for part in settings.get("no", "").split(",") if (entry := part.strip().lower())]

    def way_to(self, origin: Origin) -> Proxy | None:
        if any(_matches(entry, origin) for entry in self._direct):
            return None
        return self._by_scheme.get(origin.scheme)


def _proxy(scheme: str, url: str) -> Proxy:
    variable = f"{scheme.upper()}_PROXY"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise UnusableProxy(f"{variable} is not a URL.") from None
    if parts.scheme != "http" or not host:
        raise UnusableProxy(f"{variable} has to be an http:// URL; other kinds of proxies are not supported.")
    if parts.username is None:
        return Proxy(host, port)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Proxy(host, port, b"proxy-authorization: Basic " + base64.b64encode(pair) + b"\r\n")


def _matches(entry: str, origin: Origin) -> bool:
    """Whether an entry of NO_PROXY covers the origin: a host with its subdomains, .domain, an address, a network."""
    if entry == "*":
        return True
    scheme, _, rest = entry.rpartition("://")
    if scheme and scheme not in ("all", origin.scheme):
        return False
    network = _network(rest)
    if network is not None:
        try:
            return ipaddress.ip_address(origin.host) in network
        except ValueError:
            return False
    host, _, port = rest.partition(":") if rest.count(":") == 1 else (rest.strip("[]"), "", "")
    if port and port != str(origin.port):
        return False
    if scheme or host == "localhost":
        return origin.host == host
    if host.startswith((".", "*.")):
        return origin.host.endswith(host.removeprefix("*"))
    return origin.host == host or origin.host.endswith(f".{host}")


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
