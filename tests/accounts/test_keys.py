from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from django.conf import settings
from django.core import serializers
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import announce, key_format
from accounts.keys import change_key, create_key, revoke_key
from accounts.models import ApiKey, Project, User


def test_a_made_key_is_stored_as_a_hash_only(project: Project, alice: User) -> None:
    key, raw = create_key(project, " laptop ", created_by=alice, requests_per_minute=60)
    key.refresh_from_db()
    assert bytes(key.key_hash) == key_format.hash_key(raw, settings.API_KEY_PEPPER.encode())
    assert (key.name, key.prefix, key.last_four, key.requests_per_minute) == ("laptop", "sk-ro-", raw[-4:], 60)
    assert key.created_by == alice
    assert raw[6:] not in serializers.serialize("json", ApiKey.objects.all())


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("  ", {}),
        ("x", {"requests_per_minute": 0}),
        ("x", {"expires_at": timezone.now() - timedelta(seconds=1)}),
        ("x", {"allowed_models": ["gpt-4o"]}),
    ],
)
def test_a_senseless_key_is_not_made(project: Project, name: str, more: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        create_key(project, name, **more)  # type: ignore[arg-type]
    assert not ApiKey.objects.exists()


def test_an_archived_project_gets_no_keys(project: Project) -> None:
    project.archived_at = timezone.now()
    with pytest.raises(ValueError, match="archived"):
        create_key(project, "late")


def test_a_revoked_key_is_not_changed(project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    revoke_key(key)
    with pytest.raises(ValueError, match="revoked"):
        change_key(key, name="again", requests_per_minute=None, expires_at=None, allowed_models=())
    assert ApiKey.objects.get().name == "laptop"


def test_the_same_form_makes_one_key(project: Project) -> None:
    form_id = uuid4()
    create_key(project, "once", form_id=form_id)
    with pytest.raises(IntegrityError), transaction.atomic():
        create_key(project, "once", form_id=form_id)
    assert ApiKey.objects.count() == 1


def test_revoking_is_announced_after_the_commit(
    project: Project, redis_url: str, django_capture_on_commit_callbacks: object
) -> None:
    key, _raw = create_key(project, "laptop")
    with redis.Redis.from_url(redis_url) as store, store.pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe("r1:keys")
        heard.get_message(timeout=5)
        with django_capture_on_commit_callbacks() as callbacks:  # type: ignore[operator]
            revoke_key(key)
        assert key.revoked_at is not None
        assert heard.get_message(timeout=0.05) is None
        for callback in callbacks:
            callback()
        message = heard.get_message(timeout=5)
    assert message is not None
    assert message["data"] == bytes(key.key_hash).hex().encode()


def test_revoking_twice_keeps_the_first_time(project: Project) -> None:
    key, _raw = create_key(project, "laptop")
    revoke_key(key)
    first = key.revoked_at
    revoke_key(key)
    assert key.revoked_at == first


def test_revoking_works_while_redis_is_away(
    project: Project, settings: object, django_capture_on_commit_callbacks: object
) -> None:
    key, _raw = create_key(project, "laptop")
    announce._client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    try:
        with django_capture_on_commit_callbacks(execute=True) as callbacks:  # type: ignore[operator]
            revoke_key(key)
    finally:
        announce._client.cache_clear()
    assert len(callbacks) == 1
    assert ApiKey.objects.get().revoked_at is not None
