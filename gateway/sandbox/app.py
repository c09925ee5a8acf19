"""The sandbox provider: a provider that costs nothing, needs no key and always answers the same.

    uvicorn gateway.sandbox.app:application --port 8100

It speaks OpenAI Chat, OpenAI Responses, Anthropic Messages, Gemini and OpenAI Embeddings over raw ASGI, keeps no
text and needs neither Django, PostgreSQL nor Redis. docs/sandbox.md has the models and the options.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import orjson

from gateway.sandbox import anthropic_wire, embeddings_wire, gemini_wire, openai_wire
from gateway.sandbox.answers import EMPTY, Reply, compose
from gateway.sandbox.connection import ClientLeft, Connection, Receive, Scope, Send
from gateway.sandbox.endpoints import Endpoint, find_endpoint
from gateway.sandbox.faults import FaultCounter
from gateway.sandbox.model_list import anthropic_models, gemini_models, openai_models
from gateway.sandbox.question import Json, Question, Refused
from gateway.sandbox.script import BadOption, Fault, Script, UnknownModel, read_script
from gateway.sandbox.sending import refuse, send_json, send_stream, send_whole
from gateway.sandbox.tokens import PromptMemory, PromptTokens, prompt_tokens
from gateway.sandbox.wire import Wire

# What reading a body or a schema raises where a part of it is of an unexpected type.
_SHAPE_ERRORS = (AttributeError, KeyError, TypeError, ValueError, RecursionError, OverflowError)


class Sandbox:
    """The ASGI application. It remembers keyed hashes of prompts and counts of scripted faults, both bounded."""

    def __init__(self) -> None:
        self._memory = PromptMemory(os.urandom(16))
        self._faults = FaultCounter()

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
        endpoint = find_endpoint(path)
        if endpoint is not None and connection.method == "POST":
            await (self._count if endpoint.counts else self._answer)(connection, endpoint)
        elif path == "/healthz":
            await send_json(connection, 200, {"status": "ok"}, {})
        elif path == "/v1/models" or path.startswith("/v1/models/"):
            await _list_models(connection, path.removeprefix("/v1/models").removeprefix("/"))
        elif path == "/v1beta/models":
            await send_json(connection, 200, gemini_models(), {})
        else:
            wire: Wire = gemini_wire if path.startswith("/v1beta") else openai_wire
            refused = Refused(405 if endpoint else 404, f"Unknown request URL: {connection.method} {path[:100]}.")
            await send_json(connection, refused.status, wire.problem(refused, ""), {})

    async def _answer(self, connection: Connection, endpoint: Endpoint) -> None:
        wire, seed = endpoint.wire, ""
        try:
            raw = await connection.body()
            script_header = connection.header("x-sandbox")
            named = " ".join((wire.NAME, *map(str, endpoint.asked.values())))
            seed = hashlib.sha256(b"\0".join((named.encode(), script_header.encode(), raw))).hexdigest()
            question = _read(endpoint, raw)
            _check_stream(connection, wire, question)
            script = _script(wire, question.model, script_header)
            _check_key(connection, wire, script)
            fault = self._faults.next(seed, script.fail)
            await connection.pause(script.first_ms)
            if fault is not None and fault.status is not None:
                raise wire.fault(fault.status, question, script.retry_after)
            if fault is not None and fault.what == "error" and not question.stream:
                raise wire.fault(500, question, script.retry_after)
            reply = self._reply(seed, wire, question, script, fault)
        except Refused as refused:
            await refuse(connection, wire, refused, seed)
            return
        await (send_stream if question.stream else send_whole)(connection, wire, reply, script, fault)

    def _reply(self, seed: str, wire: Wire, question: Question, script: Script, fault: Fault | None) -> Reply:
        if fault is not None and fault.what == "empty":
            answer = replace(EMPTY, finish=script.finish or EMPTY.finish)
            return Reply(seed, question, answer, PromptTokens(0), usage=script.usage is not None)
        try:
            answer = compose(question, script)
        except _SHAPE_ERRORS:
            raise Refused(400, "Invalid schema: no value was found for it.", code="invalid_schema") from None
        prompt = self._prompt(wire, question, script)
        if script.usage is None:
            return Reply(seed, question, answer, prompt, usage=False)
        return Reply(seed, question, answer.times(script.usage), prompt.times(script.usage))

    def _prompt(self, wire: Wire, question: Question, script: Script) -> PromptTokens:
        if script.cached is not None:
            return prompt_tokens(question.segments, script.cached)
        meet = self._memory.meet_marked if wire.NAME == anthropic_wire.NAME else self._memory.meet_automatic
        return meet(f"{wire.NAME} {question.model}", question.segments)

    async def _count(self, connection: Connection, endpoint: Endpoint) -> None:
        try:
            question = _read(endpoint, await connection.body())
            _script(endpoint.wire, question.model, connection.header("x-sandbox"))
        except Refused as refused:
            await refuse(connection, endpoint.wire, refused, "")
            return
        if endpoint.counts is not None:
            await send_json(connection, 200, endpoint.counts(prompt_tokens(question.segments).total), {})


def _read(endpoint: Endpoint, raw: bytes) -> Question:
    """The question in a body. Raises Refused whatever is wrong with it."""
    try:
        return endpoint.read({**_parsed(raw), **endpoint.asked})
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


def _script(wire: Wire, model: str, header: str) -> Script:
    try:
        script = read_script(model, header)
    except UnknownModel:
        raise wire.unknown_model(model) from None
    except BadOption as bad:
        raise Refused(400, f"Sandbox: {bad}.", code="invalid_value", param="model") from None
    if (script.behaviour == "embedding") != (wire.NAME == embeddings_wire.NAME):
        raise wire.unknown_model(model)
    return script


def _check_key(connection: Connection, wire: Wire, script: Script) -> None:
    sent = any(connection.header(name) for name in ("authorization", "x-api-key", "x-goog-api-key"))
    if script.auth and not sent and "key" not in connection.query:
        raise wire.no_key()


def _check_stream(connection: Connection, wire: Wire, question: Question) -> None:
    """Without `alt=sse` the vendor streams one long JSON list, which nobody here speaks."""
    if wire.NAME == gemini_wire.NAME and question.stream and connection.query.get("alt") != "sse":
        raise Refused(400, "Sandbox: streamGenerateContent is offered with alt=sse only.")


async def _list_models(connection: Connection, name: str) -> None:
    body = anthropic_models(name) if connection.header("anthropic-version") else openai_models(name)
    if body is not None:
        await send_json(connection, 200, body, {})
        return
    wire: Wire = anthropic_wire if connection.header("anthropic-version") else openai_wire
    await refuse(connection, wire, wire.unknown_model(name), "")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


application = Sandbox()
