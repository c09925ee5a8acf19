"""Taking providers and deployments out of use, with a reason, and back."""

from __future__ import annotations

from django.utils import timezone

from routing.announce import announce_change
from routing.models import Deployment, Provider

Switched = Provider | Deployment
_FIELDS = ("enabled", "drained_at", "drain_reason", "updated_at")


def drain(row: Switched, reason: str) -> None:
    """No new requests; those that run go on."""
    row.drained_at = row.drained_at or timezone.now()
    _save(row, reason)


def switch_off(row: Switched, reason: str) -> None:
    """As draining for the requests, and for longer: it no longer counts as served here."""
    row.enabled = False
    _save(row, reason)


def take_back(row: Switched) -> None:
    """Into use again, whichever way it was taken out."""
    row.enabled = True
    row.drained_at = None
    _save(row, "")


def _save(row: Switched, reason: str) -> None:
    row.drain_reason = reason
    row.save(update_fields=_FIELDS)
    announce_change()
