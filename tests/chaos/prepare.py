"""Makes the database of a chaos stack ready in one process: tables, catalogue, customers.

    python -m tests.chaos.prepare CATALOGUE_FOLDER CUSTOMERS CREDIT_USD

Prints the customers as a JSON list of [organization id, key].
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import django

django.setup()

from django.core.management import call_command  # noqa: E402

from accounts.keys import create_key  # noqa: E402
from accounts.models import User  # noqa: E402
from accounts.signup import create_organization  # noqa: E402
from billing.grants import grant_credit  # noqa: E402


def main(folder: str, count: str, credit_usd: str) -> None:
    call_command("migrate", verbosity=0)
    call_command("load_catalogue", folder, quiet=True)
    owner = User.objects.create_user("chaos@example.com")
    customers = []
    for number in range(int(count)):
        organization, project = create_organization(name=f"Chaos {number}", owner=owner)
        nanos = int(Decimal(credit_usd) * 10**9)
        grant_credit(organization, nanos, reason="test", idempotency_key=f"chaos:{number}")
        customers.append((organization.pk, create_key(project, "chaos", requests_per_minute=1_000_000)[1]))
    sys.stdout.write(json.dumps(customers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
