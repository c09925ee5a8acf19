"""`manage.py prove_ledger`: check every invariant of the money tables and keep the result. Fails when one is broken."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing import proof


class Command(BaseCommand):
    help = "Checks that ledger, holds, usage records and charges agree. Exits with 1 and names the rows that do not."

    def handle(self, *args: Any, **options: Any) -> None:
        run = proof.run()
        seconds = (run.finished_at - run.started_at).total_seconds()
        for name, figure in run.figures.items():
            self.stdout.write(f"{name:<16}{figure:>24,}")
        for line in run.problems:
            self.stderr.write(line)
        if run.problems:
            raise CommandError(f"{len(run.problems)} violations")
        self.stdout.write(f"{len(proof.INVARIANTS)} invariants hold ({seconds:.1f} s)")
