"""Fills a database with many requests over 90 days, and reads the plans of what pages and look-ups ask it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import ApiKey, Organization, Project
from observability import partitions
from observability.rollups import add_up_days
from tests.observability.conftest import Cast

DAYS = 90
PROJECTS, KEYS_PER_PROJECT, MODELS, PROVIDERS = 4, 5, 12, 6
OTHERS = 40  # organizations
LARGE = ("observability_requestlog", "observability_usagehour", "observability_usagedaysum", "billing_usagerecord")

# Six of ten requests are those of one large organization. A model and a provider are rare, errors one of fifty.
_LOG = """
INSERT INTO observability_requestlog (id, created_at, organization_id, project_id, api_key_id, endpoint,
    model_requested, model, provider, outcome, status, error_code, finish_reason, stream, input_tokens,
    cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_source, charge_nanos, policy,
    first_token_ms, duration_ms, overhead_us, attempt_count, trace)
SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(mix, 1, 3) || '8' || substr(mix, 5, 15))::uuid,
    to_timestamp(ms / 1000.0), organization_id, project_id, api_key_id, 'openai_chat', model, model, provider,
    CASE WHEN n %% 50 <> 3 THEN 'answered' WHEN n %% 150 = 3 THEN 'failed' WHEN n %% 150 = 53 THEN 'refused'
         ELSE 'client_left' END,
    CASE WHEN n %% 50 <> 3 THEN 200 WHEN n %% 150 = 3 THEN 502 WHEN n %% 150 = 53 THEN 429 ELSE 499 END,
    '', 'stop', n %% 2 = 0, 1000, 400, 0, 200, 20, 'reported', 5000 + n %% 1000, 'answered', 300, 900, 400,
    CASE WHEN n %% 70 = 3 THEN 2 ELSE 1 END,
    '{"attempts": [[1, "deepseek", 7, "openai_chat", "cheapest", 1, 890, 299, 200, "", ""]]}'
FROM (
    SELECT n, md5(n::text) AS mix,
        (extract(epoch FROM %(start)s::timestamptz) * 1000)::bigint
            + (n::numeric * %(span_ms)s / %(rows)s)::bigint AS ms,
        CASE WHEN n %% 10 < 6 THEN %(organization)s ELSE %(organization)s + 1 + n %% %(others)s END AS organization_id,
        (%(projects)s::bigint[])[1 + n %% %(keys)s / %(keys_each)s] + CASE WHEN n %% 10 < 6 THEN 0
            ELSE 1000000 * (1 + n %% %(others)s) END AS project_id,
        (%(key_ids)s::bigint[])[1 + n %% %(keys)s] + CASE WHEN n %% 10 < 6 THEN 0
            ELSE 1000000 * (1 + n %% %(others)s) END AS api_key_id,
        CASE WHEN n %% 5000 = 1 THEN 'rare/model' ELSE 'm/model-' || (n / 7 %% %(models)s) END AS model,
        CASE WHEN n %% 5000 = 2 THEN 'rare' ELSE 'provider-' || (n / 11 %% %(providers)s) END AS provider
    FROM generate_series(1, %(rows)s) AS n
) made
ON CONFLICT DO NOTHING
"""
_HOURS = """
INSERT INTO observability_usagehour (organization_id, hour, project_id, api_key_id, model, provider, requests, answered,
    failed_over, input_tokens, cache_read_tokens, output_tokens, charge_nanos, first_token_ms_sum, first_token_count)
SELECT organization_id, date_trunc('hour', created_at, 'UTC'), project_id, api_key_id, model, provider, count(*),
    count(*) FILTER (WHERE outcome = 'answered'), count(*) FILTER (WHERE outcome = 'answered' AND attempt_count > 1),
    sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(charge_nanos), sum(first_token_ms), count(*)
FROM observability_requestlog GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 1
"""
_RECORDS = """
INSERT INTO billing_usagerecord (id, request_id, part, organization_id, project_id, api_key_id, model, provider, usage,
    usage_source, usage_flags, policy, price_card_id, rates, rate_currency, units_per_usd, markup, charge_nanos,
    currency, occurred_at, settled_at)
SELECT id, id, 0, organization_id, project_id, api_key_id, model, provider, '{"input": 600, "output": 200}', 'reported',
    '[]', policy, 1, '{"input": "2", "output": "10"}', 'USD', '1', '1', charge_nanos, 'USD', created_at, created_at
FROM observability_requestlog
"""


def fill(cast: Cast, rows: int) -> None:
    """`rows` requests, their charges and hours; the large organization is that of `cast`."""
    now = datetime.now(UTC)
    start = now - timedelta(days=DAYS)
    with connection.cursor() as cursor:
        for partition in partitions.existing():
            cursor.execute(f"DROP TABLE {partition.name}")
        partitions.make_ahead(now, since=start)
        projects = [cast.project.pk, *(_project(cast.organization, number) for number in range(1, PROJECTS))]
        keys = [_key(project, number) for project in projects for number in range(KEYS_PER_PROJECT)]
        values = {
            "start": start,
            "span_ms": DAYS * 86_400_000 - 60_000,
            "rows": rows,
            "organization": cast.organization.pk,
            "others": OTHERS,
            "projects": projects,
            "key_ids": keys,
            "keys": len(keys),
            "keys_each": KEYS_PER_PROJECT,
            "models": MODELS,
            "providers": PROVIDERS,
        }
        cursor.execute(_LOG, values)
        cursor.execute(_HOURS)
        cursor.execute(_RECORDS)
        add_up_days(now)
        for table in LARGE:
            cursor.execute(f"ANALYZE {table}")


def _project(organization: Organization, number: int) -> int:
    return int(Project.objects.create(organization=organization, name=f"project {number}").pk)


def _key(project_id: int, number: int) -> int:
    hashed = f"{project_id}:{number}".encode().ljust(32, b"x")
    return int(
        ApiKey.objects.create(
            project_id=project_id, name=f"key {number}", key_hash=hashed, prefix="sk-ro-many", last_four="0000"
        ).pk
    )


@dataclass(frozen=True)
class Plan:
    sql: str
    text: str

    @property
    def milliseconds(self) -> float:
        return sum(float(found) for found in re.findall(r"(?:Planning|Execution) Time: ([\d.]+) ms", self.text))

    @property
    def buffers(self) -> int:
        found = re.search(r"Buffers: shared hit=(\d+)(?: read=(\d+))?", self.text)
        return int(found[1]) + int(found[2] or 0) if found else 0

    @property
    def scans(self) -> list[str]:
        """Large tables that are read from one end to the other, empty partitions apart."""
        scans = r"Seq Scan on (\w+)[^\n]*\(actual time=[^)]*rows=([\d.]+) loops=[^)]*\)((?:\n +[A-Z][^\n]*)*)"
        found = re.findall(scans, self.text)
        return [
            name
            for name, rows, details in found
            if name.startswith(LARGE) and (float(rows) or "Rows Removed by Filter" in details)
        ]


@contextmanager
def plans() -> Iterator[list[Plan]]:
    """The plans of all queries about large tables that are asked meanwhile."""
    found: list[Plan] = []
    with CaptureQueriesContext(connection) as queries:
        yield found
    for query in queries.captured_queries:
        statement = query["sql"]
        if any(name in statement for name in LARGE) and re.match(r"\s*(SELECT|WITH)", statement):
            found.append(plan_of(statement))


def plan_of(statement: str) -> Plan:
    """Run it once to warm the caches, then with EXPLAIN."""
    with transaction.atomic(), connection.cursor() as cursor:
        for prefix in ("", "EXPLAIN (ANALYZE, BUFFERS) "):
            cursor.execute(prefix + statement.replace("%", "%%"), [])
            lines = cursor.fetchall()
    return Plan(statement, "\n".join(str(line[0]) for line in lines))


def bind(statement: str, values: Sequence[object] | Mapping[str, object]) -> str:
    """A statement of psycopg's as text, its values inside."""
    with psycopg.connect(settings.DATABASE_CONNINFO()) as own:
        return psycopg.ClientCursor(own).mogrify(statement, values)
