"""Usage records and holds lose the indexes that no page needs; lots are made for the credit that is there."""

from __future__ import annotations

import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid
from django.db import migrations, models
from django.db.models import F, Q

OPEN = Q(("state__in", ["open", "returned"]))

# What is left of a wallet is the newest of what came in.
LOTS = """
INSERT INTO billing_creditlot (organization_id, kind, amount_nanos, remaining_nanos, transfer_id, created_at,
                               expiry_held_nanos)
SELECT organization_id, CASE WHEN kind IN ('grant', 'adjustment') THEN 'granted' ELSE 'bought' END, amount_nanos,
       LEAST(amount_nanos, posted_nanos - newer), transfer_id, created_at, 0
  FROM (SELECT a.organization_id, a.posted_nanos, t.kind, t.created_at, e.transfer_id, e.amount_nanos,
               SUM(e.amount_nanos) OVER (PARTITION BY a.id ORDER BY e.id DESC) - e.amount_nanos AS newer
          FROM billing_ledgeraccount a JOIN billing_entry e ON e.account_id = a.id AND e.amount_nanos > 0
          JOIN billing_transfer t ON t.id = e.transfer_id
         WHERE a.kind = 'wallet' AND a.currency = 'USD' AND a.posted_nanos > 0) credits
 WHERE newer < posted_nanos
    ON CONFLICT DO NOTHING;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0004_reserving")]

    operations = [
        migrations.RemoveConstraint(model_name="usagerecord", name="charged_once_per_part"),
        migrations.RemoveIndex(model_name="usagerecord", name="usage_by_transfer"),
        migrations.AlterField(
            model_name="hold",
            name="account",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="holds",
                to="billing.ledgeraccount",
            ),
        ),
        migrations.AddIndex(
            model_name="hold", index=models.Index(fields=["account"], name="open_holds_by_account", condition=OPEN)
        ),
        migrations.AddIndex(
            model_name="usagerecord",
            index=models.Index(fields=["request_id"], name="further_parts", condition=~Q(id=F("request_id"))),
        ),
        AddConstraintNotValid(
            model_name="usagerecord",
            constraint=models.CheckConstraint(
                condition=Q(part__gt=0) | Q(id=F("request_id")), name="first_part_is_the_request"
            ),
        ),
        migrations.RunSQL("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED", migrations.RunSQL.noop),
        migrations.RunSQL(LOTS, migrations.RunSQL.noop),
    ]
