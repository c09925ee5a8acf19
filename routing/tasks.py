"""Jobs about the catalogue. Each may run twice, and at the same time as itself."""

from __future__ import annotations

from celery import shared_task

from routing import probes, rotation


@shared_task(name="routing.tasks.probe")  # type: ignore[untyped-decorator]
def probe() -> int:
    """Try deployments of which nothing is known, within the day's budget; returns how many."""
    probes.forget_old_checks()
    return probes.probe_due()


@shared_task(name="routing.tasks.end_credentials")  # type: ignore[untyped-decorator]
def end_credentials() -> int:
    """Close credentials that were replaced and whose time is over; returns how many."""
    return rotation.end_expired()
