"""The walk of one request. Steps 2 to 8 in order; no step calls back into an earlier one."""

from __future__ import annotations

import asyncio

import structlog

from gateway import admission, answers, continuing, idempotency, metadata, retries, settlement
from gateway.attempt import Opened, Sender
from gateway.attempts import Attempts, reason_of
from gateway.errors import Conflict, GatewayError, NotAvailable, ServerTrouble, TookTooLong
from gateway.exchange import Delivery, Exchange
from gateway.guard import Guard
from gateway.protocol.cost import with_cost
from gateway.protocol.dialects import CLIENT_CODECS, GLANCES
from gateway.protocol.estimate import for_model, prompt_tokens_upper
from gateway.protocol.problem import Problem, ProtocolError
from gateway.relay import Relay, StreamBroken, pass_on, stream_encoder
from gateway.request import ClientLeft, ClientRequest
from gateway.routes import Route
from gateway.services import Services
from observability.logging import request_id_var
from observability.records import AttemptRecord

log = structlog.get_logger(__name__)
CLIENT_LEFT = 499  # nginx's word for it; nobody receives this status


async def serve(request: ClientRequest, route: Route, services: Services) -> None:
    """Answer one API request in the dialect of its route. Never raises for anything a caller can cause."""
    exchange = Exchange(route.dialect)
    request_id_var.set(exchange.request_id)
    guard = Guard(request, exchange, services.config)
    try:
        await _walk(request, route, exchange, guard, services)
    except ClientLeft:
        pass  # before its body was complete: nothing was admitted, nothing is owed
    except asyncio.CancelledError:
        if not guard.stopped():
            await _fail(request, exchange, _shutting_down())
            raise
        await _stopped(request, exchange)
    except Exception as error:
        await _failed(request, exchange, error)
    finally:
        guard.close()
        await _end(request, exchange, services)


async def _stopped(request: ClientRequest, exchange: Exchange) -> None:
    """The guard stopped the work before an answer began."""
    if exchange.superseded:
        exchange.client_left = True
        await _fail(request, exchange, _sent_again())
    elif request.left:
        exchange.client_left = True
        exchange.status = CLIENT_LEFT
    else:
        await _fail(request, exchange, _took_too_long())


async def _failed(request: ClientRequest, exchange: Exchange, error: Exception) -> None:
    if isinstance(error, GatewayError | ProtocolError):
        await _fail(request, exchange, error.problem)
    elif isinstance(error, StreamBroken):
        if exchange.superseded:
            await _fail(request, exchange, _sent_again())
        elif exchange.client_left:
            exchange.status = CLIENT_LEFT  # we broke it off
        else:
            await _fail(request, exchange, error.problem)
    else:
        log.error("request_crashed", exc_info=error, error_class=type(error).__name__)
        exchange.delivery, exchange.earlier = Delivery(), None  # our own fault is never charged, whatever was delivered
        await _fail(request, exchange, ServerTrouble("Something went wrong on our side. You were not charged.").problem)


async def _end(request: ClientRequest, exchange: Exchange, services: Services) -> None:
    down = settlement.finish(exchange, services)
    if down is not None and not down.done():
        # Shielded: the server may cut off what is awaited after the client has gone.
        await asyncio.shield(down)
    if exchange.caller is not None:
        services.retries.end(exchange.caller.api_key_id, exchange.id)
    if exchange.claim is not None:
        answered = exchange.status == 200 or exchange.charge_nanos > 0
        await asyncio.shield(services.idempotency.end(exchange.claim, exchange.id, answered=answered))
    if request.watcher is not None:
        await request.close()


async def _walk(request: ClientRequest, route: Route, exchange: Exchange, guard: Guard, services: Services) -> None:
    config = services.config
    caller = exchange.caller = await admission.authenticate(request, services.callers, route.dialect)
    admission.check_address(caller, request, config.trusted_proxies)
    services.callers.mark_used(caller.api_key_id)
    if services.journal.is_full:
        raise NotAvailable("Usage can't be recorded right now.", code="temporarily_unavailable", retry_after_s=5)
    body = await request.body(config.max_body_bytes)
    try:
        _read(exchange, body, route)
        exchange.strict = caller.strict or request.header(b"x-router-strict").lower() in ("true", "1")
        services.choices.route(exchange, request.headers)
    finally:
        # Counted whatever is wrong with it, so that nobody floods us with broken requests.
        exchange.rate = services.limiter.admit_at_once(caller) or await services.limiter.admit(
            caller, exchange.id, exchange.prompt_tokens
        )
    admission.check_rate(exchange.rate)
    assert exchange.plan is not None
    exchange.prompt_tokens = max(for_model(exchange.prompt_tokens, model.slug) for model in exchange.plan.models)
    if idempotency.HEADER in request.headers:
        key = request.header(idempotency.HEADER)
        exchange.claim = await services.idempotency.claim(key, caller.api_key_id, body, exchange.id)
    if request.headers.get(retries.HEADER, b"0") != b"0":
        await services.retries.supersede(caller.api_key_id, caller.organization_id, exchange, body)
    services.retries.begin(caller.api_key_id, exchange, body, guard.supersede)
    if not services.funding.hold_at_once(exchange):
        await services.funding.hold(exchange)
    sender = Sender(exchange, body, route.target, request, services.upstream, config)
    attempts = Attempts(exchange, sender, guard, services.health, config)
    if exchange.stream:
        if exchange.policy.stream_failure == "continue":
            exchange.continuable = continuing.may_continue(exchange, sender)
        await _stream(request, exchange, sender, attempts, guard, services)
    else:
        await _collect(request, exchange, attempts, guard, services)


def _read(exchange: Exchange, body: bytes, route: Route) -> None:
    """As much of the request as its walk needs. Raises ProtocolError."""
    glance = GLANCES.get(exchange.endpoint)
    asked = glance.glance_request(body, route.target) if glance is not None else None
    if asked is not None:
        exchange.glanced(asked)
        exchange.prompt_tokens = asked.prompt_tokens
    else:
        exchange.take(CLIENT_CODECS[exchange.endpoint].decode_request(body, route.target))
        assert exchange.conversation is not None
        exchange.prompt_tokens = prompt_tokens_upper(exchange.conversation)


async def _collect(
    request: ClientRequest, exchange: Exchange, attempts: Attempts, guard: Guard, services: Services
) -> None:
    """A whole answer: the body goes out once the end is in the journal."""
    guard.reads_on = lambda: attempts.reads_on
    opened = await attempts.open()
    guard.close()
    answers.take_reply(exchange, opened)
    exchange.status = 200
    _record_answered(exchange, opened, services)
    down = settlement.finish(exchange, services)
    body = answers.reply_body(exchange, opened)
    if metadata.is_asked(request.headers):
        body = metadata.explained_body(request.headers, exchange, body)
    if down is not None:
        await down
    await request.answer(200, body, answers.headers(exchange, answers.JSON))


async def _stream(
    request: ClientRequest, exchange: Exchange, sender: Sender, attempts: Attempts, guard: Guard, services: Services
) -> None:
    guard.keep_alive = lambda: _sign_of_life(request, exchange)
    opened = await attempts.open()
    await guard.quiet()
    guard.stream_begins()
    guard.reads_on = lambda: attempts.reads_on
    exchange.status = 200
    error_class = ""
    relay: Relay | None = None
    stopped: StreamBroken | None = None
    held = b""
    try:
        if not request.started:
            await request.start(200, answers.headers(exchange, answers.EVENTS, opened))
        if opened.watch is not None:
            held = await pass_on(exchange, request, guard, opened)
        else:
            exchange.encoder = encoder = stream_encoder(exchange)
            relay = Relay(exchange, request, guard, encoder)
            await relay.stream(opened)
    except StreamBroken as broken:
        error_class = "client_left" if exchange.client_left or broken.error_class == "left" else broken.error_class
        exchange.client_left = exchange.client_left or broken.error_class == "left"
        if relay is None or not continuing.can_go_on(exchange, relay, broken):
            raise
        stopped = broken
    finally:
        _record_answered(exchange, opened, services, error_class)
    if stopped is not None and relay is not None:
        opened = await continuing.go_on(
            exchange,
            relay,
            stopped,
            sender=sender,
            attempts=attempts,
            guard=guard,
            record=lambda one, error: _record_answered(exchange, one, services, error),
        )
    guard.close()
    down = settlement.finish(exchange, services)
    if relay is not None:
        held = relay.last(opened)
    if opened.same_dialect:
        held = with_cost(exchange.endpoint, held, answers.usd(exchange.charge_nanos))
    if metadata.is_asked(request.headers):
        held = metadata.explained_ending(request.headers, exchange, held)
    await guard.quiet()
    if down is not None:
        await down
    await request.write(held, more=False)


async def _sign_of_life(request: ClientRequest, exchange: Exchange) -> None:
    """After a silence: commit to 200 if nothing was said yet, and keep the line alive. Later errors are in-band."""
    if not request.started:
        await request.start(200, answers.headers(exchange, answers.EVENTS))
    await request.write(stream_encoder(exchange).keep_alive())


def _record_answered(exchange: Exchange, opened: Opened, services: Services, error_class: str = "") -> None:
    exchange.deployment = opened.deployment
    first = exchange.first_token_s
    begun = opened.started - exchange.started
    took = exchange.elapsed_s() - begun
    waited = None if first is None else max(0.0, first - begun)
    usage = exchange.delivery.usage
    services.health.answered(
        opened.deployment.id,
        waited,
        0 if usage is None else usage.usage.output_size,
        took - (waited or 0.0),
        error_class,
    )
    services.choices.answered(exchange)
    exchange.attempts.append(
        AttemptRecord(
            number=opened.number,
            provider=opened.deployment.provider,
            deployment_id=opened.deployment.id,
            dialect=opened.dialect,
            reason=reason_of(opened.step, opened.number),
            started_ms=int(begun * 1000),
            first_token_ms=None if waited is None else int(waited * 1000),
            duration_ms=int(took * 1000),
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
        body = metadata.explained_body(request.headers, exchange, body)
        await request.answer(problem.status, body, answers.problem_headers(exchange, problem))
    elif not request.left:
        ending = (exchange.encoder or stream_encoder(exchange)).problem(problem)
        await request.write(metadata.explained_ending(request.headers, exchange, ending), more=False)


def _shutting_down() -> Problem:
    return NotAvailable(
        "This server is shutting down. Send the request again.", code="shutting_down", retry_after_s=1
    ).problem


def _sent_again() -> Problem:
    return Conflict("This request was sent again; the newer one goes on.", code="superseded").problem


def _took_too_long() -> Problem:
    return TookTooLong("The request took too long.", code="deadline").problem
