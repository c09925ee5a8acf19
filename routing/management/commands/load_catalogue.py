"""Loads providers, models and price cards from a folder of JSON files."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.utils import timezone

from routing.announce import announce_change
from routing.loading.applying import apply_catalogue
from routing.loading.changes import Changes
from routing.loading.entries import CatalogueInvalid
from routing.loading.providers import take_credentials
from routing.loading.reading import read_folder
from routing.models import Deployment, Model, PriceCard, Provider


class Command(BaseCommand):
    help = "Load providers.json and models.json (and legacy_names.json) of FOLDER. Safe to repeat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="show what would change, change nothing")
        parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="where there is a catalogue already, leave it and only take credentials from the environment",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["if_empty"] and Provider.objects.filter(is_sandbox=False).exists():
            self._take_credentials()
            return
        try:
            changes = load(options["folder"], dry_run=options["dry_run"])
        except CatalogueInvalid as invalid:
            raise CommandError("The catalogue was not loaded:\n  " + "\n  ".join(invalid.problems)) from None
        if not options["quiet"]:
            self._report(changes, dry_run=options["dry_run"])

    def _take_credentials(self) -> None:
        changes = Changes()
        with transaction.atomic():
            take_credentials(environment=os.environ, keys=settings.CREDENTIAL_KEYS, changes=changes)
            if changes.changed:
                announce_change()

    def _report(self, changes: Changes, *, dry_run: bool) -> None:
        for line in changes.lines():
            self.stdout.write(line)
        done = "Would change" if dry_run else "Loaded"
        self.stdout.write(
            f"{done}: {len(changes.new)} new, {len(changes.changed)} changed, {len(changes.gone)} gone from the files. "
            f"In the catalogue now: {Provider.objects.count()} providers, {Model.objects.count()} models, "
            f"{Deployment.objects.count()} deployments, {PriceCard.objects.count()} price cards."
        )


def load(folder: Path, *, dry_run: bool = False) -> Changes:
    """One transaction: everything or nothing. Raises CatalogueInvalid."""
    with transaction.atomic():
        _one_at_a_time()
        known = {row.slug: tuple(row.base_urls) for row in Provider.objects.all()}
        files = read_folder(folder, known)
        changes = apply_catalogue(files, now=timezone.now(), environment=_environment(), keys=settings.CREDENTIAL_KEYS)
        if dry_run:
            transaction.set_rollback(True)
        elif changes:
            announce_change()
    return changes


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('load_catalogue'))")


def _environment() -> Mapping[str, str]:
    """What URL variables and credentials may be read from: the process's environment, and where the sandbox is."""
    return {**os.environ, "SANDBOX_URL": settings.SANDBOX_URL}
