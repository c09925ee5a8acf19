"""Tells every gateway process, after the commit, that the catalogue changed."""

from __future__ import annotations

import logging

import redis
from django.conf import settings
from django.db import transaction

CHANNEL = "r1:catalogue"
log = logging.getLogger(__name__)


def announce_change() -> None:
    """Publishes once the transaction has committed. Never fails: processes also look at the version themselves."""
    transaction.on_commit(_publish, robust=True)


def _publish() -> None:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
            client.publish(CHANNEL, "changed")
    except redis.RedisError as error:
        log.warning("catalogue_announcement_failed", extra={"error_class": type(error).__name__})
