"""Holds of the first release say what was settled on them, as the proof reads it; `settled` is called `done` now."""

from __future__ import annotations

from django.db import migrations

FORMER = """
UPDATE billing_hold h
   SET state = CASE h.state WHEN 'settled' THEN 'done' ELSE h.state END,
       settled_nanos = u.nanos, settled_count = u.count
  FROM (SELECT hold_id, SUM(charge_nanos) AS nanos, COUNT(*) AS count FROM billing_usagerecord
         WHERE hold_id IS NOT NULL GROUP BY hold_id) u
 WHERE u.hold_id = h.id AND h.settled_count = 0;
UPDATE billing_hold SET state = 'done' WHERE state = 'settled';
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_leaner_usage_records")]

    run_before = [("billing", "0006_plan_history")]

    operations = [migrations.RunSQL(FORMER, migrations.RunSQL.noop)]
