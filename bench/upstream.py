"""A provider that costs nearly nothing: OpenAI chat completions, plain and streamed, with usage in every reply.

    python -m bench.upstream --port 21000

How it answers stands in the request's text, which every gateway passes on unchanged: `#bench:l20-c200-g5#` waits 20 ms
before the first byte, and streams 200 chunks with 5 ms between them; `b` is the length of a plain reply in bytes.
One process: about 50,000 replies or 200,000 chunks a second on one core. Every chunk is a write of its own, as with a
real provider.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import time
from dataclasses import dataclass
from typing import Any

import uvloop

MODEL = "gpt-4o-mini"  # a name that every gateway knows
OUTPUT_TOKENS = 200
_COARSE_S = 0.002
_SIGN = b"#bench:"
_KNOB = re.compile(rb"([lcgb])(\d+)")
# Several, as some gateways abort a stream that repeats one chunk many times.
_WORDS = (" lorem", " ipsum", " dolor", " amet,", " magna", " velit", " culpa", " nulla")
_USAGE = {
    "prompt_tokens": 57,
    "completion_tokens": OUTPUT_TOKENS,
    "total_tokens": 57 + OUTPUT_TOKENS,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
_COMMON = {"id": "chatcmpl-bench00000000000000000000", "created": 1760000000, "model": MODEL}
_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1760000000, "owned_by": "bench"}]}
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Made once per kind of request. Times in seconds; `plain` is the whole reply, or None for a stream."""

    latency_s: float
    plain: bytes | None
    chunks: int = 0
    gap_s: float = 0.0
    first: bytes = b""
    words: tuple[bytes, ...] = ()
    last: bytes = b""


def make_answer(knobs: dict[bytes, int], *, stream: bool, with_usage: bool) -> Answer:
    latency_s = knobs.get(b"l", 0) / 1000
    if not stream:
        return Answer(latency_s, _plain(knobs.get(b"b", 640)))
    return Answer(
        latency_s,
        None,
        knobs.get(b"c", 200),
        knobs.get(b"g", 0) / 1000,
        _STREAM_HEAD + _event({"role": "assistant", "content": "", "refusal": None}, with_usage),
        tuple(_event({"content": word}, with_usage) for word in _WORDS),
        _end(with_usage),
    )


def _plain(size: int) -> bytes:
    text = ("".join(_WORDS) * (size // 40 + 1))[:size]
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE, "service_tier": "default"}
    return _reply(body)


def _reply(body: Any) -> bytes:
    raw = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_bench\r\ncontent-length: %d\r\n\r\n"
    return head % len(raw) + raw


def _event(delta: dict[str, Any], with_usage: bool, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _chunk(
        {
            **_COMMON,
            "object": "chat.completion.chunk",
            "service_tier": "default",
            "choices": [choice],
            **({"usage": None} if with_usage else {}),
        }
    )


def _chunk(event: dict[str, Any]) -> bytes:
    data = b"data: " + json.dumps(event, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


def _end(with_usage: bool) -> bytes:
    end = _event({}, with_usage, "stop")
    if with_usage:
        end += _chunk({**_COMMON, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE})
    return end + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One connection; requests one after the other."""

    answers: dict[tuple[bytes, bool, bool], Answer] = {}

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting = b""
        self._busy = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._waiting = self._waiting + data if self._waiting else data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        taken = take_request(self._waiting)
        if taken is None:
            return
        head, body, self._waiting = taken
        if head.startswith(b"get"):
            self._transport.write(_reply(_MODELS))
            self._done()
            return
        self._busy = True
        answer = self._answer_to(body)
        if answer.latency_s:
            self._wait(answer, time.perf_counter() + answer.latency_s)
        else:
            self._begin(answer)

    def _wait(self, answer: Answer, due: float) -> None:
        """The loop's timers are whole milliseconds: more than some targets add. So the last two are waited out."""
        left = due - time.perf_counter()
        if left > _COARSE_S:
            self._loop.call_later(left - _COARSE_S, self._wait, answer, due)
        elif left > 0:
            self._loop.call_soon(self._wait, answer, due)
        else:
            self._begin(answer)

    def _answer_to(self, body: bytes) -> Answer:
        start = body.find(_SIGN)
        knobs = body[start : body.find(b"#", start + len(_SIGN))] if start >= 0 else b""
        # A gateway may write the fields in any order, but never into the middle of a long text.
        ends = body if len(body) < 65536 else body[:4096] + body[-4096:]
        stream = b'"stream":true' in ends or b'"stream": true' in ends
        with_usage = b'"include_usage":true' in ends or b'"include_usage": true' in ends
        key = (knobs, stream, with_usage)
        if key not in self.answers:
            values = {name: int(value) for name, value in _KNOB.findall(knobs[len(_SIGN) :])}
            self.answers[key] = make_answer(values, stream=stream, with_usage=with_usage)
        return self.answers[key]

    def _begin(self, answer: Answer) -> None:
        if self._transport.is_closing():
            return
        if answer.plain is not None:
            self._transport.write(answer.plain)
            self._done()
            return
        self._transport.write(answer.first)
        self._chunk(answer, 0)

    def _chunk(self, answer: Answer, number: int) -> None:
        if self._transport.is_closing():
            return
        if number >= answer.chunks:
            self._transport.write(answer.last)
            self._done()
            return
        self._transport.write(answer.words[number & 7])
        if answer.gap_s:
            self._loop.call_later(answer.gap_s, self._chunk, answer, number + 1)
        else:
            self._loop.call_soon(self._chunk, answer, number + 1)

    def _done(self) -> None:
        self._busy = False
        if self._waiting:
            self._next()


def take_request(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """Head in lower case, body, rest; None until a request is complete."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, start = data[:end].lower(), end + 4
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return (head, data[start : start + length], data[start + length :]) if len(data) >= start + length else None
    if b"transfer-encoding: chunked" in head:
        taken = _take_chunks(data, start)
        return (head, *taken) if taken else None
    return head, b"", data[start:]


def _take_chunks(data: bytes, at: int) -> tuple[bytes, bytes] | None:
    parts: list[bytes] = []
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].split(b";")[0], 16)
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        if size == 0:
            return b"".join(parts), data[at:]
        parts.append(data[line + 2 : line + 2 + size])
    return None


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    try:
        uvloop.run(serve(parser.parse_args().port))
    except KeyboardInterrupt:
        pass
