"""Tells every gateway process that it must forget what it knows of a key."""

from __future__ import annotations

import functools

import redis
import structlog
from django.conf import settings
from django.db import transaction

from accounts.models import ApiKey, Project

log = structlog.get_logger(__name__)

CHANNEL = "r1:keys"
FUNDS = "r1:funds"  # payload: the organization whose wallet, plan or epoch changed
RECALL = "r1:recall"  # payload: the organization whose idle credit is wanted back
EVERY_KEY = "*"


def announce_key(key_hash: bytes | memoryview) -> None:
    """After commit: processes that cache this key look it up again."""
    transaction.on_commit(functools.partial(_publish, bytes(key_hash).hex()))


def announce_keys_of(project: Project) -> None:
    """After commit: processes look up again every key of the project (one of its settings changed)."""
    transaction.on_commit(lambda: _publish(*_hashes_of(project)))


def announce_every_key() -> None:
    """After commit: processes look every key up again (a project was archived, an organization suspended)."""
    transaction.on_commit(functools.partial(_publish, EVERY_KEY))


def announce_organization(organization_id: int) -> None:
    """After commit: processes look its keys up again, and forget what they held of its credit (its plan changed)."""

    def publish() -> None:
        _publish(*_hashes(project__organization_id=organization_id))
        _publish(str(organization_id), channel=FUNDS)

    transaction.on_commit(publish)


def announce_recall(organization_id: int) -> None:
    """At once: processes give back the credit of the organization that they hold and do not need."""
    _publish(str(organization_id), channel=RECALL)


def _hashes_of(project: Project) -> list[str]:
    """Asked after the commit, so that a key made meanwhile is among them."""
    return _hashes(project=project)


def _hashes(**whose: object) -> list[str]:
    working = ApiKey.objects.filter(revoked_at=None, **whose)
    return [bytes(key_hash).hex() for key_hash in working.values_list("key_hash", flat=True)]


def _publish(*payloads: str, channel: str = CHANNEL) -> None:
    # A process that cannot hear Redis keeps a key for a second only, so a lost message delays little.
    try:
        with _client().pipeline(transaction=False) as pipeline:
            for payload in payloads:
                pipeline.publish(channel, payload)
            pipeline.execute()
    except (redis.RedisError, OSError) as error:
        log.warning("key_change_not_announced", error=type(error).__name__)


@functools.lru_cache(maxsize=1)
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1.0, socket_connect_timeout=1.0)
