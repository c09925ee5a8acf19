"""Three things about who may spend what.

Reserving reads the wallet's epoch before anything else. What changes a plan raises the epoch in the same transaction:
a subscription that is read after the epoch is at least as new, so a hold is never taken for younger than its terms.

A period that has just ended and is about to be renewed covers requests until the renewal has come: what is left of its
allowance, for as long as a renewal counts as punctual (`renewal.PUNCTUAL`). The renewal closes those windows.

A suspension raises the epoch, whoever writes it.
"""

from __future__ import annotations

from importlib import import_module

from django.db import migrations

_BEFORE: str = import_module("billing.migrations.0004_reserving").RESERVE.replace("CREATE ", "CREATE OR REPLACE ", 1)

_CHANGES = (
    # --- The epoch first ---
    ("    v_has_budget text := '';\n", "    v_has_budget text := '';\n    v_epoch bigint;\n"),
    (
        "    SELECT o.timezone, o.suspended_at INTO",
        """    SELECT a.epoch INTO v_epoch FROM billing_ledgeraccount a
     WHERE a.organization_id = p_organization AND a.kind = 'wallet' AND a.currency = 'USD';
    v_epoch := COALESCE(v_epoch, 0);
    SELECT o.timezone, o.suspended_at INTO""",
    ),
    ("    epoch := v_wallet.epoch;\n", "    epoch := v_epoch;\n"),
    ("p_source = 'plan' AND v_sub.overflow, v_wallet.epoch, 0", "p_source = 'plan' AND v_sub.overflow, v_epoch, 0"),
    # --- No gap before a renewal ---
    (
        "                        ELSE v_sub.period_end END;\n        IF v_now < v_sub.period_start OR",
        """                        WHEN v_sub.renews AND v_now >= v_sub.period_end
                         AND v_now < v_sub.period_end + interval '5 minutes'
                        THEN v_now + interval '2 seconds'  -- any moment now
                        ELSE v_sub.period_end END;
        IF v_now < v_sub.period_start OR""",
    ),
)


def _changed() -> str:
    function = _BEFORE
    for old, new in _CHANGES:
        if function.count(old) != 1:
            raise ValueError(f"not in the function exactly once: {old}")
        function = function.replace(old, new)
    return function


# One statement may suspend many: their wallets are locked in the order of the whole product.
SUSPENSION = """
CREATE FUNCTION billing_suspended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM billing_ledgeraccount a
      JOIN after ON after.id = a.organization_id JOIN before ON before.id = after.id
     WHERE a.kind = 'wallet' AND after.suspended_at IS NOT NULL AND before.suspended_at IS NULL
     ORDER BY a.id FOR NO KEY UPDATE OF a;
    UPDATE billing_ledgeraccount a SET epoch = a.epoch + 1
      FROM after JOIN before ON before.id = after.id
     WHERE a.organization_id = after.id AND a.kind = 'wallet'
       AND after.suspended_at IS NOT NULL AND before.suspended_at IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER organization_suspended AFTER UPDATE ON accounts_organization
    REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION billing_suspended();
"""
NO_SUSPENSION = """
DROP TRIGGER organization_suspended ON accounts_organization;
DROP FUNCTION billing_suspended();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0009_windows_never_overlap")]

    operations = [
        migrations.RunSQL("SET LOCAL lock_timeout = '3s'", migrations.RunSQL.noop),
        migrations.RunSQL(_changed(), _BEFORE),
        migrations.RunSQL(SUSPENSION, NO_SUSPENSION),
    ]
