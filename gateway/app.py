"""The gateway's ASGI application: starts what its requests share, and hands each request to its view."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from accounts import ip_limits
from accounts.caller import CallerDirectory
from billing.reservation import Reservations
from gateway import answers, routes
from gateway.affinity import Affinity
from gateway.choose import Choices
from gateway.config import GatewayConfig
from gateway.credit_signals import CreditSignals
from gateway.errors import GatewayError, NotFound, ServerTrouble
from gateway.exchange import Exchange
from gateway.funding import Funding
from gateway.gossip import Gossip
from gateway.health import Health
from gateway.idempotency import Idempotency
from gateway.journal import Journal
from gateway.journal_server import check_eviction
from gateway.limits import Limiter
from gateway.protocol.dialects import CLIENT_CODECS
from gateway.protocol.problem import Problem, ProtocolError
from gateway.redis_link import RedisLink
from gateway.request import ClientLeft, ClientRequest, Receive, Scope, Send
from gateway.retries import Retries
from gateway.serve import serve
from gateway.services import Services
from gateway.slices import Slices
from gateway.upstream.transport import make_client
from gateway.views.account import show_credits, show_key
from gateway.views.count_tokens import count_tokens
from gateway.views.generation import generation
from gateway.views.list_models import list_models
from observability import metrics
from observability.lookups import Lookups
from routing.catalogue import CatalogueSnapshots

log = structlog.get_logger(__name__)
View = Callable[[ClientRequest, Services, Exchange, routes.Route], Awaitable[None]]


def read_config() -> GatewayConfig:
    return GatewayConfig(
        public_url=settings.PUBLIC_URL,
        max_body_bytes=settings.MAX_BODY_BYTES,
        max_request_s=settings.MAX_REQUEST_S,
        default_requests_per_minute=settings.DEFAULT_REQUESTS_PER_MINUTE,
        trusted_proxies=_trusted_proxies(),
        processes=settings.GATEWAY_PROCESSES,
        first_byte_timeout_s=settings.FIRST_BYTE_TIMEOUT_S,
        stall_timeout_s=settings.STALL_TIMEOUT_S,
        keep_alive_s=settings.KEEP_ALIVE_S,
        hold_margin_s=settings.HOLD_MARGIN_S,
        slice_lease_s=settings.SLICE_LEASE_S,
        journal_stalled_s=settings.JOURNAL_STALLED_S,
    )


def _trusted_proxies() -> ip_limits.Networks:
    """A typo stops the start: with it nobody's address would be known."""
    try:
        return ip_limits.networks(ip_limits.clean(settings.TRUSTED_PROXIES))
    except ip_limits.BadAddress as bad:
        meant = f"; {bad.suggestion} perhaps" if bad.suggestion else ""
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES: {bad.text!r} is neither an address nor a network{meant}."
        ) from bad


class Gateway:
    """One per process. Usable from `lifespan` start-up to shut-down."""

    def __init__(self) -> None:
        self._services: Services | None = None
        self._closing = contextlib.AsyncExitStack()
        self._starting = asyncio.Lock()

    def serves(self, scope: Scope) -> bool:
        """Whether this request is for the gateway and not for the pages."""
        return routes.is_api_path(scope["path"], dict(scope["headers"]))

    async def start(self) -> Services:
        """Idempotent: some servers never send lifespan events, then the first request starts the gateway."""
        async with self._starting:
            if self._services is None:
                try:
                    self._services = await self._open()
                except BaseException:  # what is open already would keep the process from ending
                    await self._closing.aclose()
                    raise
        return self._services

    async def _open(self) -> Services:
        config = read_config()
        conninfo = settings.DATABASE_CONNINFO()
        pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=settings.GATEWAY_DB_POOL_MAX,
            timeout=5,
            open=False,
            kwargs={"autocommit": True},
        )
        await pool.open()
        self._closing.push_async_callback(pool.close)
        redis = Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._closing.push_async_callback(redis.aclose)
        link = await self._connect(settings.REDIS_URL)
        events = link if settings.JOURNAL_URL == settings.REDIS_URL else await self._connect(settings.JOURNAL_URL)
        callers = CallerDirectory(
            pool,
            redis,
            pepper=settings.API_KEY_PEPPER.encode(),
            default_requests_per_minute=config.default_requests_per_minute,
        )
        catalogue = CatalogueSnapshots(
            pool, redis, credential_keys=settings.CREDENTIAL_KEYS, markup=Decimal(settings.MARKUP)
        )
        await check_eviction(events)
        journal = Journal(
            events,
            pool,
            conninfo=conninfo,
            shards=settings.JOURNAL_SHARDS,
            bound=config.journal_bound,
            stalled_s=config.journal_stalled_s,
        )
        upstream = make_client(settings.UPSTREAM_TRANSPORT)
        self._closing.push_async_callback(upstream.close)
        limiter = Limiter(link, processes=config.processes)
        slices = Slices(
            Reservations(pool), longest_s=config.max_request_s + config.hold_margin_s, lease_s=config.slice_lease_s
        )
        signals = CreditSignals(redis)
        funding = Funding(slices, config, signals.recall)
        signals.on_funds(funding.forget_shortage, slices.forget)
        signals.on_recall(slices.recall)
        retries = Retries(redis, link)
        health = Health(redis, patience_s=config.first_byte_timeout_s)
        affinity = Affinity(settings.API_KEY_PEPPER.encode())
        gossip = Gossip(redis, (health, affinity))
        for part in (callers, catalogue, journal, limiter, slices, signals, retries, health, gossip):
            await part.start()
            self._closing.push_async_callback(part.stop)
        log.info("gateway_started", pid=os.getpid(), models=len(catalogue.current.models))
        return Services(
            config=config,
            callers=callers,
            limiter=limiter,
            catalogue=catalogue,
            choices=Choices(catalogue, health, affinity),
            slices=slices,
            funding=funding,
            journal=journal,
            upstream=upstream,
            health=health,
            lookups=Lookups(pool),
            idempotency=Idempotency(pool, pepper=settings.API_KEY_PEPPER.encode(), longest_s=config.max_request_s),
            retries=retries,
        )

    async def _connect(self, url: str) -> RedisLink:
        link = RedisLink(url)
        await link.start()
        self._closing.push_async_callback(link.stop)
        return link

    async def stop(self) -> None:
        self._services = None
        await self._closing.aclose()

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.start()
                except ImproperlyConfigured as error:
                    log.error("gateway_start_failed", reason=str(error))
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                except Exception as error:  # the server prints the message and exits; never the connection string
                    log.exception("gateway_start_failed")
                    await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services or await self.start()
        request = ClientRequest(scope, receive, send)
        fallback = routes.dialect_of(request.path, request.headers)
        route = routes.find(request.path, fallback)
        if route is None:
            message = f"There is no endpoint {request.method} {request.path[:200]}."
            await answer_problem(request, Exchange(fallback), NotFound(message, code="endpoint_not_found").problem)
        elif request.method not in route.methods:
            await _method_not_allowed(request, Exchange(route.dialect), route.methods[0])
        elif route.view == "serve":
            metrics.request_begins()
            try:
                await serve(request, route, services)
            finally:
                metrics.request_ends()
        else:
            await _answer(_VIEWS[route.view], request, route, services)

    async def refuse_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """426 for an upgrade of an API path: clients then fall back to HTTP at once."""
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 1008})
            return
        exchange = Exchange(routes.dialect_of(scope["path"], dict(scope["headers"])))
        problem = Problem(
            kind="invalid_request",
            message="There is no websocket here. Send a POST; stream with server-sent events.",
            code="upgrade_required",
            status=426,
        )
        body = CLIENT_CODECS[exchange.endpoint].encode_problem(problem, exchange.request_id)
        headers = [*answers.problem_headers(exchange, problem), (b"content-length", str(len(body)).encode())]
        await send({"type": "websocket.http.response.start", "status": 426, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})


_VIEWS: Mapping[str, View] = {
    "models": list_models,
    "count_tokens": count_tokens,
    "generation": generation,
    "key": show_key,
    "credits": show_credits,
}


async def _answer(view: View, request: ClientRequest, route: routes.Route, services: Services) -> None:
    """A view that costs nothing: no hold, no log row."""
    exchange = Exchange(route.dialect)
    try:
        await view(request, services, exchange, route)
    except ClientLeft:
        pass
    except (GatewayError, ProtocolError) as error:
        await answer_problem(request, exchange, error.problem)
    except Exception as error:
        log.exception("view_crashed", view=route.view, error_class=type(error).__name__)
        await answer_problem(request, exchange, ServerTrouble("Something went wrong on our side.").problem)


async def _method_not_allowed(request: ClientRequest, exchange: Exchange, allowed: str) -> None:
    problem = Problem(
        kind="invalid_request", message=f"Use {allowed} for this path.", code="method_not_allowed", status=405
    )
    await answer_problem(request, exchange, problem, ((b"allow", allowed.encode()),))


async def answer_problem(
    request: ClientRequest, exchange: Exchange, problem: Problem, extra: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    """The problem in the exchange's dialect."""
    body = CLIENT_CODECS[exchange.endpoint].encode_problem(problem, exchange.request_id)
    await request.answer(problem.status, body, [*answers.problem_headers(exchange, problem), *extra])
