"""`manage.py reset`: forget the data of this clone."""

from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from routerone.embedded import lock
from routerone.embedded.paths import embedded_paths


class Command(BaseCommand):
    help = "Delete the embedded database, its secrets and logs. Servers named by DATABASE_URL are not touched."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        paths = embedded_paths(settings.HOME)
        if lock.is_held(paths.lock):
            raise CommandError("Router One is running from this folder. Stop it first with Ctrl-C.")
        folders = [folder for folder in dict.fromkeys(paths.everything()) if folder.exists()]
        there = [folder for folder in folders if not set(folder.parents) & set(folders)]
        if not options["yes"] and not self._agreed(there):
            self.stdout.write("Nothing was deleted.")
            return
        for folder in there:
            shutil.rmtree(folder, ignore_errors=True)
        if left := [str(folder) for folder in there if folder.exists()]:
            raise CommandError(f"Could not delete {', '.join(left)}; another user made it.")
        self.stdout.write("Forgotten: " + ", ".join(map(str, there)))

    def _agreed(self, there: list[Any]) -> bool:
        for folder in there:
            self.stdout.write(f"  {folder}")
        try:
            return input("Delete all accounts, keys, logs and balances in there? [y/N] ").strip().lower() in {
                "y",
                "yes",
            }
        except EOFError:
            return False
