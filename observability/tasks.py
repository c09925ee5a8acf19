"""Jobs of the worker. Each may run twice, and at the same time as itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import shared_task
from django.conf import settings

from observability import partitions


@shared_task(name="observability.tasks.keep_log")  # type: ignore[untyped-decorator]
def keep_log() -> None:
    """Partitions for the days to come, and none that is older than the log is kept."""
    partitions.maintain(datetime.now(UTC), timedelta(days=settings.LOG_RETENTION_DAYS))
