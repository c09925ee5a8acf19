"""Reads the catalogue's tables into one `Catalogue`, in plain SQL: no ORM in the gateway process."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from billing.pricing.markup import GLOBAL, MODEL, ORGANIZATION, PROVIDER, Markup, Markups, Target
from billing.pricing.rates import RateCard
from routing.addresses import fill_addresses
from routing.credentials import CredentialUnreadable, decrypt
from routing.policy.candidate import ONE, Catalogue, CredentialInfo, DeploymentInfo, ModelInfo

log = logging.getLogger(__name__)
Row = Mapping[str, Any]

# A credential that was replaced ends by the clock alone.
VERSION = """
SELECT (SELECT version FROM routing_catalogueversion WHERE id = 1)::text || '/' ||
       coalesce((SELECT md5(string_agg(r::text, ',' ORDER BY id)) FROM billing_exchangerate r), '') || '/' ||
       (SELECT count(*) FROM routing_credential WHERE valid_until <= now())::text
"""
MODELS = "SELECT * FROM routing_model WHERE enabled ORDER BY slug"
DEPLOYMENTS = """
SELECT d.*, m.slug AS model_slug, p.slug AS provider_slug, p.name AS provider_name, p.base_urls, p.url_variables,
       p.auth, p.extra_headers, p.on_client_leave, p.is_sandbox, p.enabled AS provider_enabled,
       coalesce(nullif(d.region, ''), p.region) AS of_region,
       coalesce(d.trains_on_data, p.trains_on_data) AS of_training,
       coalesce(d.zero_retention, p.zero_retention) AS of_retention,
       coalesce(d.drained_at, p.drained_at) IS NOT NULL AS draining
FROM routing_deployment d JOIN routing_provider p ON p.id = d.provider_id JOIN routing_model m ON m.id = d.model_id
WHERE m.enabled ORDER BY d.priority, d.id
"""
CREDENTIALS = """
SELECT c.id, c.weight, c.secret_encrypted, p.slug AS provider_slug FROM routing_credential c
JOIN routing_provider p ON p.id = c.provider_id
WHERE c.enabled AND (c.valid_until IS NULL OR c.valid_until > now()) ORDER BY c.weight = 0, c.id
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


TABLES = (MODELS, DEPLOYMENTS, CREDENTIALS, CARDS, ALIASES, EXCHANGE_RATES, HOLIDAYS, MARKUPS)
OpenSecret = Callable[[bytes], str]


async def read_catalogue(connection: AsyncConnection[Any], keys: Sequence[str], markup: Decimal = ONE) -> Catalogue:
    """One consistent catalogue with decrypted credentials; `markup` is for what no rule covers.

    The connection must not be inside a transaction.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        version = await read_version(connection)
        rows = {sql: await _rows(connection, sql) for sql in TABLES}
    return catalogue_of(rows, version, lambda token: decrypt(token, keys), markup)


def catalogue_of(
    rows: Mapping[str, Sequence[Row]], version: str, open_secret: OpenSecret, markup: Decimal = ONE
) -> Catalogue:
    """From what each of TABLES gave. `open_secret`: a stored token to its secret; may raise CredentialUnreadable."""
    credentials = _credentials(rows[CREDENTIALS], open_secret)
    deployments = _deployments(rows[DEPLOYMENTS], credentials, _cards(rows[CARDS]))
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


def _credentials(rows: Sequence[Row], open_secret: OpenSecret) -> Mapping[str, tuple[CredentialInfo, ...]]:
    """By provider; one that cannot be opened is left out."""
    found: dict[str, tuple[CredentialInfo, ...]] = defaultdict(tuple)
    for row in rows:
        provider = row["provider_slug"]
        try:
            secret = open_secret(row["secret_encrypted"])
        except CredentialUnreadable:
            log.error("credential_unreadable", extra={"provider": provider})
            continue
        found[provider] += (CredentialInfo(row["id"], secret, row["weight"]),)
    return found


def _deployments(
    rows: Sequence[Row], credentials: Mapping[str, tuple[CredentialInfo, ...]], cards: Mapping[int, list[RateCard]]
) -> Mapping[str, list[DeploymentInfo]]:
    by_model: dict[str, list[DeploymentInfo]] = defaultdict(list)
    for row in rows:
        ours = credentials.get(row["provider_slug"], ())
        by_model[row["model_slug"]].append(_deployment(row, ours, tuple(cards.get(row["id"], ()))))
    return by_model


def _deployment(row: Row, credentials: tuple[CredentialInfo, ...], cards: tuple[RateCard, ...]) -> DeploymentInfo:
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
        secret=credentials[0].secret if credentials else None,
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
        credentials=credentials,
        enabled=row["enabled"],
        provider_enabled=row["provider_enabled"],
        region=row["of_region"],
        trains_on_data=row["of_training"],
        zero_retention=row["of_retention"],
        draining=row["draining"],
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
