"""The sandbox provider: a provider that costs nothing, needs no key and always answers the same.

    uvicorn gateway.sandbox.app:application --port 8100

It speaks the OpenAI Chat and the Anthropic Messages dialect over raw ASGI, keeps no text and needs neither
Django, PostgreSQL nor Redis. docs/sandbox.md has the models and the options.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from gateway.sandbox import anthropic_wire, openai_wire
from gateway.sandbox.answers import EMPTY, Reply, compose
from gateway.sandbox.anthropic_request import read_prompt
from gateway.sandbox.connection import ClientLeft, Connection, Receive, Scope, Send
from gateway.sandbox.faults import FaultCounter
from gateway.sandbox.model_list import anthropic_models, openai_models
from gateway.sandbox.question import Json, Question, Refused
from gateway.sandbox.script import BadOption, Fault, Script, UnknownModel, read_script
from gateway.sandbox.tokens import PromptMemory, PromptTokens, prompt_tokens
from gateway.sandbox.wire import Wire

_JSON = {"content-type": "application/json"}
# What reading a body or a schema raises where a part of it is of an unexpected type.
_SHAPE_ERRORS = (AttributeError, KeyError, TypeError, ValueError, RecursionError, OverflowError)
_SSE = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}


class Sandbox:
    """The ASGI application. It remembers keyed hashes of prompts and counts of scripted faults, both bounded."""

    def __init__(self) -> None:
        self._memory = PromptMemory(os.urandom(16))
        self._faults = FaultCounter()
        self._wires: dict[str, Wire] = {"/v1/chat/completions": openai_wire, "/v1/messages": anthropic_wire}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            connection = Connection(scope, receive, send)
            try:
                await self._serve(connection)
            except ClientLeft:
                pass  # returning without an end closes the connection
            finally:
                await connection.close()

    async def _serve(self, connection: Connection) -> None:
        path = connection.path.rstrip("/") or "/"
        wire = self._wires.get(path)
        if wire is not None and connection.method == "POST":
            await self._answer(connection, wire)
        elif path == "/v1/messages/count_tokens" and connection.method == "POST":
            await self._count(connection)
        elif path == "/healthz":
            await _send_json(connection, 200, {"status": "ok"}, {})
        elif path == "/v1/models" or path.startswith("/v1/models/"):
            await _list_models(connection, path.removeprefix("/v1/models").removeprefix("/"))
        else:
            refused = Refused(405 if wire else 404, f"Unknown request URL: {connection.method} {path[:100]}.")
            await _send_json(connection, refused.status, openai_wire.problem(refused, ""), {})

    async def _answer(self, connection: Connection, wire: Wire) -> None:
        seed = ""
        try:
            raw = await connection.body()
            script_header = connection.header("x-sandbox")
            seed = hashlib.sha256(b"\0".join((wire.NAME.encode(), script_header.encode(), raw))).hexdigest()
            question = _read(wire.read, raw)
            script = _script(question.model, script_header)
            _check_key(connection, script)
            fault = self._faults.next(seed, script.fail)
            await connection.pause(script.first_ms)
            if fault is not None and fault.status is not None:
                raise wire.fault(fault.status, question, script.retry_after)
            if fault is not None and fault.what == "error" and not question.stream:
                raise wire.fault(500, question, script.retry_after)
            reply = self._reply(seed, wire, question, script, fault)
        except Refused as refused:
            await _refuse(connection, wire, refused, seed)
            return
        if question.stream:
            await _stream(connection, wire, reply, script, fault)
        else:
            await _whole(connection, wire, reply, script, fault)

    def _reply(self, seed: str, wire: Wire, question: Question, script: Script, fault: Fault | None) -> Reply:
        if fault is not None and fault.what == "empty":
            answer = replace(EMPTY, finish=script.finish or EMPTY.finish)
            return Reply(seed, question, answer, PromptTokens(0), usage=script.usage)
        try:
            answer = compose(question, script)
        except _SHAPE_ERRORS:
            raise Refused(400, "Invalid schema: no value was found for it.", code="invalid_schema") from None
        return Reply(seed, question, answer, self._prompt(wire, question, script), usage=script.usage)

    def _prompt(self, wire: Wire, question: Question, script: Script) -> PromptTokens:
        if script.cached is not None:
            return prompt_tokens(question.segments, script.cached)
        meet = self._memory.meet_marked if wire.NAME == anthropic_wire.NAME else self._memory.meet_automatic
        return meet(f"{wire.NAME} {question.model}", question.segments)

    async def _count(self, connection: Connection) -> None:
        try:
            question = _read(read_prompt, await connection.body())
            _script(question.model, connection.header("x-sandbox"))
        except Refused as refused:
            await _refuse(connection, anthropic_wire, refused, "")
            return
        await _send_json(connection, 200, {"input_tokens": prompt_tokens(question.segments).total}, {})


def _read(read: Callable[[Json], Question], raw: bytes) -> Question:
    """The question in a body. Raises Refused whatever is wrong with it."""
    try:
        return read(_parsed(raw))
    except _SHAPE_ERRORS:
        raise Refused(400, "The body of the request has the wrong shape.") from None


def _parsed(raw: bytes) -> Json:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Refused(400, "We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The body of the request must be a JSON object.")
    return body


def _script(model: str, header: str) -> Script:
    try:
        return read_script(model, header)
    except UnknownModel:
        message = f"The model `{model[:80]}` does not exist or you do not have access to it."
        raise Refused(404, message, code="model_not_found") from None
    except BadOption as bad:
        raise Refused(400, f"Sandbox: {bad}.", code="invalid_value", param="model") from None


def _check_key(connection: Connection, script: Script) -> None:
    if script.auth and not (connection.header("authorization") or connection.header("x-api-key")):
        raise Refused(401, "You didn't provide an API key.", code="invalid_api_key")


async def _refuse(connection: Connection, wire: Wire, refused: Refused, seed: str) -> None:
    seed = seed or "0" * 64
    headers = dict(wire.headers(seed))
    if refused.retry_after is not None:
        headers["retry-after"] = str(refused.retry_after)
    await _send_json(connection, refused.status, wire.problem(refused, seed), headers)


async def _send_json(connection: Connection, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
    data = orjson.dumps(body)
    await connection.start(status, {**_JSON, **headers, "content-length": str(len(data))})
    await connection.write(b"" if connection.method == "HEAD" else data, more=False)


async def _whole(connection: Connection, wire: Wire, reply: Reply, script: Script, fault: Fault | None) -> None:
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


async def _stream(connection: Connection, wire: Wire, reply: Reply, script: Script, fault: Fault | None) -> None:
    """Paced frames; a stream fault comes after `after` content frames, or after the last if there are fewer."""
    await connection.start(200, {**_SSE, **wire.headers(reply.seed)})
    breaks = fault is not None and fault.what != "empty"
    pieces = sum(len(block.pieces) for block in reply.answer.blocks) * reply.question.choices
    break_at = min(script.after, pieces)
    sent = 0
    for frame in wire.frames(reply):
        if breaks and sent >= break_at and (sent or frame.content):
            break
        if frame.content:
            await connection.pause(script.gap_ms if sent else 0)
            sent += 1
        await connection.write(frame.data)
    if not breaks:
        await connection.write(b"", more=False)
    elif fault is not None:
        await _break_stream(connection, wire, script, fault)


async def _break_stream(connection: Connection, wire: Wire, script: Script, fault: Fault) -> None:
    """Returning without the last body part makes the server close the connection without an end."""
    await connection.pause(script.gap_ms)
    if fault.what == "stall":
        await connection.pause(script.stall_ms)
    elif fault.what in ("error", "malformed"):
        frame = wire.error_frame() if fault.what == "error" else wire.broken_frame()
        await connection.write(frame.data, more=False)


async def _list_models(connection: Connection, name: str) -> None:
    body = anthropic_models(name) if connection.header("anthropic-version") else openai_models(name)
    if body is not None:
        await _send_json(connection, 200, body, {})
        return
    wire: Wire = anthropic_wire if connection.header("anthropic-version") else openai_wire
    await _refuse(
        connection, wire, Refused(404, f"The model '{name[:80]}' does not exist.", code="model_not_found"), ""
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


application = Sandbox()
