"""Is this process alive, can it serve, and its metrics: for probes and monitoring."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address

import psycopg
import redis
import structlog
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from psycopg.conninfo import make_conninfo

from observability import metrics

log = structlog.get_logger(__name__)
TIMEOUT_S = 2


@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers at all. Looks at nothing else: a lost database is no reason to restart us."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when PostgreSQL and Valkey answer; else 503 naming the part that does not."""
    parts = {"database": _is_up(_ask_database), "valkey": _is_up(_ask_valkey)}
    ready = all(parts.values())
    body = {"status": "ok" if ready else "unavailable"} | {
        name: "ok" if up else "unavailable" for name, up in parts.items()
    }
    return JsonResponse(body, status=200 if ready else 503)


def _is_up(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (psycopg.Error, redis.RedisError, OSError) as error:
        log.warning("not_ready", part=ask.__name__.removeprefix("_ask_"), error_class=type(error).__name__)
        return False
    return True


def _ask_database() -> None:
    """A connection of its own: the pool would wait for longer than a probe does."""
    given = connection.settings_dict
    parts = {
        "dbname": given["NAME"],
        "user": given["USER"],
        "password": given["PASSWORD"],
        "host": given["HOST"],
        "port": given["PORT"],
    }
    conninfo = make_conninfo(**{name: str(value) for name, value in parts.items() if value})
    with psycopg.connect(conninfo, connect_timeout=TIMEOUT_S, autocommit=True) as probe:
        probe.execute("SELECT 1")


def _valkey() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)


def _ask_valkey() -> None:
    with _valkey() as client:
        client.ping()


@never_cache
@require_GET
def metrics_text(request: HttpRequest) -> HttpResponse:
    """Prometheus text. 401 unless the caller has METRICS_TOKEN, or none is set and this is a local evaluation."""
    if not _may_read_metrics(request):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    _count_journal()
    return HttpResponse(metrics.render(), content_type=metrics.CONTENT_TYPE)


def _may_read_metrics(request: HttpRequest) -> bool:
    if token := settings.METRICS_TOKEN:
        return hmac.compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {token}".encode())
    # Behind a proxy everybody comes from loopback, so a forwarded request is not local.
    return settings.EMBEDDED and "X-Forwarded-For" not in request.headers and _is_loopback(request)


def _is_loopback(request: HttpRequest) -> bool:
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _count_journal() -> None:
    try:
        with redis.Redis.from_url(settings.JOURNAL_URL, socket_timeout=1, socket_connect_timeout=1) as client:
            metrics.journal_entries.set(int(client.xlen("r1:journal")))
    except (redis.RedisError, OSError):
        metrics.journal_entries.set(float("nan"))
