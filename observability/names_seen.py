"""The models and providers that an organization has used, for the choices above its log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connection

_MOST: Final = 1000
# One step of the index per pair, however many hours there are of it.
_PAIRS: Final = f"""
WITH RECURSIVE pairs AS (
    (SELECT model, provider FROM observability_usagehour
      WHERE organization_id = %(organization_id)s ORDER BY model, provider LIMIT 1)
    UNION ALL
    SELECT following.model, following.provider
      FROM pairs CROSS JOIN LATERAL (
           SELECT model, provider FROM observability_usagehour
            WHERE organization_id = %(organization_id)s AND (model, provider) > (pairs.model, pairs.provider)
            ORDER BY model, provider LIMIT 1) following
)
SELECT model, provider FROM pairs LIMIT {_MOST}
"""  # noqa: S608 - a constant


@dataclass(frozen=True, slots=True)
class NamesSeen:
    models: tuple[str, ...]
    providers: tuple[str, ...]


def names_seen(organization_id: int) -> NamesSeen:
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS, {"organization_id": organization_id})
        pairs = cursor.fetchall()
    models, providers = {model for model, _ in pairs}, {provider for _, provider in pairs}
    return NamesSeen(tuple(sorted(models - {""})), tuple(sorted(providers - {""})))
