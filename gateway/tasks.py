"""Jobs of the worker. Each may run twice, and at the same time as itself."""

from __future__ import annotations

from celery import shared_task
from django.conf import settings
from redis import Redis

from gateway import drain


def journal_redis() -> Redis:
    return Redis.from_url(settings.JOURNAL_URL, socket_timeout=10, socket_connect_timeout=3)


@shared_task(name="gateway.tasks.settle_usage")  # type: ignore[untyped-decorator]
def settle_usage() -> int:
    """Drain the usage journal."""
    with journal_redis() as redis:
        return drain.drain(redis)


@shared_task(name="gateway.tasks.sweep_holds")  # type: ignore[untyped-decorator]
def sweep_holds() -> int:
    """Release holds that expired without an event."""
    with journal_redis() as redis:
        drain.drain(redis)
    return drain.sweep_expired()
