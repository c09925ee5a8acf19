from __future__ import annotations

import importlib
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from observability import partitions
from observability.models import RequestLog
from observability.tasks import keep_log
from tests.observability.conftest import Cast, Save

NOW = datetime.now(UTC)


def place_of(id_: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text FROM observability_requestlog WHERE id = %s", [id_])
        return str(cursor.fetchone()[0])


def remove_all() -> None:
    with connection.cursor() as cursor:
        for partition in partitions.existing():
            cursor.execute(f"DROP TABLE {partition.name}")


def test_a_migrated_database_has_partitions_for_two_weeks(db: None) -> None:
    assert partitions.existing()[-1].end > NOW + timedelta(days=13)
    assert partitions.make_ahead(NOW) == []


def test_a_request_lies_in_the_partition_of_its_time(alice: Cast, save: Save) -> None:
    assert place_of(save(alice).id) == partitions.existing()[0].name
    later = save(alice, created_at=NOW + timedelta(days=10))
    assert place_of(later.id) == next(one.name for one in partitions.existing() if one.end > NOW + timedelta(days=10))


def test_what_no_partition_takes_is_stored_all_the_same(alice: Cast, save: Save) -> None:
    for days in (-400, 400):
        assert place_of(save(alice, created_at=NOW + timedelta(days=days)).id) == partitions.OTHERS
    assert partitions.strays() == 2


def test_rows_that_came_before_their_partition_move_into_it(alice: Cast, save: Save) -> None:
    remove_all()
    rows = [save(alice, created_at=NOW + timedelta(days=days)) for days in (0, 9, 300)]
    assert {place_of(row.id) for row in rows} == {partitions.OTHERS}
    made = partitions.make_ahead(NOW)
    assert [place_of(row.id) for row in rows] == [made[0], made[1], partitions.OTHERS]
    assert RequestLog.objects.count() == 3


def test_partitions_follow_each_other_without_a_gap(db: None) -> None:
    remove_all()
    partitions.make_ahead(NOW - timedelta(days=30))
    partitions.make_ahead(NOW)
    ends = [partition.end for partition in partitions.existing()]
    assert [later - earlier for earlier, later in itertools.pairwise(ends)] == [partitions.LENGTH] * (len(ends) - 1)


def test_retention_drops_what_is_older_as_a_whole_and_nothing_else(alice: Cast, save: Save) -> None:
    remove_all()
    partitions.make_ahead(NOW, since=NOW - timedelta(days=120))
    stray = save(alice, created_at=NOW - timedelta(days=300))
    old, kept = save(alice, created_at=NOW - timedelta(days=100)), save(alice, created_at=NOW - timedelta(days=89))
    gone = partitions.drop_before(NOW - timedelta(days=90))
    assert len(gone) == 4
    assert [str(row.pk) for row in RequestLog.objects.all()] == [kept.id]
    assert old.id != stray.id
    assert partitions.drop_before(NOW - timedelta(days=90)) == []


def test_the_job_makes_and_drops_and_speaks_of_strays(alice: Cast, save: Save, settings: Any) -> None:
    settings.LOG_RETENTION_DAYS = 30
    remove_all()
    partitions.make_ahead(NOW - timedelta(days=90))
    save(alice, created_at=NOW + timedelta(days=300))
    keep_log()
    keep_log()
    ends = [partition.end for partition in partitions.existing()]
    assert ends[0] > NOW - timedelta(days=30)
    assert ends[-1] > NOW + partitions.AHEAD


def test_one_request_is_looked_for_in_one_partition(alice: Cast, save: Save) -> None:
    row = save(alice)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN SELECT * FROM observability_requestlog WHERE id = %s", [row.id])
        plan = "\n".join(line[0] for line in cursor.fetchall())
    assert plan.count("observability_requestlog_") - plan.count("_pkey") == 1


OLD_TABLES = """
CREATE TABLE observability_requestlog (
    id uuid NOT NULL PRIMARY KEY, created_at timestamptz NOT NULL, organization_id bigint NOT NULL,
    project_id bigint NOT NULL, api_key_id bigint NOT NULL, endpoint varchar(32) NOT NULL,
    model_requested varchar(160) NOT NULL, model varchar(160) NOT NULL, provider varchar(64) NOT NULL,
    outcome varchar(12) NOT NULL, status smallint NOT NULL CHECK (status >= 0), error_code varchar(64) NOT NULL,
    finish_reason varchar(24) NOT NULL, stream boolean NOT NULL, input_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL, cache_write_tokens bigint NOT NULL, output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL, usage_source varchar(12) NOT NULL, charge_nanos bigint NOT NULL,
    currency varchar(3) NOT NULL, policy varchar(32) NOT NULL, first_token_ms integer NULL CHECK (first_token_ms >= 0),
    duration_ms integer NOT NULL, overhead_us integer NOT NULL, attempt_count smallint NOT NULL);
CREATE INDEX log_by_project ON observability_requestlog (project_id, id DESC);
CREATE TABLE observability_attemptlog (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, number smallint NOT NULL, provider varchar(64) NOT NULL,
    deployment_id bigint NOT NULL, dialect varchar(24) NOT NULL, reason varchar(32) NOT NULL,
    started_ms integer NOT NULL, first_token_ms integer NULL, duration_ms integer NOT NULL, status smallint NULL,
    error_class varchar(32) NOT NULL, error_code varchar(64) NOT NULL,
    request_id uuid NOT NULL REFERENCES observability_requestlog (id) DEFERRABLE INITIALLY DEFERRED);
"""
OLD_ROWS = """
INSERT INTO observability_requestlog
SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n), 19, '0'))::uuid, at,
    1, 1, 1, 'openai_chat', 'm', 'm', 'p', 'answered', 200, '', 'stop', true, 1, 0, 0, 1, 0, 'reported', 7, 'USD',
    'answered', 300, 900, 400, 2
FROM (SELECT n, now() - interval '1 minute' * n AS at FROM generate_series(1, %(rows)s) n
      UNION ALL SELECT 9999, now() + interval '400 days') made;
INSERT INTO observability_attemptlog (number, provider, deployment_id, dialect, reason, started_ms, first_token_ms,
    duration_ms, status, error_class, error_code, request_id)
SELECT number, 'p' || number, 7, 'openai_chat', 'cheapest', 1, NULL, 890, 529, 'overloaded', '', log.id
FROM observability_requestlog log, generate_series(2, 1, -1) number WHERE log.id IS NOT NULL
"""


@pytest.fixture
def other_schema(transactional_db: None) -> Iterator[None]:
    """The migration builds indexes beside traffic, which no transaction can take back."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA of_before")
        cursor.execute("SET search_path = of_before")
        try:
            yield
        finally:
            cursor.execute("SET search_path = public")
            cursor.execute("DROP SCHEMA of_before CASCADE")


@pytest.mark.parametrize("rows", [0, 12])
def test_the_table_of_before_becomes_a_partition_with_its_attempts(
    other_schema: None, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    migration = importlib.import_module("observability.migrations.0003_log_in_partitions")
    monkeypatch.setattr(migration, "_BATCH", 5)
    monkeypatch.setattr(migration, "_FILL", migration._FILL.replace("LIMIT 5000", "LIMIT 5"))
    with connection.cursor() as cursor:
        cursor.execute(OLD_TABLES)
        if rows:
            cursor.execute(OLD_ROWS, {"rows": rows})
    with connection.schema_editor(atomic=False) as editor:
        migration.prepare(apps, editor)
        migration.exchange(apps, editor)
    partitions.make_ahead(NOW)
    assert partitions.is_partitioned()
    found = list(RequestLog.objects.order_by("id"))
    assert len(found) == (rows + 1 if rows else 0)
    for row in found:
        assert [attempt[:2] for attempt in row.trace["attempts"]] == [[1, "p1"], [2, "p2"]]
        assert row.charge_nanos == 7
    if rows:
        assert place_of(str(found[0].pk)) == "observability_requestlog_before"
        assert place_of(str(found[-1].pk)) == partitions.OTHERS
    names = {partition.name for partition in partitions.existing()}
    assert ("observability_requestlog_before" in names) == bool(rows)
