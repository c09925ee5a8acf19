"""The walk of one request. Steps 2 to 8 in order; no step calls back into an earlier one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from accounts.caller import CallerDirectory
from billing.reservation import Reservations
from gateway import admission, answers, choose, funding, settlement
from gateway.attempts import Attempts, Opened
from gateway.config import GatewayConfig
from gateway.errors import GatewayError, NotAvailable, ServerTrouble
from gateway.exchange import Delivery, Exchange
from gateway.journal import Journal
from gateway.limits import RateLimiter
from gateway.protocol.dialects import CLIENT_CODECS
from gateway.protocol.estimate import prompt_tokens_upper
from gateway.protocol.problem import Problem, ProtocolError
from gateway.relay import Relay, StreamBroken, stream_encoder, wait_alive
from gateway.request import ClientLeft, ClientRequest
from gateway.routes import Route
from gateway.upstream.client import UpstreamClient
from observability.logging import request_id_var
from observability.lookups import Lookups
from observability.records import AttemptRecord
from routing.catalogue import CatalogueSnapshots

log = structlog.get_logger(__name__)
CLIENT_LEFT = 499  # nginx's word for it; nobody receives this status


@dataclass(frozen=True, slots=True)
class Services:
    """What one gateway process shares between its requests."""

    config: GatewayConfig
    callers: CallerDirectory
    limiter: RateLimiter
    catalogue: CatalogueSnapshots
    reservations: Reservations
    journal: Journal
    upstream: UpstreamClient
    lookups: Lookups


async def serve(request: ClientRequest, route: Route, services: Services) -> None:
    """Answer one API request in the dialect of its route. Never raises for anything a caller can cause."""
    exchange = Exchange(route.dialect)
    request_id_var.set(exchange.request_id)
    try:
        await _walk(request, route, exchange, services)
    except ClientLeft:
        pass  # before its body was complete: nothing was admitted, nothing is owed
    except asyncio.CancelledError:
        if not request.left.is_set():
            await _fail(request, exchange, _shutting_down())
            raise
        exchange.client_left = True
        exchange.status = CLIENT_LEFT
    except GatewayError as error:
        await _fail(request, exchange, error.problem)
    except ProtocolError as error:
        await _fail(request, exchange, error.problem)
    except StreamBroken as broken:
        if exchange.client_left:
            exchange.status = CLIENT_LEFT  # we broke it off
        else:
            await _fail(request, exchange, broken.problem)
    except Exception as error:
        log.exception("request_crashed", error_class=type(error).__name__)
        exchange.delivery = Delivery()  # our own fault is never charged, whatever was delivered
        await _fail(request, exchange, ServerTrouble("Something went wrong on our side. You were not charged.").problem)
    finally:
        # A task of its own: the server may cut off what is awaited after the client has gone.
        await asyncio.shield(asyncio.ensure_future(settlement.finish(exchange, services.journal)))
        await request.close()


async def _walk(request: ClientRequest, route: Route, exchange: Exchange, services: Services) -> None:
    exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    services.callers.mark_used(exchange.caller.api_key_id)
    caller = exchange.caller
    exchange.rate = await services.limiter.take(caller.organization_id, caller.api_key_id, caller.requests_per_minute)
    admission.check_rate(exchange.rate)
    if services.journal.is_full:
        raise NotAvailable("Usage can't be recorded right now.", code="temporarily_unavailable", retry_after_s=5)
    body = await request.body(services.config.max_body_bytes)
    request.watch()
    exchange.conversation = CLIENT_CODECS[exchange.endpoint].decode_request(body, route.target)
    exchange.strict = caller.strict or request.header(b"x-router-strict").lower() in ("true", "1")
    choose.route(exchange, services.catalogue.current)
    assert exchange.plan is not None
    exchange.prompt_tokens = prompt_tokens_upper(exchange.conversation, exchange.plan.model.slug)
    await funding.hold(exchange, services.reservations, services.config)
    attempts = Attempts(exchange, body, route.target, answers.text_headers(request), services.upstream, services.config)
    if exchange.conversation.stream:
        await _stream(request, exchange, attempts, services)
    else:
        await _collect(request, exchange, attempts, services)


async def _collect(request: ClientRequest, exchange: Exchange, attempts: Attempts, services: Services) -> None:
    """A whole answer: the body goes out once the end is in the journal."""
    opened = await _unless_left(request, exchange, attempts)
    answers.take_reply(exchange, opened)
    exchange.status = 200
    _record_answered(exchange, opened)
    await settlement.finish(exchange, services.journal)
    await request.answer(200, answers.reply_body(exchange, opened), answers.headers(exchange, "application/json"))


async def _unless_left(request: ClientRequest, exchange: Exchange, attempts: Attempts) -> Opened:
    """Wait for the answer; a client that goes meanwhile stops it, by the same rule as in a stream."""
    work = asyncio.ensure_future(attempts.open())
    left = asyncio.ensure_future(request.left.wait())
    try:
        await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done() and attempts.reads_on:
            exchange.client_left = True
            await asyncio.wait({work}, timeout=attempts.read_on_s)
        if work.done():
            return work.result()
        raise asyncio.CancelledError
    finally:
        left.cancel()
        work.cancel()
        await asyncio.gather(work, left, return_exceptions=True)


async def _stream(request: ClientRequest, exchange: Exchange, attempts: Attempts, services: Services) -> None:
    encoder = stream_encoder(exchange)
    opened = await wait_alive(
        attempts.open(),
        request,
        lambda: answers.headers(exchange, "text/event-stream"),
        encoder,
        services.config.keep_alive_s,
    )
    exchange.deployment = opened.deployment
    exchange.status = 200
    error_class = ""
    try:
        if not request.started:
            await request.start(200, answers.headers(exchange, "text/event-stream", opened))
        last = await Relay(exchange, request, services.config, encoder).stream(opened)
    except StreamBroken as broken:
        error_class = "client_left" if exchange.client_left else broken.error_class
        raise
    finally:
        _record_answered(exchange, opened, error_class)
    await settlement.finish(exchange, services.journal)
    await request.write(last, more=False)


def _record_answered(exchange: Exchange, opened: Opened, error_class: str = "") -> None:
    exchange.deployment = opened.deployment
    first = exchange.first_token_s
    begun = opened.started - exchange.started
    exchange.attempts.append(
        AttemptRecord(
            number=opened.number,
            provider=opened.deployment.provider,
            deployment_id=opened.deployment.id,
            dialect=opened.dialect,
            reason=opened.step.reason if opened.number == 1 else "failover",
            started_ms=int(begun * 1000),
            first_token_ms=None if first is None else max(0, int((first - begun) * 1000)),
            duration_ms=int((exchange.elapsed_s() - begun) * 1000),
            status=opened.response.status,
            error_class=error_class,
            error_code="",
        )
    )


async def _fail(request: ClientRequest, exchange: Exchange, problem: Problem) -> None:
    """Tell the caller, in its dialect: by status while that is open, else inside the stream."""
    exchange.status = problem.status
    exchange.error_code = problem.code or problem.kind
    if not request.started:
        body = CLIENT_CODECS[exchange.endpoint].encode_problem(problem, exchange.request_id)
        await request.answer(problem.status, body, answers.problem_headers(exchange, problem))
    elif not request.left.is_set():
        encoder = stream_encoder(exchange)
        await request.write(encoder.problem(problem), more=False)


def _shutting_down() -> Problem:
    return NotAvailable(
        "This server is shutting down. Send the request again.", code="shutting_down", retry_after_s=1
    ).problem
