"""What the database itself refuses: unbalanced transfers, and any change to what has been written about money."""

from __future__ import annotations

from django.db import migrations

# Checked when the transaction ends, because the entries of a transfer come one by one. A transfer without entries is
# refused too; nothing would show what it moved.
BALANCED = """
CREATE FUNCTION billing_check_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved uuid := CASE TG_TABLE_NAME WHEN 'billing_entry' THEN (to_jsonb(NEW)->>'transfer_id')::uuid
                                     ELSE (to_jsonb(NEW)->>'id')::uuid END;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM billing_entry WHERE transfer_id = moved) THEN
        RAISE EXCEPTION 'transfer % has no entries', moved USING ERRCODE = 'check_violation';
    END IF;
    IF EXISTS (SELECT 1 FROM billing_entry WHERE transfer_id = moved GROUP BY currency HAVING SUM(amount_nanos) <> 0) THEN
        RAISE EXCEPTION 'entries of transfer % do not sum to zero', moved USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER entry_balanced AFTER INSERT ON billing_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_balanced();
CREATE CONSTRAINT TRIGGER transfer_balanced AFTER INSERT ON billing_transfer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION billing_check_balanced();
"""

DROP_BALANCED = """
DROP TRIGGER transfer_balanced ON billing_transfer;
DROP TRIGGER entry_balanced ON billing_entry;
DROP FUNCTION billing_check_balanced();
"""

GUARDED = ("billing_entry", "billing_transfer", "billing_usagerecord")

REFUSE = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what was written about money stays', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_unchanged BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION billing_refuse_change();
CREATE TRIGGER {table}_not_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION billing_refuse_change();
"""
    for table in GUARDED
)

DROP_REFUSE = (
    "".join(
        f"DROP TRIGGER {table}_unchanged ON {table}; DROP TRIGGER {table}_not_emptied ON {table};\n" for table in GUARDED
    )
    + "DROP FUNCTION billing_refuse_change();"
)

ACCOUNTS = """
INSERT INTO billing_ledgeraccount (kind, organization_id, currency, posted_nanos, held_nanos, created_at)
SELECT kind, NULL, 'USD', 0, 0, now() FROM unnest(ARRAY['revenue', 'grants', 'topups', 'absorbed']) AS kind
    ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(BALANCED, DROP_BALANCED),
        migrations.RunSQL(REFUSE, DROP_REFUSE),
        migrations.RunSQL(ACCOUNTS, migrations.RunSQL.noop),
    ]
