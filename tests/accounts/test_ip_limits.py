"""From where a key may be used, and whose address a request has."""

from __future__ import annotations

import pytest

from accounts.ip_limits import BadAddress, allows, clean, client_ip, networks, parse_address

PROXIES = networks(["10.0.0.0/8", "fd00::/8", "127.0.0.1"])


@pytest.mark.parametrize(
    ("allowed", "address", "is_allowed"),
    [
        ([], "203.0.113.7", True),
        ([], "", True),
        (["203.0.113.7"], "203.0.113.7", True),
        (["203.0.113.7"], "203.0.113.8", False),
        (["203.0.113.7"], "::ffff:203.0.113.7", True),  # a socket of both kinds names IPv4 like this
        (["::ffff:203.0.113.7"], "203.0.113.7", True),
        (["203.0.113.0/24"], "203.0.113.255", True),
        (["203.0.113.0/24"], "203.0.114.0", False),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "2001:db9::5", False),
        (["2001:db8::/32"], "203.0.113.7", False),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["203.0.113.7", "2001:db8::1"], "2001:db8:0:0::1", True),
        (["203.0.113.7"], "", False),  # over a UNIX socket nobody knows
        (["203.0.113.7"], "unknown", False),
        (["not an address"], "203.0.113.7", False),  # what cannot be read closes the door
        (["not an address"], "255.255.255.255", True),  # the one that nobody has
    ],
)
def test_a_list_lets_in_what_is_on_it(allowed: list[str], address: str, is_allowed: bool) -> None:
    assert allows(networks(allowed), address) is is_allowed


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4:5678 ", "1.2.3.4"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8::1]"', "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:1.2.3.4]:80", "1.2.3.4"),
        ("unknown", None),
        ("", None),
        ("1.2.3", None),
        ("1.2.3.4.5", None),
        ("01.2.3.4", None),  # octal to some
        ("1.2.3.4:", "1.2.3.4"),
        ("_hidden", None),
    ],
)
def test_addresses_are_read_in_every_common_spelling(text: str, address: str | None) -> None:
    found = parse_address(text)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "8.8.8.8", "203.0.113.7"),  # no proxy of ours: its word counts for nothing
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("10.0.0.1", "8.8.8.8, 203.0.113.7", "203.0.113.7"),  # the client wrote the first itself
        ("10.0.0.1", "8.8.8.8, 203.0.113.7, 10.0.0.2", "203.0.113.7"),  # two proxies of ours
        ("10.0.0.1", "203.0.113.7:4711", "203.0.113.7"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("fd00::1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),  # past what cannot be read nothing is believed
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # a machine of our own called
        ("10.0.0.1", "", "10.0.0.1"),
        ("127.0.0.1", ",,", "127.0.0.1"),
        ("10.0.0.1", "\xff\xfe", "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_their_word_is_taken(peer: str, forwarded: str | None, address: str) -> None:
    headers = {} if forwarded is None else {b"x-forwarded-for": forwarded.encode("latin-1")}
    assert client_ip((peer, 1234), headers, PROXIES) == address


def test_without_trusted_proxies_no_header_counts() -> None:
    headers = {b"x-forwarded-for": b"203.0.113.7"}
    assert client_ip(("10.0.0.1", 1), headers, ()) == "10.0.0.1"
    assert client_ip(None, headers, ()) == ""


def test_over_a_unix_socket_the_proxy_is_whoever_can_open_it() -> None:
    assert client_ip(None, {b"x-forwarded-for": b"8.8.8.8, 203.0.113.7"}, PROXIES) == "203.0.113.7"
    assert client_ip(("", 0), {}, PROXIES) == ""


def test_what_is_stored_is_tidy() -> None:
    assert clean([" 203.0.113.7/32", "203.0.113.7", "", "2001:DB8::/32", "::ffff:203.0.113.0/120"]) == [
        "203.0.113.7",
        "2001:db8::/32",
        "203.0.113.0/24",
    ]


@pytest.mark.parametrize(
    ("text", "suggestion"), [("10.1.2.3/8", "10.0.0.0/8"), ("example.com", ""), ("10.0.0.0/33", ""), ("10.0.0", "")]
)
def test_what_is_no_address_is_named_with_what_was_meant(text: str, suggestion: str) -> None:
    with pytest.raises(BadAddress) as bad:
        clean(["203.0.113.7", text])
    assert (bad.value.text, bad.value.suggestion) == (text, suggestion)
