"""The log becomes a table in partitions by time, and holds its attempts itself.

The table of before stays whole: it becomes the partition of everything until now, with the indexes of the new one built
beside traffic first. Attempts move into its rows in batches. Retention drops it once its last row is old enough.
A worker of before cannot write to the new table, so workers stop while this runs; the journal keeps what comes.
Backwards would lose the attempts, so there is no way.
"""

from django.db import migrations, models

_BATCH = 5_000
_TABLE = "observability_requestlog"
_BEFORE = "observability_requestlog_before"

# The lowest UUIDv7 of a moment. Bounds are the same in the code that makes later partitions.
_FUNCTION = """
CREATE OR REPLACE FUNCTION pg_temp.first_id(moment timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$
"""
_INDEXES = {
    "log_of_project": "(project_id, id)",
    "log_of_key": "(api_key_id, id)",
    "log_of_project_by_outcome": "(project_id, outcome, id) WHERE outcome IN ('client_left', 'failed', 'refused')",
    "log_of_project_by_status": "(project_id, status, id) WHERE status >= 400",
    "log_of_failovers": "(project_id, id) WHERE attempt_count > 1",
}
_OLD_INDEXES = ("log_by_project", "log_by_organization", "log_by_key", "log_not_answered", "log_failover")
_OLD_CHECKS = ("status", "first_token_ms", "duration_ms", "overhead_us", "attempt_count")
_COLUMNS = """
    id uuid NOT NULL PRIMARY KEY,
    created_at timestamptz NOT NULL,
    organization_id bigint NOT NULL,
    project_id bigint NOT NULL,
    api_key_id bigint NOT NULL,
    input_tokens bigint NOT NULL,
    cache_read_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    charge_nanos bigint NOT NULL,
    first_token_ms integer NULL,
    duration_ms integer NOT NULL,
    overhead_us integer NOT NULL,
    status smallint NOT NULL,
    attempt_count smallint NOT NULL,
    stream boolean NOT NULL,
    endpoint varchar(64) NOT NULL,
    model_requested varchar(160) NOT NULL,
    model varchar(160) NOT NULL,
    provider varchar(64) NOT NULL,
    outcome varchar(12) NOT NULL,
    error_code varchar(64) NOT NULL,
    finish_reason varchar(64) NOT NULL,
    usage_source varchar(12) NOT NULL,
    policy varchar(64) NOT NULL,
    trace jsonb NULL
"""
_FILL = f"""
UPDATE {_TABLE} AS log SET trace = jsonb_build_object('attempts', found.attempts)
  FROM (SELECT request_id, jsonb_agg(jsonb_build_array(number, provider, deployment_id, dialect, reason, started_ms,
                   duration_ms, first_token_ms, status, error_class, error_code) ORDER BY number) AS attempts
          FROM observability_attemptlog
         WHERE request_id IN (SELECT id FROM {_TABLE} WHERE id > %s ORDER BY id LIMIT {_BATCH})
         GROUP BY request_id) found
 WHERE log.id = found.request_id
"""


def prepare(apps, schema_editor):
    """Attempts into the rows, and the new indexes, both beside traffic. May be run again."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {_TABLE} ADD COLUMN IF NOT EXISTS trace jsonb NULL")
        last = "00000000-0000-0000-0000-000000000000"
        while True:
            cursor.execute(
                f"SELECT id FROM {_TABLE} WHERE id > %s ORDER BY id OFFSET {_BATCH - 1} LIMIT 1", [last]
            )
            following = cursor.fetchone()
            cursor.execute(_FILL, [last])
            if following is None:
                break
            last = following[0]
        for name in _OLD_INDEXES:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        for name, shape in _INDEXES.items():
            cursor.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name}_before ON {_TABLE} {shape}")


def exchange(apps, schema_editor):
    """One short transaction: the table of before becomes a partition of the new one."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("BEGIN")
        try:
            _exchange(cursor)
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


def _exchange(cursor):
    cursor.execute("SET LOCAL lock_timeout = '3s'")
    cursor.execute(_FUNCTION)
    cursor.execute("DROP TABLE observability_attemptlog")
    cursor.execute(f"ALTER TABLE {_TABLE} RENAME TO {_BEFORE}")
    cursor.execute(f"ALTER INDEX {_TABLE}_pkey RENAME TO {_BEFORE}_pkey")
    cursor.execute(f"ALTER TABLE {_BEFORE} DROP COLUMN currency")
    for column, longest in {"endpoint": 64, "finish_reason": 64, "policy": 64}.items():
        cursor.execute(f"ALTER TABLE {_BEFORE} ALTER COLUMN {column} TYPE varchar({longest})")  # rewrites nothing
    cursor.execute(f"CREATE TABLE {_TABLE} ({_COLUMNS}) PARTITION BY RANGE (id)")
    for name, shape in _INDEXES.items():
        cursor.execute(f"CREATE INDEX {name} ON {_TABLE} {shape}")
    cursor.execute(f"CREATE TABLE {_TABLE}_other PARTITION OF {_TABLE} DEFAULT")
    cursor.execute(f"SELECT EXISTS (SELECT FROM {_BEFORE})")
    if not cursor.fetchone()[0]:
        cursor.execute(f"DROP TABLE {_BEFORE}")
        return
    # Ids that are no times of ours, such as those of a clock far ahead, would stay in the way of later partitions.
    cursor.execute(
        "SELECT pg_temp.first_id(date_trunc('day', now(), 'UTC') + interval '1 day'),"
        f" (SELECT id FROM {_BEFORE} ORDER BY id DESC LIMIT 1)"
    )
    tomorrow, last = cursor.fetchone()
    if last >= tomorrow:
        names = [line.split()[0] for line in _COLUMNS.strip().splitlines()]
        listed = ", ".join(names)
        cursor.execute(
            f"WITH moved AS (DELETE FROM {_BEFORE} WHERE id >= %s RETURNING {listed})"
            f" INSERT INTO {_TABLE}_other ({listed}) SELECT {listed} FROM moved",
            [tomorrow],
        )
    cursor.execute(
        f"ALTER TABLE {_TABLE} ATTACH PARTITION {_BEFORE} FOR VALUES FROM (MINVALUE) TO (%s)", [str(tomorrow)]
    )


class Migration(migrations.Migration):
    atomic = False  # indexes are built and rows are filled beside traffic

    dependencies = [("observability", "0002_hours_by_key")]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunPython(prepare, elidable=False),
                migrations.RunPython(exchange, elidable=False),
            ],
            state_operations=[
                migrations.DeleteModel("AttemptLog"),
                migrations.RemoveField("requestlog", "currency"),
                migrations.AddField("requestlog", "trace", models.JSONField(null=True)),
                *[
                    migrations.AlterField("requestlog", name, field)
                    for name, field in {
                        "endpoint": models.CharField("endpoint", max_length=64),
                        "finish_reason": models.CharField("finish", blank=True, default="", max_length=64),
                        "policy": models.CharField(blank=True, default="", max_length=64),
                        "status": models.SmallIntegerField("status"),
                        "first_token_ms": models.IntegerField(null=True),
                        "duration_ms": models.IntegerField(default=0),
                        "overhead_us": models.IntegerField(default=0),
                        "attempt_count": models.SmallIntegerField(default=0),
                    }.items()
                ],
                *[migrations.RemoveIndex("requestlog", name) for name in _OLD_INDEXES],
                *[
                    migrations.AddIndex("requestlog", index)
                    for index in (
                        models.Index(fields=["project_id", "id"], name="log_of_project"),
                        models.Index(fields=["api_key_id", "id"], name="log_of_key"),
                        models.Index(
                            fields=["project_id", "outcome", "id"],
                            name="log_of_project_by_outcome",
                            condition=models.Q(outcome__in=["client_left", "failed", "refused"]),
                        ),
                        models.Index(
                            fields=["project_id", "status", "id"],
                            name="log_of_project_by_status",
                            condition=models.Q(status__gte=400),
                        ),
                        models.Index(
                            fields=["project_id", "id"],
                            name="log_of_failovers",
                            condition=models.Q(attempt_count__gt=1),
                        ),
                    )
                ],
            ],
        ),
    ]
