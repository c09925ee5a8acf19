"""Bodies from the wire: bounded, decompressed, and refused with a clear reason."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest
import zstandard

from gateway.errors import BadRequest, TooLarge
from gateway.request import ClientLeft, ClientRequest, decompress, header_list


def _request(messages: list[dict[str, Any]], headers: dict[str, str] | None = None) -> ClientRequest:
    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        raise AssertionError("nothing is answered here")

    raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return ClientRequest({"method": "POST", "path": "/", "headers": raw}, receive, send)


def _parts(*chunks: bytes) -> list[dict[str, Any]]:
    return [{"type": "http.request", "body": c, "more_body": i < len(chunks) - 1} for i, c in enumerate(chunks)]


async def test_a_body_in_parts_is_put_together() -> None:
    assert await _request(_parts(b"ab", b"", b"c")).body(10) == b"abc"


async def test_a_body_over_the_limit_is_refused_before_it_is_read_whole() -> None:
    with pytest.raises(TooLarge):
        await _request(_parts(b"x" * 6, b"x" * 6, b"x" * 1000)).body(10)
    with pytest.raises(TooLarge):
        await _request([], {"content-length": "11"}).body(10)


async def test_a_client_that_leaves_in_mid_body_is_noticed() -> None:
    with pytest.raises(ClientLeft):
        await _request([{"type": "http.request", "body": b"a", "more_body": True}, {"type": "http.disconnect"}]).body(9)


def test_compressed_bodies_are_opened_within_the_limit() -> None:
    assert decompress(gzip.compress(b"hello", mtime=0), "gzip", 100) == b"hello"
    assert decompress(zlib.compress(b"hello"), "deflate", 100) == b"hello"
    with pytest.raises(TooLarge):
        decompress(gzip.compress(b"0" * 10_000_000), "gzip", 1000)


def test_zstd_bodies_are_opened_within_the_limit() -> None:
    assert decompress(zstandard.compress(b"hello" * 1000), "zstd", 5000) == b"hello" * 1000
    with pytest.raises(TooLarge):
        decompress(zstandard.compress(bytes(200_000_000)), "zstd", 1_000_000)
    for broken in (b"", b"not zstd", zstandard.compress(b"hello" * 1000)[:-3]):
        with pytest.raises(BadRequest):
            decompress(broken, "zstd", 5000)


@pytest.mark.parametrize("body", [b"not gzip", gzip.compress(b"hello", mtime=0)[:-9]])
def test_a_broken_compressed_body_is_the_callers_error(body: bytes) -> None:
    with pytest.raises(BadRequest):
        decompress(body, "gzip", 100)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(BadRequest) as caught:
        decompress(b"", "br", 100)
    assert "br" in caught.value.problem.message


def test_no_value_begins_a_header_of_its_own() -> None:
    assert header_list({"x-router-dropped": "a\r\nset-cookie: b\x00,é中"}) == [
        (b"x-router-dropped", b"a??set-cookie: b?,\xe9?")
    ]


async def test_a_body_that_comes_slowly_is_not_taken_by_whoever_watches_for_the_client() -> None:
    pieces = [
        {"type": "http.request", "body": b"one ", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": False},
    ]

    async def receive() -> dict[str, object]:
        await asyncio.sleep(0)
        return pieces.pop(0) if pieces else {"type": "http.disconnect"}

    async def send(_: object) -> None:
        pass

    request = ClientRequest({"method": "POST", "path": "/", "headers": []}, receive, send)
    request.watch()  # the guard's first look comes before the body is complete
    assert request.watcher is None
    assert await request.body(100) == b"one two"
    request.watch()
    assert request.watcher is not None
    await request.watcher
    assert request.left
