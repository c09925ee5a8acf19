"""A database of the first release with customers in it becomes one of this release, and the books still agree."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from psycopg.conninfo import make_conninfo

from routerone.settings import database_conninfo

NAME = "routerone_former"
FORMER = (("accounts", "0002"), ("billing", "0002"), ("observability", "0002"))
# Alice was granted 5 USD and spent 2; one of her requests was running. Bob owes a little.
FORMER_CUSTOMERS = """
INSERT INTO accounts_organization (id, name, timezone, created_at)
VALUES (1, 'Alice', 'Asia/Shanghai', now()), (2, 'Bob', 'UTC', now());
INSERT INTO billing_ledgeraccount (id, kind, organization_id, currency, posted_nanos, held_nanos, created_at)
VALUES (91, 'wallet', 1, 'USD', 3000000000, 40000000, now()), (92, 'wallet', 2, 'USD', -7, 0, now());
UPDATE billing_ledgeraccount SET posted_nanos = -5000000000 WHERE kind = 'grants';
UPDATE billing_ledgeraccount SET posted_nanos = 2000000007 WHERE kind = 'revenue';
INSERT INTO billing_transfer (id, kind, idempotency_key, reason, organization_id, created_at)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, kind, 'key ' || n, '', organization, now()
  FROM (VALUES (1, 'grant', 1), (2, 'grant', 1), (3, 'usage', 1), (4, 'usage', 2)) t(n, kind, organization);
INSERT INTO billing_entry (transfer_id, account_id, amount_nanos, balance_after_nanos, currency, created_at)
SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, a.id, amount, balance, 'USD', now()
  FROM (VALUES (1, 'wallet', 1, 1000000000, 1000000000), (1, 'grants', NULL, -1000000000, -1000000000),
               (2, 'wallet', 1, 4000000000, 5000000000), (2, 'grants', NULL, -4000000000, -5000000000),
               (3, 'wallet', 1, -2000000000, 3000000000), (3, 'revenue', NULL, 2000000000, 2000000000),
               (4, 'wallet', 2, -7, -7), (4, 'revenue', NULL, 7, 2000000007)) e(n, kind, owner, amount, balance)
  JOIN billing_ledgeraccount a ON a.kind = e.kind AND a.organization_id IS NOT DISTINCT FROM e.owner
 ORDER BY n;
INSERT INTO billing_hold (id, account_id, organization_id, amount_nanos, remaining_nanos, currency, state, created_at,
                          expires_at, closed_at)
VALUES ('00000000-0000-7000-8000-000000000001', 91, 1, 40000000, 40000000, 'USD', 'open', now(),
        now() + '1 hour', NULL),
       ('00000000-0000-7000-8000-000000000002', 91, 1, 90000000, 0, 'USD', 'settled', now(), now(), now()),
       ('00000000-0000-7000-8000-000000000003', 92, 2, 9, 0, 'USD', 'swept', now(), now(), now());
INSERT INTO billing_usagerecord (id, request_id, part, organization_id, project_id, api_key_id, model, provider, usage,
                                 usage_source, usage_flags, policy, price_card_id, rates, rate_currency, units_per_usd,
                                 markup, charge_nanos, currency, occurred_at, settled_at, hold_id, transfer_id)
SELECT id::uuid, id::uuid, 0, organization, 1, 1, 'm', 'p', jsonb_build_object('input', charge), 'reported', '[]',
       'answered', NULL, '{"input": "0.001"}', 'USD', '1', '1', charge, 'USD', now(), now(), id::uuid, transfer::uuid
  FROM (VALUES ('00000000-0000-7000-8000-000000000002', 1, 2000000000, '00000000-0000-4000-8000-000000000003'),
               ('00000000-0000-7000-8000-000000000003', 2, 7, '00000000-0000-4000-8000-000000000004'))
       u(id, organization, charge, transfer);
"""


def manage(*arguments: str) -> str:
    env = {**os.environ, "ROUTERONE_PG_NAME": NAME, "ROUTERONE_HOME": str(settings.HOME), "DB_POOL_MAX": "0"}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def former() -> Iterator[str]:
    """The libpq string of a database of the first release."""
    if not settings.EMBEDDED:
        pytest.skip("a database can only be made on a server of our own")
    conninfo = make_conninfo(database_conninfo(), dbname=NAME)
    with psycopg.connect(make_conninfo(conninfo, dbname="postgres"), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {NAME}")
        for app, migration in FORMER:
            manage("migrate", app, migration, "--verbosity", "0")
        yield conninfo
        server.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def asked(conninfo: str, question: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo) as database:
        return database.execute(question).fetchall()


def test_wallets_of_the_first_release_get_lots_and_the_proof_passes(former: str) -> None:
    with psycopg.connect(former) as database:
        database.execute(FORMER_CUSTOMERS)
    manage("migrate", "--verbosity", "0")
    lots = "SELECT organization_id, kind, amount_nanos, remaining_nanos FROM billing_creditlot ORDER BY id"
    assert asked(former, lots) == [(1, "granted", 4_000_000_000, 3_000_000_000)]
    hold = "SELECT source, state, remaining_nanos, window_ids FROM billing_hold WHERE state = 'open'"
    assert asked(former, hold) == [("wallet", "open", 40_000_000, [])]
    assert "invariants hold" in manage("prove_ledger")
    # The request that was running never ended: its hold is swept like any other.
    with psycopg.connect(former) as database:
        database.execute("UPDATE billing_hold SET expires_at = now() - interval '1 day' WHERE state = 'open'")
        assert database.execute("SELECT billing_sweep(now(), 10)").fetchone() == (1,)
    assert asked(former, "SELECT posted_nanos, held_nanos FROM billing_ledgeraccount WHERE id = 91") == [(3 * 10**9, 0)]
    assert "invariants hold" in manage("prove_ledger")
