"""Can this process serve, and what has it counted: the answers behind `/healthz`, `/readyz` and `/metrics`.

No view and no model of Django: the gateway's own processes answer these too. What is here blocks; async callers use
a thread.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from ipaddress import ip_address

import psycopg
import redis
import structlog
from django.conf import settings

from observability import metrics

log = structlog.get_logger(__name__)
TIMEOUT_S = 2


def readiness() -> tuple[bool, dict[str, str]]:
    """Whether PostgreSQL and Valkey answer, and the words that name the one that does not."""
    parts = {"database": _is_up(_ask_database), "valkey": _is_up(_ask_valkey)}
    ready = all(parts.values())
    return ready, {"status": _word(ready)} | {name: _word(up) for name, up in parts.items()}


def _word(up: bool) -> str:
    return "ok" if up else "unavailable"


def _is_up(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (psycopg.Error, redis.RedisError, OSError) as error:
        log.warning("not_ready", part=ask.__name__.removeprefix("_ask_"), error_class=type(error).__name__)
        return False
    return True


def _ask_database() -> None:
    """A connection of its own: the pool would wait for longer than a probe does."""
    with psycopg.connect(settings.DATABASE_CONNINFO(), connect_timeout=TIMEOUT_S, autocommit=True) as probe:
        probe.execute("SELECT 1")


def _ask_valkey() -> None:
    with _redis(settings.REDIS_URL, TIMEOUT_S) as client:
        client.ping()


def may_read_metrics(authorization: str, peer: str, *, forwarded: bool) -> bool:
    """Who has METRICS_TOKEN; where none is set, this machine in a local evaluation.

    Behind a proxy everybody comes from loopback, so a forwarded request is not local.
    """
    if token := settings.METRICS_TOKEN:
        return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
    return settings.EMBEDDED and not forwarded and _is_loopback(peer)


def _is_loopback(peer: str) -> bool:
    try:
        return ip_address(peer).is_loopback
    except ValueError:
        return False


def metrics_text() -> bytes:
    """Prometheus text; its type is `metrics.CONTENT_TYPE`."""
    _count_journal()
    return metrics.render()


def _count_journal() -> None:
    try:
        with _redis(settings.JOURNAL_URL, 1) as client:
            lengths = [int(client.xlen(f"r1:journal:{shard}")) for shard in range(settings.JOURNAL_SHARDS)]
        metrics.journal_entries.set(sum(lengths))
    except (redis.RedisError, OSError):
        metrics.journal_entries.set(float("nan"))


def _redis(url: str, timeout_s: float) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
