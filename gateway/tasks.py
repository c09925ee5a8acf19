"""Jobs of the worker. Each may run twice, and at the same time as itself."""

from __future__ import annotations

import secrets
import time

import structlog
from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from redis import Redis, RedisError

from gateway import checks, drain, sweeper

RUN_S = 20.0
_SEAT = "r1:journal:drain"  # who sits there follows the journal; two at once would only be wasteful
_SEAT_MS = 3_000

log = structlog.get_logger(__name__)


def journal_redis(timeout_s: float = 10) -> Redis:
    return Redis.from_url(settings.JOURNAL_URL, socket_timeout=timeout_s, socket_connect_timeout=3)


@shared_task(name="gateway.tasks.follow_journal")  # type: ignore[untyped-decorator]
def follow_journal() -> None:
    """Drain the usage journal as it fills, then hand over to the next run. Returns at once where another does that."""
    try:
        with journal_redis() as redis:
            if not redis.set(_SEAT, secrets.token_hex(4), nx=True, px=_SEAT_MS):
                return
            seat = _Seat(redis)
            drain.follow(redis, run_s=RUN_S, may_go_on=seat.keep)
            if seat.kept:
                redis.delete(_SEAT)
                follow_journal.delay()
    except (RedisError, OSError, DatabaseError, InterfaceError) as error:
        # Away: nothing is lost, the next run goes on from where the last one committed.
        log.warning("journal_drain_stopped", error_class=type(error).__name__)
        connection.close()


class _Seat:
    """Renewed while the run lasts. Whoever takes it away ends the run."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._renew_at = time.monotonic() + 1.0
        self.kept = True

    def keep(self) -> bool:
        now = time.monotonic()
        if now >= self._renew_at:
            self._renew_at = now + 1.0
            self.kept = bool(self._redis.pexpire(_SEAT, _SEAT_MS))
        return self.kept


@worker_shutting_down.connect  # type: ignore[untyped-decorator]
def free_the_seat(**_: object) -> None:
    """A worker that is told to stop waits for its jobs: end the long one."""
    try:
        with journal_redis(timeout_s=1) as redis:
            redis.delete(_SEAT)
    except (RedisError, OSError):
        return


@shared_task(name="gateway.tasks.settle_usage")  # type: ignore[untyped-decorator]
def settle_usage() -> int:
    """Drain the usage journal once."""
    with journal_redis() as redis:
        return drain.drain(redis)


@shared_task(name="gateway.tasks.sweep_holds")  # type: ignore[untyped-decorator]
def sweep_holds() -> int:
    """Release holds that expired without an event."""
    return sweeper.sweep_expired()


@shared_task(name="gateway.tasks.check_deployment")  # type: ignore[untyped-decorator]
def check_deployment(check_id: int) -> None:
    """Try a deployment with a tiny request, and keep what it told. A check that was made already is not made again."""
    checks.run(check_id)
