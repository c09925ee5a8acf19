"""Our keys at providers: a new secret takes over, the old one stays for a while where the new one cannot."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from routing.announce import announce_change
from routing.credentials import encrypt
from routing.models import Credential

SHOWN_FROM = 12  # a shorter secret shows none of its characters


def last_four(secret: str) -> str:
    return secret[-4:] if len(secret) >= SHOWN_FROM else ""


@transaction.atomic
def rotate(credential: Credential, secret: str, *, keep_until: datetime | None) -> Credential:
    """The new credential, with the old one's weight. The old one serves until then only where the new one cannot.

    `keep_until` None ends the old one now.
    """
    old = Credential.objects.select_for_update().get(pk=credential.pk)
    new = Credential.objects.create(
        provider_id=old.provider_id,
        name=_next_name(old),
        secret_encrypted=encrypt(secret, settings.CREDENTIAL_KEYS),
        last_four=last_four(secret),
        weight=max(1, old.weight),
    )
    old.weight = 0
    old.valid_until = keep_until or timezone.now()
    if keep_until is None:
        _close(old)
    old.save()
    announce_change()
    return new


def end_expired() -> int:
    """Those whose time is over lose their secret for good; returns how many."""
    with transaction.atomic():
        over = list(Credential.objects.select_for_update().filter(enabled=True, valid_until__lte=timezone.now()))
        for row in over:
            _close(row)
            row.save()
        if over:
            announce_change()
    return len(over)


def _close(row: Credential) -> None:
    row.enabled = False
    row.disabled_reason = "replaced"
    row.secret_encrypted = encrypt("", settings.CREDENTIAL_KEYS)


def _next_name(old: Credential) -> str:
    """`main` is followed by `main 2`, that by `main 3`."""
    stem, _space, number = old.name.rpartition(" ")
    stem, start = (stem, int(number)) if stem and number.isdecimal() else (old.name, 1)
    taken = set(Credential.objects.filter(provider_id=old.provider_id).values_list("name", flat=True))
    number_of_next = start + 1
    while f"{stem} {number_of_next}" in taken:
        number_of_next += 1
    return f"{stem[:70]} {number_of_next}"
