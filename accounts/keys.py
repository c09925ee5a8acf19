"""Making, changing and revoking API keys. A key is shown once, by whoever made it; only its keyed hash is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import key_format
from accounts.announce import announce_key
from accounts.model_patterns import clean
from accounts.models import ApiKey, Project, User


def create_key(
    project: Project,
    name: str,
    *,
    created_by: User | None = None,
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
    allowed_models: Iterable[str] = (),
    form_id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """The stored key and its text, which nobody can get again.

    `form_id` names the form it was asked with: a second key with the same one raises IntegrityError.
    Raises ValueError for an empty name, a limit below one, an expiry that is past, patterns of models that cannot be
    (BadPatterns) or an archived project.
    """
    _check(name, requests_per_minute)
    if expires_at is not None and expires_at <= timezone.now():
        raise ValueError("the key would already be expired")
    if project.archived_at is not None:
        raise ValueError("the project is archived")
    raw = key_format.generate()
    with transaction.atomic():
        key = ApiKey.objects.create(
            project=project,
            name=name.strip(),
            key_hash=hash_of(raw),
            prefix=key_format.PREFIX,
            last_four=raw[-4:],
            requests_per_minute=requests_per_minute,
            expires_at=expires_at,
            allowed_models=list(clean(allowed_models)),
            created_by=created_by,
            form_id=form_id,
        )
    return key, raw


def change_key(
    key: ApiKey,
    *,
    name: str,
    requests_per_minute: int | None,
    expires_at: datetime | None,
    allowed_models: Iterable[str],
) -> None:
    """Every process goes by it within a second. Raises ValueError as `create_key`, and for a revoked key."""
    _check(name, requests_per_minute)
    values = {
        "name": name.strip(),
        "requests_per_minute": requests_per_minute,
        "expires_at": expires_at,
        "allowed_models": list(clean(allowed_models)),
    }
    with transaction.atomic():
        if not ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(**values):
            raise ValueError("the key is revoked")
        announce_key(key.key_hash)
    key.refresh_from_db(fields=[*values])


def revoke_key(key: ApiKey) -> None:
    """Ends the key for good; every process refuses it within a second. Revoking again changes nothing."""
    with transaction.atomic():
        if ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now()):
            announce_key(key.key_hash)
    key.refresh_from_db(fields=["revoked_at"])


def hash_of(raw: str) -> bytes:
    return key_format.hash_key(raw, settings.API_KEY_PEPPER.encode())


def _check(name: str, requests_per_minute: int | None) -> None:
    if not name.strip():
        raise ValueError("a key needs a name")
    if requests_per_minute is not None and requests_per_minute < 1:
        raise ValueError("the limit must be at least one request per minute")
