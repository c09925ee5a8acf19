"""How the sandbox sends an answer: whole or as a stream, and broken where that was asked for."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.sandbox import gemini_wire
from gateway.sandbox.answers import Reply
from gateway.sandbox.connection import Connection
from gateway.sandbox.question import Refused
from gateway.sandbox.script import Fault, Script
from gateway.sandbox.wire import Wire

_JSON = {"content-type": "application/json"}
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


async def refuse(connection: Connection, wire: Wire, refused: Refused, seed: str) -> None:
    seed = seed or "0" * 64
    headers = dict(wire.headers(seed))
    if refused.retry_after is not None and wire.NAME != gemini_wire.NAME:
        headers["retry-after"] = str(refused.retry_after)
    await send_json(connection, refused.status, wire.problem(refused, seed), headers)


async def send_json(connection: Connection, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
    data = orjson.dumps(body)
    await connection.start(status, {**_JSON, **headers, "content-length": str(len(data))})
    await connection.write(b"" if connection.method == "HEAD" else data, more=False)


async def send_whole(connection: Connection, wire: Wire, reply: Reply, script: Script, fault: Fault | None) -> None:
    data = orjson.dumps(wire.whole(reply))
    kept = len(data) // 2
    if fault is not None and fault.what == "stall":
        await connection.pause(script.stall_ms)
        return
    if fault is not None and fault.what == "malformed":
        data = data[:kept]
    await connection.start(200, {**_JSON, **wire.headers(reply.seed), "content-length": str(len(data))})
    if fault is not None and fault.what == "cut":
        await connection.write(data[:kept])
        return  # less than was promised: the server closes the connection
    await connection.write(data, more=False)


async def send_stream(connection: Connection, wire: Wire, reply: Reply, script: Script, fault: Fault | None) -> None:
    """Paced frames; a stream fault comes after `after` content frames, or after the last if there are fewer."""
    await connection.start(200, {**_SSE, **wire.headers(reply.seed)})
    breaks = fault is not None and fault.what != "empty"
    break_at = min(script.after, sum(frame.content for frame in wire.frames(reply))) if breaks else 0
    sent = 0
    frames = 0
    for frame in wire.frames(reply):
        if breaks and sent >= break_at and (sent or frame.content):
            break
        if frame.content:
            await connection.pause(script.gap_ms if sent else 0)
            sent += 1
        await connection.write(frame.data)
        frames += 1
    if not breaks:
        await connection.write(b"", more=False)
    elif fault is not None:
        await connection.pause(script.gap_ms)
        await _break(connection, wire, reply, script, fault, frames)


async def _break(connection: Connection, wire: Wire, reply: Reply, script: Script, fault: Fault, frames: int) -> None:
    """Returning without the last body part makes the server close the connection without an end."""
    if fault.what == "stall":
        await connection.pause(script.stall_ms)
    elif fault.what in ("error", "malformed"):
        frame = wire.error_frame(reply, frames) if fault.what == "error" else wire.broken_frame()
        await connection.write(frame.data, more=False)
