"""The bodies and headers of our answers."""

from __future__ import annotations

from gateway.attempts import Opened
from gateway.exchange import Exchange
from gateway.protocol.conversation import ToolCall
from gateway.protocol.dialects import CLIENT_CODECS
from gateway.protocol.embeddings import codec as embeddings
from gateway.protocol.embeddings.request import DIALECT as EMBEDDINGS
from gateway.protocol.estimate import text_tokens
from gateway.protocol.problem import Problem
from gateway.protocol.reply import Reply
from gateway.relay import reply_context
from gateway.request import ClientRequest, Header, header_list

# Waiting does not cure these, so a client must not send them again by itself.
_FINAL = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 426})


def text_headers(request: ClientRequest) -> dict[str, str]:
    """The caller's headers as text, lower-case names."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}


def headers(exchange: Exchange, content_type: str, opened: Opened | None = None) -> list[Header]:
    """The headers of a good answer. Before the first content event the provider is not known yet."""
    values = {"content-type": content_type, "cache-control": "no-cache", **_ids(exchange)}
    if content_type == "text/event-stream":
        values["x-accel-buffering"] = "no"  # reverse proxies would hold events back
    if exchange.rate is not None:
        values.update(exchange.rate.headers())
    if opened is not None or exchange.deployment is not None:
        deployment = opened.deployment if opened is not None else exchange.deployment
        assert deployment is not None
        values["x-router-provider"] = deployment.provider
        values["x-router-model"] = deployment.model
        values["x-router-attempts"] = str(opened.number if opened is not None else len(exchange.attempts))
        values["x-router-overhead-ms"] = f"{exchange.overhead_s() * 1000:.2f}"
    if exchange.finished:
        values["x-router-cost"] = f"{exchange.charge_nanos / 1e9:.9f}"
    if exchange.dropped:
        values["x-router-dropped"] = ",".join(exchange.dropped)[:1000]
    if exchange.output_cap is not None:
        values["x-router-output-cap"] = str(exchange.output_cap)
    return header_list(values)


def problem_headers(exchange: Exchange, problem: Problem) -> list[Header]:
    values = {"content-type": "application/json", **_ids(exchange)}
    final = problem.status in _FINAL and problem.retry_after_s is None  # what is not there yet may come
    values["x-should-retry"] = "false" if final else "true"
    if exchange.rate is not None:
        values.update(exchange.rate.headers())
    if problem.status in (429, 503) or problem.retry_after_s is not None:
        values["retry-after"] = str(problem.retry_after_s or 1)
    if exchange.attempts:
        values["x-router-attempts"] = str(len(exchange.attempts))
    if problem.status == 401:
        values["www-authenticate"] = "Bearer"
    return header_list(values)


def _ids(exchange: Exchange) -> dict[str, str]:
    # The OpenAI SDK reads the first name, Anthropic's the second.
    return {"x-request-id": exchange.request_id, "request-id": exchange.request_id}


def take_reply(exchange: Exchange, opened: Opened) -> None:
    """Note what a whole answer says of itself."""
    reply = opened.reply
    assert reply is not None
    delivery = exchange.delivery
    delivery.usage = reply.usage
    delivery.service_tier = reply.service_tier or ""
    delivery.complete = True
    delivery.finish_reason = next((choice.finish.value for choice in reply.choices if choice.finish), "")
    delivery.content = any(choice.parts for choice in reply.choices)
    if reply.usage is None:
        delivery.text_tokens = _reply_tokens(reply)


def _reply_tokens(reply: Reply) -> float:
    total = 0.0
    for choice in reply.choices:
        for part in choice.parts:
            text = part.arguments if isinstance(part, ToolCall) else getattr(part, "text", None)
            total += text_tokens(text) if isinstance(text, str) else 0
    return total


def reply_body(exchange: Exchange, opened: Opened) -> bytes:
    """The provider's own bytes for a client of its dialect, else the translated reply."""
    assert exchange.conversation is not None
    if opened.dialect == EMBEDDINGS:
        return embeddings.answer(opened.raw, exchange.conversation, opened.deployment.model)
    if opened.same_dialect:
        return opened.raw
    assert opened.reply is not None
    return CLIENT_CODECS[exchange.endpoint].encode_reply(opened.reply, reply_context(exchange))
