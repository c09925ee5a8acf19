"""Providers that fail as they are told: one local server in a thread, a path and a mode for each of them.

Speaks OpenAI's chat protocol over plain sockets, so that it can break off in the middle of anything.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

WORDS = ["Hello ", "from ", "a ", "provider."]
USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
SILENCE = {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}
MODES = ("ok", "refuse", "reset", "stall", "limited", "broken", "slow", "malformed", "error_in_200", "empty", "cut")
SLOW_S = 0.4
PONDER_S = 1.0  # between the beginning of a stream and its content


def _chunk(delta: dict[str, object], finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _reply(content: str, **usage: int) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps(
        {
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage or USAGE,
        }
    ).encode()  # fmt: skip


def _words_behind(asked: dict[str, Any]) -> list[str]:
    """The answer, or its rest where its beginning stands in the request as a turn of the assistant."""
    said = [message["content"] for message in asked.get("messages", ()) if message.get("role") == "assistant"]
    whole = "".join(WORDS)
    if not said or not whole.startswith(said[-1]):
        return WORDS
    return [whole[len(said[-1]) :]]


@dataclass
class Faulty:
    """`modes` by provider, changed at any time. `calls` are the times at which each was asked."""

    modes: dict[str, str] = field(default_factory=lambda: defaultdict(lambda: "ok"))
    calls: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bodies: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    retry_after_s: int = 2
    url: str = ""

    def start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await self._stop.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        asked = json.loads(await reader.readexactly(length))
        stream = asked.get("stream", False)
        provider = head.split(b" ", 2)[1].split(b"/")[1].decode()
        self.calls[provider].append(time.monotonic())
        self.bodies[provider].append(asked)
        mode = self.modes[provider]
        if mode == "refuse":
            return False
        if mode == "stall":
            await asyncio.sleep(30)
            return False
        if mode == "slow":
            await asyncio.sleep(SLOW_S)
        if mode in ("limited", "broken"):
            status = b"429 Too Many Requests" if mode == "limited" else b"500 Internal Server Error"
            extra = b"retry-after: %d\r\n" % self.retry_after_s if mode == "limited" else b""
            await _send(writer, status, b'{"error":{"message":"no","type":"server_error"}}', extra)
            return True
        if mode == "malformed":
            await _send(writer, b"200 OK", b"<html>gateway</html>")
            return True
        if mode == "error_in_200":
            await _send(writer, b"200 OK", b'{"error":{"message":"no","type":"server_error","code":"internal"}}')
            return True
        if stream:
            return await self._stream(writer, mode, _words_behind(asked))
        body = _reply("", **SILENCE) if mode == "empty" else _reply("".join(WORDS))
        if mode in ("reset", "cut"):
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n" + body[:20]
            )
            await writer.drain()
            return False
        await _send(writer, b"200 OK", body)
        return True

    async def _stream(self, writer: asyncio.StreamWriter, mode: str, words: list[str]) -> bool:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        events = [_chunk({"role": "assistant", "content": ""})]
        if mode != "empty":
            events += [_chunk({"content": word}) for word in words]
        usage = SILENCE if mode == "empty" else USAGE
        events += [_chunk({}, "stop"), _chunk({}, None, usage=usage), b"data: [DONE]\n\n"]
        if mode == "reset":  # before any content
            events = events[:1]
        if mode in ("cut", "hang", "fails_late", "garbage_late"):  # after some
            events = events[:3]
        if mode == "fails_late":
            events.append(b'data: {"error":{"message":"no","type":"server_error"}}\n\n')
        if mode == "garbage_late":
            events.append(b"data: {no json\n\n")
        writer.write(head)
        for event in events:
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            if mode == "ponder" and event is events[0]:
                await asyncio.sleep(PONDER_S)
        if mode == "hang":
            await asyncio.sleep(30)
        if mode in ("reset", "cut", "hang"):
            writer.transport.abort()
            return False
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


async def _send(writer: asyncio.StreamWriter, status: bytes, body: bytes, extra: bytes = b"") -> None:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n" % (status, len(body), extra)
    writer.write(head + body)
    await writer.drain()
