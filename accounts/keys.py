"""Making, changing and revoking API keys. A key is shown once, by whoever made it; only its keyed hash is kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import ip_limits, key_format
from accounts.announce import announce_key
from accounts.model_patterns import clean
from accounts.models import ApiKey, Project, User


def create_key(
    project: Project,
    name: str,
    *,
    created_by: User | None = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    max_concurrent: int | None = None,
    expires_at: datetime | None = None,
    allowed_models: Iterable[str] = (),
    allowed_ips: Iterable[str] = (),
    funding: str = ApiKey.Funding.PLAN_FIRST,
    form_id: UUID | None = None,
) -> tuple[ApiKey, str]:
    """The stored key and its text, which nobody can get again.

    `form_id` names the form it was asked with: a second key with the same one raises IntegrityError.
    Raises ValueError for an empty name, a limit below one, an expiry that is past, patterns of models or addresses
    that cannot be (BadPatterns, BadAddress), an unknown funding or an archived project.
    """
    limits = _limits(requests_per_minute, tokens_per_minute, max_concurrent)
    values = _checked(name, limits, expires_at, allowed_models, allowed_ips, funding)
    if expires_at is not None and expires_at <= timezone.now():
        raise ValueError("the key would already be expired")
    if project.archived_at is not None:
        raise ValueError("the project is archived")
    raw = key_format.generate()
    with transaction.atomic():
        key = ApiKey.objects.create(
            project=project,
            key_hash=hash_of(raw),
            prefix=key_format.PREFIX,
            last_four=raw[-4:],
            created_by=created_by,
            form_id=form_id,
            **values,
        )
    return key, raw


def change_key(
    key: ApiKey,
    *,
    name: str,
    requests_per_minute: int | None,
    expires_at: datetime | None,
    allowed_models: Iterable[str],
    tokens_per_minute: int | None = None,
    max_concurrent: int | None = None,
    allowed_ips: Iterable[str] = (),
    funding: str = ApiKey.Funding.PLAN_FIRST,
) -> None:
    """The key has these values then, and no others. Every process goes by it within a second.

    Raises ValueError as `create_key`, and for a revoked key.
    """
    limits = _limits(requests_per_minute, tokens_per_minute, max_concurrent)
    values = _checked(name, limits, expires_at, allowed_models, allowed_ips, funding)
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


def _limits(requests: int | None, tokens: int | None, concurrent: int | None) -> dict[str, int | None]:
    return {"requests_per_minute": requests, "tokens_per_minute": tokens, "max_concurrent": concurrent}


def _checked(
    name: str,
    limits: dict[str, int | None],
    expires_at: datetime | None,
    allowed_models: Iterable[str],
    allowed_ips: Iterable[str],
    funding: str,
) -> dict[str, Any]:
    if not name.strip():
        raise ValueError("a key needs a name")
    if any(limit is not None and limit < 1 for limit in limits.values()):
        raise ValueError("a limit must be at least one")
    return {
        "name": name.strip(),
        "expires_at": expires_at,
        "allowed_models": list(clean(allowed_models)),
        "allowed_ips": ip_limits.clean(allowed_ips),
        "funding": ApiKey.Funding(funding),
        **limits,
    }
