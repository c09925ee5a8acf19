"""Jobs of the worker. Each may run twice, and at the same time as itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from celery import shared_task
from django.conf import settings

from observability import partitions
from observability.rollups import add_up_days


@shared_task(name="observability.tasks.keep_log")  # type: ignore[untyped-decorator]
def keep_log() -> None:
    """Partitions for the days to come, and none that is older than the log is kept."""
    partitions.maintain(datetime.now(UTC), timedelta(days=settings.LOG_RETENTION_DAYS))


@shared_task(name="observability.tasks.add_up_usage")  # type: ignore[untyped-decorator]
def add_up_usage() -> None:
    """Days that are over are added up, and those that late requests have changed are added up again."""
    add_up_days(datetime.now(UTC))
