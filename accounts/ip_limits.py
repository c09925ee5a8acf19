"""From which addresses an API key may be used, and whose address a request has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

NETWORKS_MAX = 100
# No address is in it: what cannot be read closes the door instead of opening it.
_NOBODY = (ip_network("255.255.255.255/32"),)


class BadAddress(ValueError):
    """`text` is neither an address nor a network; `suggestion` is what was probably meant, or ""."""

    def __init__(self, text: str, suggestion: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.suggestion = suggestion


def networks(texts: Iterable[str]) -> Networks:
    """Stored addresses and networks, parsed. Never raises: an unreadable list lets nobody in."""
    texts = tuple(texts)
    try:
        return tuple(_network(text) for text in texts)
    except (BadAddress, TypeError):
        return _NOBODY


def clean(texts: Iterable[str]) -> list[str]:
    """As typed, to as stored: each once, a single address without its /32. Raises BadAddress."""
    found: dict[str, None] = {}
    for text in texts:
        if text := text.strip():
            network = _network(text)
            single = network.prefixlen == network.max_prefixlen
            found[str(network.network_address) if single else str(network)] = None
    return list(found)


def allows(allowed: Networks, address: str) -> bool:
    """Whether a request from this address may use the key; no networks allow all."""
    if not allowed:
        return True
    found = parse_address(address)
    return found is not None and any(found.version == net.version and found in net for net in allowed)


def parse_address(text: str) -> Address | None:
    """Of `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`, with or without a zone; IPv4 inside IPv6 becomes IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def client_ip(scope_client: Sequence[object] | None, headers: Mapping[bytes, bytes], trusted: Networks) -> str:
    """Whose request this is: the peer's address, or behind trusted proxies the one they name.

    Every proxy appends the address it was called from to `X-Forwarded-For`, so the list is read from its end, past
    trusted proxies only: whatever a client wrote there itself stands further left. "" where nothing is known.
    """
    peer = str(scope_client[0]) if scope_client else ""
    if not trusted:
        return peer
    address = parse_address(peer)
    # Over a UNIX socket there is no address: whoever can open the socket is the proxy itself.
    if address is not None and not _is_in(address, trusted):
        return str(address)
    best = "" if address is None else str(address)
    for hop in reversed(headers.get(b"x-forwarded-for", b"").decode("latin-1").split(",")):
        forwarded = parse_address(hop)
        if forwarded is None:
            return best
        best = str(forwarded)
        if not _is_in(forwarded, trusted):
            return best
    return best


def _is_in(address: Address, nets: Networks) -> bool:
    return any(address.version == net.version and address in net for net in nets)


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text)
    except ValueError:
        raise BadAddress(text, _meant(text)) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _meant(text: str) -> str:
    """`10.1.2.3/8` is probably `10.0.0.0/8`."""
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return ""
