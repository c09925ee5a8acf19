"""`manage.py prepare`: what lies between a running database and a usable product, safe to repeat."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Migrate, load the catalogue, and in an evaluation make the sandbox and the demo organization."

    def handle(self, *args: Any, **options: Any) -> None:
        data = settings.BASE_DIR / "routing" / "data"
        call_command("migrate", interactive=False, verbosity=0)
        self._say("database is up to date")
        if settings.EMBEDDED:
            call_command("load_catalogue", str(data / "catalogue"), quiet=True, if_empty=True)
            self._say("catalogue is there")
        if settings.SANDBOX_ENABLED:
            call_command("load_catalogue", str(data / "sandbox"), quiet=True)
            call_command("demo")
            self._say("sandbox provider and demo organization are there")

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
