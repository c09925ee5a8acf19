"""Add granted credit to an organization's wallet."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import Organization, Project
from billing.grants import grant_credit
from billing.management.usd import nanos_of


class Command(BaseCommand):
    help = "Grants credit to an organization, or to the one that owns a project; prints `transfer: ID`."

    def add_arguments(self, parser: CommandParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--organization", type=int, metavar="ID")
        whose.add_argument("--project", type=int, metavar="ID")
        parser.add_argument("--usd", required=True, metavar="USD")
        parser.add_argument("--reason", required=True, help="kept in the ledger")
        parser.add_argument("--once", metavar="NAME", help="a name of your own; the same name grants once")

    def handle(self, *args: Any, **options: Any) -> None:
        organization = _organization(options["organization"], options["project"])
        amount_nanos = nanos_of(options["usd"])
        name = options["once"] or uuid4()
        try:
            transfer = grant_credit(
                organization, amount_nanos, reason=options["reason"], idempotency_key=f"command:{name}"
            )
        except ValueError as error:
            raise CommandError(f"Nothing was granted: {error}.") from error
        self.stdout.write(f"transfer: {transfer}")


def _organization(organization_id: int | None, project_id: int | None) -> Organization:
    if organization_id is not None:
        found = Organization.objects.filter(pk=organization_id).first()
        if found is None:
            raise CommandError(f"There is no organization {organization_id}.")
        return found
    assert project_id is not None  # the parser asks for one of the two
    project = Project.objects.select_related("organization").filter(pk=project_id).first()
    if project is None:
        raise CommandError(f"There is no project {project_id}.")
    return project.organization
