"""Make an organization with its first project and credit, for operators and scripts."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from accounts.signup import PERSONAL, create_organization, find_or_create_user
from billing.grants import grant_credit
from billing.management.usd import nanos_of


class Command(BaseCommand):
    help = "Makes an organization; prints `organization: ID` and `project: ID` (its first project)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="of the owner; the user is made if there is none")
        parser.add_argument("--name", default=PERSONAL, help="of the organization")
        parser.add_argument(
            "--credit-usd", default="0", metavar="USD", help="granted at once; there is no trial credit beside it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        amount_nanos = nanos_of(options["credit_usd"])
        email = options["email"].strip().lower()
        try:
            validate_email(email)
        except ValidationError as error:
            raise CommandError(f"{email!r} is no e-mail address.") from error
        if not options["name"].strip():
            raise CommandError("The organization needs a name.")
        with transaction.atomic():
            owner = find_or_create_user(email)
            organization, project = create_organization(name=options["name"], owner=owner, welcome=False)
            if amount_nanos:
                grant_credit(
                    organization,
                    amount_nanos,
                    reason="Credit given with the organization",
                    idempotency_key=f"organization:{organization.pk}",
                )
        self.stdout.write(f"organization: {organization.pk}")
        self.stdout.write(f"project: {project.pk}")
        if not owner.has_usable_password():
            self.stderr.write(
                f"{owner.email} has no password yet: set one through “Forgot password” on the log-in page."
            )
