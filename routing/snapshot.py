"""Reads the catalogue's tables into one `Catalogue`, in plain SQL: no ORM in the gateway process."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from billing.pricing.markup import GLOBAL, MODEL, ORGANIZATION, PROVIDER, Markup, Markups, Target
from billing.pricing.rates import RateCard
from routing.addresses import fill_addresses
from routing.credentials import CredentialUnreadable, decrypt
from routing.policy.candidate import ONE, Catalogue, DeploymentInfo, ModelInfo

log = logging.getLogger(__name__)
Row = Mapping[str, Any]

VERSION = """
SELECT (SELECT version FROM routing_catalogueversion WHERE id = 1)::text || '/' ||
       coalesce((SELECT md5(string_agg(r::text, ',' ORDER BY id)) FROM billing_exchangerate r), '')
"""
MODELS = "SELECT * FROM routing_model WHERE enabled ORDER BY slug"
DEPLOYMENTS = """
SELECT d.*, m.slug AS model_slug, p.slug AS provider_slug, p.name AS provider_name, p.base_urls, p.url_variables,
       p.auth, p.extra_headers, p.on_client_leave, p.is_sandbox, p.enabled AS provider_enabled,
       (SELECT c.secret_encrypted FROM routing_credential c
        WHERE c.provider_id = p.id AND c.enabled ORDER BY c.id LIMIT 1) AS secret_encrypted
FROM routing_deployment d JOIN routing_provider p ON p.id = d.provider_id JOIN routing_model m ON m.id = d.model_id
WHERE m.enabled ORDER BY d.priority, d.id
"""
CARDS = "SELECT * FROM routing_pricecard ORDER BY id"
ALIASES = """
SELECT lower(a.name) AS name, m.slug, a.successor FROM routing_modelalias a
LEFT JOIN routing_model m ON m.id = a.model_id WHERE m.id IS NULL OR m.enabled
"""
EXCHANGE_RATES = "SELECT currency, valid_from, units_per_usd FROM billing_exchangerate ORDER BY currency, valid_from"
HOLIDAYS = "SELECT name, dates FROM routing_holidaycalendar"
# What ended a while ago can apply to no request that is still running.
MARKUPS = """
SELECT r.id, r.scope, r.organization_id, r.factor, r.valid_from, r.valid_until, p.slug AS provider, m.slug AS model
FROM routing_markuprule r LEFT JOIN routing_provider p ON p.id = r.provider_id
LEFT JOIN routing_model m ON m.id = r.model_id
WHERE r.valid_until IS NULL OR r.valid_until > now() - interval '1 day' ORDER BY r.id
"""


async def read_version(connection: AsyncConnection[Any]) -> str:
    """A text that differs after any change of the catalogue or the exchange rates."""
    async with connection.transaction(), connection.cursor() as cursor:
        await cursor.execute(VERSION)
        row = await cursor.fetchone()
    return str(row[0]) if row else ""


async def read_catalogue(connection: AsyncConnection[Any], keys: Sequence[str], markup: Decimal = ONE) -> Catalogue:
    """One consistent catalogue with decrypted credentials; `markup` is for what no rule covers.

    The connection must not be inside a transaction.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        version = await read_version(connection)
        rows = {
            sql: await _rows(connection, sql)
            for sql in (MODELS, DEPLOYMENTS, CARDS, ALIASES, EXCHANGE_RATES, HOLIDAYS, MARKUPS)
        }
    deployments = _deployments(rows[DEPLOYMENTS], _cards(rows[CARDS]), keys)
    return Catalogue(
        models={row["slug"]: _model(row, tuple(deployments[row["slug"]])) for row in rows[MODELS]},
        aliases={row["name"]: row["slug"] for row in rows[ALIASES] if row["slug"]},
        withdrawn={row["name"]: row["successor"] for row in rows[ALIASES] if not row["slug"]},
        exchange_rates=_exchange_rates(rows[EXCHANGE_RATES]),
        holidays={row["name"]: frozenset(map(date.fromisoformat, row["dates"])) for row in rows[HOLIDAYS]},
        markups=Markups.of(map(_markup, rows[MARKUPS]), otherwise=markup),
        version=version,
    )


async def _rows(connection: AsyncConnection[Any], sql: str) -> list[Row]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(sql.encode())
        return list(await cursor.fetchall())


def _cards(rows: Sequence[Row]) -> Mapping[int, list[RateCard]]:
    cards: dict[int, list[RateCard]] = defaultdict(list)
    for row in rows:
        cards[row["deployment_id"]].append(
            RateCard(
                id=row["id"],
                tier=row["tier"],
                valid_from=row["valid_from"],
                valid_until=row["valid_until"],
                min_prompt_tokens=row["min_prompt_tokens"],
                schedule=row["schedule"],
                rates={name: Decimal(rate) for name, rate in row["rates"].items()},
            )
        )
    return cards


def _deployments(
    rows: Sequence[Row], cards: Mapping[int, list[RateCard]], keys: Sequence[str]
) -> Mapping[str, list[DeploymentInfo]]:
    by_model: dict[str, list[DeploymentInfo]] = defaultdict(list)
    secrets: dict[str, str | None] = {}
    for row in rows:
        provider = row["provider_slug"]
        if provider not in secrets:
            secrets[provider] = _secret(row, keys)
        by_model[row["model_slug"]].append(_deployment(row, secrets[provider], tuple(cards.get(row["id"], ()))))
    return by_model


def _secret(row: Row, keys: Sequence[str]) -> str | None:
    if row["secret_encrypted"] is None:
        return None
    try:
        return decrypt(row["secret_encrypted"], keys)
    except CredentialUnreadable:
        log.error("credential_unreadable", extra={"provider": row["provider_slug"]})
        return None


def _deployment(row: Row, secret: str | None, cards: tuple[RateCard, ...]) -> DeploymentInfo:
    addresses = fill_addresses(row["base_urls"], row["url_variables"], {row["dialect"]: row["base_url"]})
    return DeploymentInfo(
        id=row["id"],
        provider=row["provider_slug"],
        provider_name=row["provider_name"],
        model=row["model_slug"],
        upstream_id=row["upstream_id"],
        dialect=row["dialect"],
        other_dialects=tuple(row["other_dialects"]),
        base_urls=addresses,
        auth=row["auth"],
        secret=secret,
        extra_headers=row["extra_headers"],
        on_client_leave=row["on_client_leave"],
        context_length=row["context_length"],
        max_output_tokens=row["max_output_tokens"],
        status=row["status"],
        retires_on=row["retires_on"],
        currency=row["currency"],
        priority=row["priority"],
        price_cards=cards,
        is_sandbox=row["is_sandbox"],
        enabled=row["enabled"],
        provider_enabled=row["provider_enabled"],
    )


def _model(row: Row, deployments: tuple[DeploymentInfo, ...]) -> ModelInfo:
    return ModelInfo(
        slug=row["slug"],
        name=row["name"],
        author=row["author"],
        description=row["description"],
        released=row["released"],
        context_length=row["context_length"],
        max_output_tokens=row["max_output_tokens"],
        input_modalities=tuple(row["input_modalities"]),
        output_modalities=tuple(row["output_modalities"]),
        capabilities=row["capabilities"],
        quality_index=row["quality_index"],
        status=row["status"],
        deployments=deployments,
    )


def _markup(row: Row) -> Markup:
    targets: Mapping[str, Target] = {
        GLOBAL: None,
        PROVIDER: row["provider"],
        MODEL: row["model"],
        ORGANIZATION: row["organization_id"],
    }
    return Markup(row["id"], row["scope"], targets[row["scope"]], row["factor"], row["valid_from"], row["valid_until"])


def _exchange_rates(rows: Sequence[Row]) -> Mapping[str, list[tuple[Any, Decimal]]]:
    rates: dict[str, list[tuple[Any, Decimal]]] = defaultdict(list)
    for row in rows:
        rates[row["currency"]].append((row["valid_from"], row["units_per_usd"]))
    return rates
