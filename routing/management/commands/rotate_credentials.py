"""Re-encrypts every stored credential under the first of CREDENTIAL_KEYS."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from routing.announce import announce_change
from routing.credentials import CredentialUnreadable, rotate
from routing.models import Credential


class Command(BaseCommand):
    help = "Re-encrypt stored credentials with the first key of CREDENTIAL_KEYS. Then the other keys can be dropped."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            rows = list(Credential.objects.select_for_update().select_related("provider").order_by("id"))
            for row in rows:
                try:
                    row.secret_encrypted = rotate(row.secret_encrypted, settings.CREDENTIAL_KEYS)
                except CredentialUnreadable:
                    raise CommandError(
                        f"No key opens the credential of {row.provider.slug}; nothing was changed."
                    ) from None
                row.save(update_fields=["secret_encrypted", "updated_at"])
            announce_change()
        self.stdout.write(f"{len(rows)} credentials re-encrypted.")
