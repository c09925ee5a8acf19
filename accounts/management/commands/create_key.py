"""Make an API key for a script or an operator."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.keys import create_key
from accounts.models import Project


class Command(BaseCommand):
    help = "Makes an API key and prints it, once, alone on a line. Everything else goes to stderr."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--project", type=int, required=True, metavar="ID")
        parser.add_argument("--name", required=True)
        parser.add_argument("--rpm", type=int, metavar="N", help="requests per minute; the usual limit if not given")

    def handle(self, *args: Any, **options: Any) -> None:
        project = Project.objects.filter(pk=options["project"]).first()
        if project is None:
            raise CommandError(f"There is no project {options['project']}.")
        try:
            key, raw = create_key(project, options["name"], requests_per_minute=options["rpm"])
        except ValueError as error:
            raise CommandError(f"The key was not made: {error}.") from error
        self.stderr.write(f"Key {key.pk} of project {project.pk} ({project.name}). It is not shown again:")
        self.stdout.write(raw)
