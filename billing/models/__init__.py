"""Loads the table modules for Django. Import a model from its own module, never from here."""

from billing.models import holds, idempotency, ledger, plans, rates, usage  # noqa: F401
