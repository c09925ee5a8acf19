"""`manage.py prove_ledger`: check every invariant of the money tables. Fails when one is broken."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import proof


class Command(BaseCommand):
    help = "Checks that ledger, holds and usage records agree. Exits with 1 and names the rows when they do not."

    def handle(self, *args: Any, **options: Any) -> None:
        violations = proof.check()
        for name, figure in asdict(proof.figures()).items():
            self.stdout.write(f"{name:<16}{figure:>24,}")
        for line in violations:
            self.stderr.write(line)
        if violations:
            raise CommandError(f"{len(violations)} violations")
        self.stdout.write(f"{len(proof.INVARIANTS)} invariants hold")
