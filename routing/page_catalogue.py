"""The catalogue for pages and tasks: the gateway's own reading of the tables, over Django's connection."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection
from psycopg.rows import dict_row
from psycopg.types.json import JsonbLoader

from routing.credentials import decrypt
from routing.policy.candidate import Catalogue
from routing.snapshot import TABLES, OpenSecret, catalogue_of


def catalogue_for_pages() -> Catalogue:
    """As the gateway has it, but with credentials that say only that there is one."""
    return _read(lambda _token: "stored")


def catalogue_for_checks() -> Catalogue:
    """As the gateway has it, secrets included: for what sends a request to a provider, never for a page."""
    return _read(lambda token: decrypt(token, settings.CREDENTIAL_KEYS))


def _read(open_secret: OpenSecret) -> Catalogue:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    connection.ensure_connection()
    with connection.connection.cursor(row_factory=dict_row) as cursor:
        cursor.adapters.register_loader("jsonb", JsonbLoader)  # Django leaves JSON to its models
        for sql in TABLES:
            rows[sql] = list(cursor.execute(sql.encode()).fetchall())
    return catalogue_of(rows, "", open_secret, Decimal(settings.MARKUP))
