"""One HTTP/1.1 connection: a request goes out, bytes come in and become an Answer.

A connection goes back to its owner as soon as the last byte of an answer has arrived, whether or not the caller has
read it by then.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

import httptools

from gateway.upstream.answer import Answer
from gateway.upstream.inflate import inflate_for

MOST_HEADERS = 256
MOST_OVERHEAD = 64 * 1024  # bytes that are not body: status line, headers, trailers, chunk sizes
_OVERHEAD_PER_BODY_BYTE = 64  # a body in one-byte chunks is wasteful, not hostile
_HIGH_WATER = 256 * 1024  # unread body bytes in our memory; beyond that the provider has to wait
_WRITE_AT_ONCE = 64 * 1024  # a longer body is not copied behind its head
_DRAIN_BYTES = 64 * 1024
_NO_BODY = frozenset((204, 304))
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"content-encoding"))
_NAMES: dict[bytes, bytes] = {}  # as providers write them -> in lower case
_MOST_NAMES = 1_000
_LONGEST_KEPT = 64


def _lower(name: bytes) -> bytes:
    lower = name.lower()
    if len(_NAMES) < _MOST_NAMES and len(name) <= _LONGEST_KEPT:
        _NAMES[name] = lower
    return lower


class NotHttp(Exception):
    """Raised through the parser's callbacks: bytes that we do not accept as an answer."""


class Owner(Protocol):
    def release(self, connection: Connection) -> None: ...

    def discard(self, connection: Connection) -> None:
        """Safe to call twice."""
        ...


class Connection(asyncio.Protocol):
    """Used by one request at a time; `answer` is the one that is arriving."""

    __slots__ = (
        "_chunked",
        "_coding",
        "_head_bytes",
        "_keep_alive",
        "_loop",
        "_overhead",
        "_owner",
        "_parser",
        "_pieces",
        "_sized",
        "_transport",
        "answer",
        "idle_since",
        "on_body",
        "place",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: Owner, place: object) -> None:
        self._loop = loop
        self._owner = owner
        self._pieces: list[bytes] = []  # of the body, from one read
        self.on_body = self._pieces.append  # what the parser calls for each chunk, of which a read may bring many
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._overhead = 0
        self._head_bytes = 0
        self._keep_alive = False
        self._chunked = self._sized = False
        self._coding = b""
        self.place = place  # the owner's mark: where this connection leads
        self.answer: Answer | None = None
        self.idle_since = 0.0
        self.used = False

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def now(self) -> float:
        return self._loop.time()

    def ask(self, head: bytes, body: bytes, stall_s: float) -> Answer:
        """Write a request; the answer fills itself from now on."""
        assert self._transport is not None
        self.answer = answer = Answer(self._loop, self, stall_s)
        self._overhead = self._head_bytes = 0
        self._chunked = self._sized = False
        self._coding = b""
        if len(body) <= _WRITE_AT_ONCE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        return answer

    def time_out(self) -> None:
        """The answer's deadline has passed."""
        answer = self.answer
        if answer is not None:
            answer.end("stalled" if answer.head_done else "first_byte_timeout")
        self.abort()

    def abort(self) -> None:
        self.answer = None
        self._owner.discard(self)
        if self._transport is not None:
            self._transport.abort()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None or self._parser is None:
            self.abort()  # nothing was asked: what else would it say before the next answer?
            return
        answer.heard = True
        is_broken = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            is_broken = True
        arrived = 0
        if pieces := self._pieces:
            arrived = sum(map(len, pieces))
            answer.buffer += pieces
            answer.buffered += arrived
            answer.body_bytes += arrived
            pieces.clear()
        if answer.complete:
            self._finish(answer)
            return
        if is_broken:
            self._fail(answer)
            return
        self._overhead += len(data) - arrived
        if self._overhead > MOST_OVERHEAD + _OVERHEAD_PER_BODY_BYTE * answer.body_bytes:
            self._fail(answer)
        elif answer.draining:
            answer.buffer.clear()
            if arrived > _DRAIN_BYTES:
                answer.drop()
        elif answer.buffer:
            answer.arrived()
            if answer.buffered > _HIGH_WATER and not answer.paused and self._transport is not None:
                answer.paused = True
                self._transport.pause_reading()
        else:
            answer.heard_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.discard(self)
        self._parser = None  # it holds our methods
        self._transport = None
        answer, self.answer = self.answer, None
        if answer is not None:
            until_close = answer.head_done and not self._chunked and not self._sized
            answer.end(None if until_close and exc is None else "cut")

    # What the parser calls

    def on_message_begin(self) -> None:
        if self.answer is None or self.answer.complete:
            raise NotHttp

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self.answer
        assert answer is not None
        if answer.head_done:
            return  # a trailer
        name = _NAMES.get(name) or _lower(name)
        answer.raw_headers.append((name, value))
        self._head_bytes += len(name) + len(value)
        if name in _FRAMING:
            self._note_framing(name, value)

    def _note_framing(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._sized = True
        elif name == b"content-encoding":
            self._coding = self._coding + b"," + value
        elif self._chunked or value.strip().lower() != b"chunked":
            raise NotHttp
        else:
            self._chunked = True

    def on_headers_complete(self) -> None:
        answer, parser = self.answer, self._parser
        assert answer is not None and parser is not None
        status = parser.get_status_code()
        if len(answer.raw_headers) > MOST_HEADERS or self._head_bytes > MOST_OVERHEAD:
            raise NotHttp
        if status < 200:
            if status < 100 or status == 101:
                raise NotHttp
            answer.raw_headers.clear()  # 100 Continue and the like: the answer is yet to come
            return
        if status in _NO_BODY:
            self._sized = True
        elif self._coding:
            try:
                answer.inflate = inflate_for(self._coding.decode("latin-1"))
            except ValueError:
                raise NotHttp from None
        answer.status = status
        answer.head_done = True
        self._keep_alive = parser.should_keep_alive()
        answer.wake()

    def on_message_complete(self) -> None:
        answer = self.answer
        if answer is not None and answer.head_done:
            answer.complete = True

    def _fail(self, answer: Answer) -> None:
        answer.end("cut")
        self.abort()

    def _finish(self, answer: Answer) -> None:
        """The last byte is in: the connection is free, or over."""
        transport = self._transport
        self.answer = None
        answer.end()
        if answer.paused:
            self.resume_reading()
        if self._keep_alive and self.usable and transport is not None and not transport.get_write_buffer_size():
            self._owner.release(self)
        else:  # bytes of the request that the provider did not wait for would be taken for the next one
            self.abort()
