"""Applies provider entries: rows, credentials from the environment, and whether they may be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from routing.credentials import CredentialUnreadable, decrypt, encrypt
from routing.loading.changes import Changes
from routing.loading.entries import ProviderEntry
from routing.loading.rows import update
from routing.models import Credential, Provider

FROM_ENVIRONMENT = "environment"  # the credential's name; staff may add others beside it


def apply_providers(
    entries: Iterable[ProviderEntry], *, environment: Mapping[str, str], keys: Sequence[str], changes: Changes
) -> dict[str, Provider]:
    """Every provider by slug, those of other catalogues too. Credentials are stored encrypted."""
    providers = {row.slug: row for row in Provider.objects.all()}
    for entry in entries:
        known = providers.get(entry.slug)
        wanted = _columns(entry, known, environment)
        secret = environment.get(entry.api_key_env, "").strip() if entry.api_key_env else ""
        if known is None:
            providers[entry.slug] = _create(entry, wanted, secret, keys, changes)
        else:
            _change(known, entry, wanted, secret, keys, changes)
    return providers


def take_credentials(*, environment: Mapping[str, str], keys: Sequence[str], changes: Changes) -> None:
    """Credentials that the environment now has, for providers that are there already; the rest stays as it is."""
    for row in Provider.objects.exclude(api_key_env=""):
        secret = environment.get(row.api_key_env, "").strip()
        if not secret:
            continue
        had_one = row.credentials.exists()
        if _store(row, secret, keys):
            changes.changed.append(f"provider {row.slug}: credential from {row.api_key_env}")
        if not had_one and not row.enabled:
            update(row, {"enabled": True}, f"provider {row.slug}", changes)


def _columns(entry: ProviderEntry, known: Provider | None, environment: Mapping[str, str]) -> dict[str, Any]:
    """A URL variable whose environment variable is not set keeps the value that it had."""
    variables = {**(known.url_variables if known else {}), **entry.url_variables}
    for name, source in entry.environment.items():
        if environment.get(source):
            variables[name] = environment[source]
    return {**entry.fields, "auth": entry.auth, "api_key_env": entry.api_key_env, "url_variables": variables}


def _create(
    entry: ProviderEntry, wanted: Mapping[str, Any], secret: str, keys: Sequence[str], changes: Changes
) -> Provider:
    usable = entry.auth == "none" or bool(secret)
    row = Provider.objects.create(slug=entry.slug, enabled=usable and entry.enabled is not False, **wanted)
    if secret:
        _store(row, secret, keys)
    why = "" if row.enabled else " (disabled: no credential)" if not usable else " (disabled in the file)"
    changes.new.append(f"provider {entry.slug}{why}")
    return row


def _change(
    row: Provider,
    entry: ProviderEntry,
    wanted: Mapping[str, Any],
    secret: str,
    keys: Sequence[str],
    changes: Changes,
) -> None:
    """Never touches a staff switch, but for the day a provider gets what it was disabled for lack of."""
    label = f"provider {entry.slug}"
    opened = entry.auth == "none" and row.auth != "none"
    update(row, wanted, label, changes)
    if secret:
        had_one = row.credentials.exists()
        if _store(row, secret, keys):
            changes.changed.append(f"{label}: credential from {entry.api_key_env}")
        opened = opened or not had_one
    if opened and not row.enabled and entry.enabled is not False:
        update(row, {"enabled": True}, label, changes)


def _store(row: Provider, secret: str, keys: Sequence[str]) -> bool:
    """True when the stored credential was not this one already."""
    known = row.credentials.filter(name=FROM_ENVIRONMENT).first()
    if known is None:
        known = Credential(provider=row, name=FROM_ENVIRONMENT)
    elif known.valid_until is not None or _opens_to(known, secret, keys):
        return False  # staff replaced it, or it is this one already
    known.secret_encrypted = encrypt(secret, keys)
    known.last_four = secret[-4:] if len(secret) >= 12 else ""
    known.save()
    return True


def _opens_to(known: Credential, secret: str, keys: Sequence[str]) -> bool:
    try:
        return decrypt(known.secret_encrypted, keys) == secret
    except CredentialUnreadable:
        return False
