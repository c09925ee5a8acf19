"""The bodies and headers of our answers."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from billing.pricing.money import NANOS_PER_USD
from gateway.attempt import Opened
from gateway.exchange import Exchange
from gateway.plausible import is_believable
from gateway.protocol.conversation import ToolCall
from gateway.protocol.cost import with_cost
from gateway.protocol.dialects import CLIENT_CODECS, UPSTREAM_CODECS
from gateway.protocol.embeddings import codec as embeddings
from gateway.protocol.embeddings.request import DIALECT as EMBEDDINGS
from gateway.protocol.estimate import likely_tokens
from gateway.protocol.problem import Problem
from gateway.protocol.reply import Reply, UsageReport
from gateway.relay import reply_context
from gateway.request import Header, header_list

JSON = b"application/json"
EVENTS = b"text/event-stream"
_OF_JSON: tuple[Header, ...] = ((b"content-type", JSON), (b"cache-control", b"no-cache"))
# Reverse proxies would hold events back without the last one.
_OF_EVENTS: tuple[Header, ...] = (
    (b"content-type", EVENTS),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)

# Waiting does not cure these, so a client must not send them again by itself.
_FINAL = frozenset({400, 401, 402, 403, 404, 405, 413, 415, 422, 426})


def headers(exchange: Exchange, content_type: bytes, opened: Opened | None = None) -> list[Header]:
    """The headers of a good answer. Before the first content event the provider is not known yet."""
    request_id = exchange.request_id.encode()
    # The OpenAI SDK reads the first id, Anthropic's the second.
    values: list[Header] = [
        *(_OF_EVENTS if content_type is EVENTS else _OF_JSON),
        (b"x-request-id", request_id),
        (b"request-id", request_id),
    ]
    if exchange.rate is not None:
        values += exchange.rate.headers(anthropic=exchange.endpoint == "anthropic_messages")
    deployment = opened.deployment if opened is not None else exchange.deployment
    if deployment is not None:
        number = opened.number if opened is not None else len(exchange.attempts)
        values += (
            *_whose(deployment.provider, deployment.model),
            (b"x-router-attempts", b"%d" % number),
            (b"x-router-overhead-ms", b"%.2f" % (exchange.overhead_s() * 1000)),
        )
    if exchange.finished:
        values.append((b"x-router-cost", usd(exchange.charge_nanos)))
    if exchange.dropped:
        values += header_list({"x-router-dropped": ",".join(exchange.dropped)[:1000]})
    if exchange.output_cap is not None:
        values.append((b"x-router-output-cap", b"%d" % exchange.output_cap))
    return values


@lru_cache(maxsize=4096)
def _whose(provider: str, model: str) -> tuple[Header, Header]:
    return (b"x-router-provider", provider.encode()), (b"x-router-model", model.encode())


@lru_cache(maxsize=4096)
def usd(nanos: int) -> bytes:
    """Dollars with nine places, written from whole nanos."""
    return b"%d.%09d" % divmod(nanos, NANOS_PER_USD)


def problem_headers(exchange: Exchange, problem: Problem) -> list[Header]:
    values = {
        "content-type": "application/json",
        "x-request-id": exchange.request_id,
        "request-id": exchange.request_id,
    }
    final = problem.status in _FINAL and problem.retry_after_s is None  # what is not there yet may come
    if exchange.rate is None or not exchange.rate.never:
        values["x-should-retry"] = "false" if final else "true"
    told = exchange.rate is not None and exchange.rate.retry_after_s is not None  # the limits say it themselves
    if not told and (problem.status in (429, 503) or problem.retry_after_s is not None):
        values["retry-after"] = str(problem.retry_after_s or 1)
    if exchange.attempts:
        values["x-router-attempts"] = str(len(exchange.attempts))
    if problem.status == 401:
        values["www-authenticate"] = "Bearer"
    rate = (
        exchange.rate.headers(anthropic=exchange.endpoint == "anthropic_messages") if exchange.rate is not None else []
    )
    return [*header_list(values), *rate]


def take_reply(exchange: Exchange, opened: Opened) -> None:
    """Note what a whole answer says of itself."""
    delivery = exchange.delivery
    delivery.complete = True
    seen = opened.seen
    if seen is not None:
        delivery.usage = seen.usage
        delivery.service_tier = seen.service_tier
        delivery.finish_reason = seen.finish_reason
        delivery.content = seen.content
        delivery.text_tokens = seen.text_tokens
        if seen.usage is not None and not is_believable(exchange, seen.usage):
            delivery.text_tokens = _reply_tokens(UPSTREAM_CODECS[opened.dialect].decode_reply(opened.raw))
        return
    reply = opened.reply
    assert reply is not None
    delivery.usage = reply.usage
    delivery.service_tier = reply.service_tier or ""
    delivery.finish_reason = next((choice.finish.value for choice in reply.choices if choice.finish), "")
    delivery.content = any(choice.parts for choice in reply.choices)
    if reply.usage is None or not is_believable(exchange, reply.usage):
        delivery.text_tokens = _reply_tokens(reply)


def _reply_tokens(reply: Reply) -> float:
    total = 0.0
    for choice in reply.choices:
        for part in choice.parts:
            text = part.arguments if isinstance(part, ToolCall) else getattr(part, "text", None)
            total += likely_tokens(text) if isinstance(text, str) else 0
    return total


def reply_body(exchange: Exchange, opened: Opened) -> bytes:
    """The provider's own bytes for a client of its dialect, else the translated reply; both with the cost in the usage.

    Call once the charge is known.
    """
    if opened.dialect == EMBEDDINGS and exchange.conversation is not None:
        answer = embeddings.answer(opened.raw, exchange.conversation, opened.deployment.model)
        return with_cost(EMBEDDINGS, answer, usd(exchange.charge_nanos))
    if opened.same_dialect:
        own_costs = opened.seen is not None and opened.seen.own_costs
        return with_cost(exchange.endpoint, opened.raw, usd(exchange.charge_nanos), own_costs=own_costs)
    reply = opened.reply
    assert reply is not None
    if exchange.usage_told is not None:
        reply = replace(reply, usage=UsageReport(exchange.usage_told))
    return CLIENT_CODECS[exchange.endpoint].encode_reply(reply, reply_context(exchange))
