"""`manage.py up`: the whole product on this machine, for evaluation. What `make up` runs."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from routerone.embedded import lock
from routerone.embedded.paths import embedded_paths, make_home
from routerone.embedded.process import ServerProblem
from routerone.evaluation import Evaluation


class Command(BaseCommand):
    help = "Start database, gateway, pages, worker and sandbox provider; Ctrl-C stops them."
    requires_system_checks: list[str] = []  # `prepare` runs them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=int(os.environ.get("PORT") or 8000), help="first port to try")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")

    def handle(self, *args: Any, **options: Any) -> None:
        paths = embedded_paths(settings.HOME)
        try:
            make_home(paths)
            with lock.held(paths.lock):
                Evaluation(paths, options["host"], options["port"], self._write).run()
        except (ServerProblem, OSError) as problem:
            raise CommandError(str(problem)) from problem

    def _write(self, line: str) -> None:
        try:
            self.stdout.write(line)
            self.stdout.flush()
        except OSError:  # the terminal is gone; what runs goes on until it is told to stop
            pass
