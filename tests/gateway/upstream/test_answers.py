"""Answers as providers send them, byte by byte: both transports make the same of them."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.upstream.client import Oversized, TransportFailure, UpstreamClient
from tests.gateway.upstream.asking import ask, outcome
from tests.gateway.upstream.scripted import chunked, keeps_answering, provider, says, whole

_TEXT = b'{"text":"' + b"word " * 400 + b'"}'
_raw_deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
_GZIP = gzip.compress(_TEXT, mtime=0)

# name: (bytes, how the connection goes on, what comes of it)
CASES: dict[str, tuple[bytes, str, tuple[Any, ...]]] = {
    "a plain answer": (whole(b"hello"), "stay", (200, b"hello")),
    "an answer without a body": (whole(b""), "stay", (200, b"")),
    "chunks": (chunked(b"one", b"two", b"three"), "stay", (200, b"onetwothree")),
    "chunks with extensions": (
        b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b;c="d"\r\none\r\n0;last\r\n\r\n',
        "stay",
        (200, b"one"),
    ),
    "chunks with trailers": (chunked(b"one", trailer=b"x-sum: 1\r\nx-more: 2\r\n"), "stay", (200, b"one")),
    "chunk sizes in capitals with zeros": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        "stay",
        (200, b"0123456789"),
    ),
    "a body until the connection closes": (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "close", (200, b"until the end")),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nold", "close", (200, b"old")),
    "HTTP/1.0 with a length": (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold", "stay", (200, b"old")),
    "no reason phrase": (b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nok", "stay", (200, b"ok")),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "stay", (204, b"")),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", "stay", (304, b"")),
    "a redirect, which is not followed": (
        whole(b"", b"location: http://127.0.0.1:1/", status=b"307 Temporary Redirect"),
        "stay",
        (307, b""),
    ),
    "an odd status": (whole(b"x", status=b"529 Overloaded"), "stay", (529, b"x")),
    "100 Continue first": (b"HTTP/1.1 100 Continue\r\n\r\n" + whole(b"ok"), "stay", (200, b"ok")),
    "early hints and processing first": (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + whole(b"ok"),
        "stay",
        (200, b"ok"),
    ),
    "gzip": (whole(_GZIP, b"content-encoding: gzip"), "stay", (200, _TEXT)),
    "gzip in chunks": (
        chunked(_GZIP[:5], _GZIP[5:9], _GZIP[9:], headers=(b"Content-Encoding: GZIP",)),
        "stay",
        (200, _TEXT),
    ),
    "gzip of nothing": (whole(b"", b"content-encoding: gzip"), "stay", (200, b"")),
    "deflate": (whole(zlib.compress(_TEXT), b"content-encoding: deflate"), "stay", (200, _TEXT)),
    "deflate without its wrapper": (
        whole(_raw_deflate.compress(_TEXT) + _raw_deflate.flush(), b"content-encoding: deflate"),
        "stay",
        (200, _TEXT),
    ),
    "identity": (whole(b"as is", b"content-encoding: identity"), "stay", (200, b"as is")),
    "a coding that nobody asked for": (whole(b"\x1b\x00", b"content-encoding: br"), "stay", (200, b"\x1b\x00")),
    "no gzip, whatever the header says": (whole(b"plain", b"content-encoding: gzip"), "stay", (200, b"", "cut")),
    "closed before an answer": (b"", "close", ("send", "cut")),
    "reset before an answer": (b"", "reset", ("send", "cut")),
    "closed within the head": (b"HTTP/1.1 200 OK\r\ncontent-le", "close", ("send", "cut")),
    "closed within a body": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal",
        "close",
        (200, b"hal", "cut"),
    ),
    "reset within a body": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal",
        "reset",
        (200, b"hal", "cut"),
    ),
    "closed between chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        "close",
        (200, b"one", "cut"),
    ),
    "closed before the last chunk's end": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n",
        "close",
        (200, b"one", "cut"),
    ),
    "reset where only a close could end the body": (
        b"HTTP/1.1 200 OK\r\n\r\nhal",
        "reset",
        (200, b"hal", "cut"),
    ),
    "no HTTP at all": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "stay", ("send", "cut")),
    "a garbled status line": (b"HTTP/1.1 2x0 OK\r\n\r\n", "stay", ("send", "cut")),
    "a header without a name": (b"HTTP/1.1 200 OK\r\n: x\r\ncontent-length: 0\r\n\r\n", "stay", ("send", "cut")),
    "a length that is no number": (b"HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n", "stay", ("send", "cut")),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
        "stay",
        ("send", "cut"),
    ),
    "an unknown transfer encoding": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        "stay",
        ("send", "cut"),
    ),
    "a bad chunk size": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\nzz\r\n",
        "stay",
        (200, b"one", "cut"),
    ),
    "a head that never ends": (b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"x" * 200_000, "stay", ("send", "cut")),
}

# What the reference makes of the same bytes, where it differs, and why ours does not follow.
THE_REFERENCE_SAYS: dict[str, tuple[bytes, str, tuple[Any, ...], tuple[Any, ...]]] = {
    # A body that breaks off inside gzip would be priced as a whole answer.
    "a gzip body that breaks off": (
        whole(_GZIP[:-8], b"content-encoding: gzip"),
        "stay",
        (200, _TEXT, "cut"),
        (200, _TEXT),
    ),
    # Two ways to say where the body ends, and they disagree: the root of response smuggling.
    "chunked and with a length": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
        "stay",
        ("send", "cut"),
        (200, b"one"),
    ),
    "the same length twice": (
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "stay",
        ("send", "cut"),
        (200, b"x"),
    ),
    # Bare line feeds end lines only by lenience.
    "lines that end in a line feed only": (
        b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok",
        "stay",
        ("send", "cut"),
        (200, b"ok"),
    ),
    "more than 256 headers": (
        whole(b"x", *[b"x-%d: 1" % number for number in range(300)]),
        "stay",
        ("send", "cut"),
        (200, b"x"),
    ),
    # No provider compresses twice; the reference undoes both.
    "two codings on top of each other": (
        whole(gzip.compress(zlib.compress(_TEXT), mtime=0), b"content-encoding: deflate, gzip"),
        "stay",
        ("send", "cut"),
        (200, _TEXT),
    ),
}


@pytest.mark.parametrize("pumped", [False, True])
@pytest.mark.parametrize("name", CASES)
async def test_both_transports_make_the_same_of(client: UpstreamClient, name: str, pumped: bool) -> None:
    script, then, expected = CASES[name]
    async with provider(says(script, then=then)) as known:
        assert await outcome(client, ask(known.url()), pumped=pumped) == expected


@pytest.mark.parametrize("name", THE_REFERENCE_SAYS)
async def test_ours_is_stricter_about(client: UpstreamClient, transport: str, name: str) -> None:
    script, then, ours, theirs = THE_REFERENCE_SAYS[name]
    async with provider(says(script, then=then)) as known:
        assert await outcome(client, ask(known.url())) == (ours if transport == "pooled" else theirs)


_SPLIT = ["chunks with trailers", "100 Continue first", "two lengths", "closed within a body", "deflate"]
_SHORT = zlib.compress(b"short")
_SPLITTABLE = {
    **{name: CASES[name] for name in _SPLIT if name != "deflate"},
    "deflate": (whole(_SHORT, b"content-encoding: deflate"), "stay", (200, b"short")),
}


@pytest.mark.parametrize("name", _SPLITTABLE)
async def test_it_does_not_matter_where_the_network_splits(client: UpstreamClient, name: str) -> None:
    script, then, expected = _SPLITTABLE[name]
    for cut in range(1, len(script)):
        async with provider(says(script[:cut], script[cut:], pause_s=0.001, then=then)) as known:
            assert await outcome(client, ask(known.url())) == expected, cut


@pytest.mark.parametrize("name", ["a plain answer", "chunks", "gzip in chunks", "early hints and processing first"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_it_does_not_matter_how_often_the_network_splits(
    client: UpstreamClient, name: str, data: st.DataObject
) -> None:
    script, then, expected = CASES[name]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(script) - 1), max_size=12)))
    pieces = [script[start:end] for start, end in zip([0, *cuts], [*cuts, len(script)], strict=True)]
    async with provider(says(*pieces, pause_s=0.001, then=then)) as known:
        assert await outcome(client, ask(known.url()), pumped=data.draw(st.booleans())) == expected


async def test_header_names_are_in_lower_case_and_repeated_ones_are_joined(client: UpstreamClient) -> None:
    script = whole(b"", b"X-Request-ID: abc", b"Retry-After:  7 ", b"Vary: a", b"vary: b")
    async with provider(says(script)) as known:
        response = await client.send(ask(known.url()))
        await response.close()
    headers = dict(response.headers)
    assert (headers["x-request-id"], headers["retry-after"], headers["vary"]) == ("abc", "7", "a, b")
    assert response.headers.get("X-nothing") is None


async def test_next_chunk_says_nothing_at_the_end_and_again(client: UpstreamClient) -> None:
    async with provider(says(chunked(b"one"))) as known:
        response = await client.send(ask(known.url()))
        assert [await response.next_chunk() for _ in range(3)] == [b"one", b"", b""]
        await response.close()


async def test_events_arrive_one_by_one_and_not_at_the_end(client: UpstreamClient) -> None:
    stream = chunked(b"one", b"two")
    middle = stream.index(b"3\r\ntwo")
    async with provider(says(stream[:middle], stream[middle:], pause_s=0.05)) as known:
        response = await client.send(ask(known.url()))
        assert [await response.next_chunk() for _ in range(3)] == [b"one", b"two", b""]
        await response.close()


async def test_who_takes_pieces_may_stop_and_go_on(client: UpstreamClient) -> None:
    stream = chunked(b"one", b"two", b"three")
    second, third = stream.index(b"3\r\ntwo"), stream.index(b"5\r\nthree")
    got: list[bytes] = []

    def take(chunk: bytes) -> bool:
        got.append(chunk)
        return chunk != b"two"

    async with provider(says(stream[:second], stream[second:third], stream[third:], pause_s=0.05)) as known:
        response = await client.send(ask(known.url()))
        assert not await response.pump(take)
        assert got == [b"one", b"two"]
        await asyncio.sleep(0.15)  # what comes meanwhile waits
        assert got == [b"one", b"two"]
        assert await response.pump(take)
        assert got == [b"one", b"two", b"three"]
        assert await response.pump(take)  # over, and still over
        await response.close()


@pytest.mark.parametrize("at", [0, 1])
async def test_what_goes_wrong_while_taking_is_told_to_the_one_who_asked(client: UpstreamClient, at: int) -> None:
    stream = chunked(b"one", b"two")
    middle = stream.index(b"3\r\ntwo")
    seen = 0

    def take(chunk: bytes) -> bool:
        nonlocal seen
        if seen == at:
            raise ZeroDivisionError
        seen += 1
        return True

    async with provider(says(stream[:middle], stream[middle:], pause_s=0.05)) as known:
        response = await client.send(ask(known.url()))
        with pytest.raises(ZeroDivisionError):
            await response.pump(take)
        await response.close()


async def test_a_silence_between_pieces_that_are_taken_is_a_stall(client: UpstreamClient) -> None:
    stream = chunked(b"one", b"two", b"three")
    second, third = stream.index(b"3\r\ntwo"), stream.index(b"5\r\nthree")
    pieces = (stream[:second], stream[second:third], stream[third:])
    got: list[bytes] = []
    async with provider(says(*pieces, pause_s=0.6)) as known:  # each pause alone is shorter than the limit
        response = await client.send(ask(known.url(), stall_timeout_s=1.0))
        assert await response.pump(lambda chunk: not got.append(chunk))  # type: ignore[func-returns-value]
        await response.close()
    assert got == [b"one", b"two", b"three"]
    async with provider(says(pieces[0], pieces[1], pause_s=0.05, then="stay")) as known:
        response = await client.send(ask(known.url(), stall_timeout_s=0.3))
        with pytest.raises(TransportFailure) as failed:
            await response.pump(lambda _: True)
        assert failed.value.failure == "stalled"
        await response.close()


async def test_nothing_is_taken_for_a_caller_who_was_stopped(client: UpstreamClient) -> None:
    stream = chunked(b"one", b"two")
    middle = stream.index(b"3\r\ntwo")
    got: list[bytes] = []
    async with provider(says(stream[:middle], stream[middle:], pause_s=0.1)) as known:
        response = await client.send(ask(known.url()))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03):
                await response.pump(lambda chunk: not got.append(chunk))  # type: ignore[func-returns-value]
        await asyncio.sleep(0.15)
        assert b"".join(got) == b"one"
        await response.close()


async def test_a_body_may_be_as_long_as_the_limit_and_not_a_byte_longer(client: UpstreamClient) -> None:
    async with provider(keeps_answering(whole(b"x" * 1000))) as known:
        response = await client.send(ask(known.url()))
        assert len(await response.read_all(1000)) == 1000
        await response.close()
        response = await client.send(ask(known.url()))
        with pytest.raises(Oversized):
            await response.read_all(999)
        await response.close()


async def test_a_compressed_bomb_is_oversized_long_before_it_is_unpacked(client: UpstreamClient) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    async with provider(says(whole(bomb, b"content-encoding: gzip"))) as known:
        response = await client.send(ask(known.url()))
        with pytest.raises(Oversized):
            await response.read_all(1_000_000)
        await response.close()
