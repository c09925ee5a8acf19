"""Fills the books with many charges that agree, past the code that would write them one batch at a time.

Of the records n = 0, 1, … neighbours share a hold and a transfer, every 1,000 belong to one organization. A plan pays
for every tenth hold, and one in a hundred of its charges goes beyond it.
"""

from __future__ import annotations

from django.db import connection

ORGANIZATIONS = 50
GRANTED = 10**15

# The table that the others are made of; ids keep the order of n.
_MADE = """
CREATE TEMPORARY TABLE made AS
SELECT n, hold, organization, is_plan, charge, CASE WHEN is_plan AND n % 100 = 7 THEN charge / 2 ELSE 0 END AS excess,
       ('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid AS id,
       ('01900000-0000-7000-9000-' || lpad(to_hex(hold), 12, '0'))::uuid AS hold_id,
       ('01900000-0000-4000-8000-' || lpad(to_hex(transfer), 12, '0'))::uuid AS transfer_id
  FROM (SELECT n, n / {per_hold} AS hold, n / {per_transfer} AS transfer,
               1 + n / 1000 % {organizations} AS organization, n / {per_hold} % 10 = 0 AS is_plan,
               (2000 * (n % 1000) + 10000 * (n % 300)) AS charge
          FROM generate_series(0, {rows} - 1) AS n) numbered;
ANALYZE made;
"""
_ACCOUNTS = """
INSERT INTO accounts_organization (id, name, timezone, created_at)
SELECT n, 'Organization ' || n, 'UTC', now() FROM generate_series(1, {organizations}) n;
INSERT INTO billing_ledgeraccount (id, kind, organization_id, currency, posted_nanos, held_nanos, created_at)
SELECT 1000000 + n, 'wallet', n, 'USD', 0, 0, now() FROM generate_series(1, {organizations}) n;
INSERT INTO billing_subscription (id, organization_id, plan_id, terms, state, period_start, period_end, renews,
                                  overflow, created_at)
SELECT n, n, (SELECT min(id) FROM billing_plan), '{{}}', 'ended', now(), now(), false, true, now()
  FROM generate_series(1, {organizations}) n;
"""
_WINDOWS = """
INSERT INTO billing_window (id, organization_id, kind, subscription_id, name, limit_nanos, spent_nanos, held_nanos,
                            opens_at, closes_at)
SELECT organization * 3 + number, organization, 'plan', organization, name, 0, spent, 0, now(), now()
  FROM (SELECT organization, SUM(charge - excess)::bigint AS spent FROM made WHERE is_plan GROUP BY 1) used,
       (VALUES (0, 'five_hours'), (1, 'seven_days'), (2, 'period')) w(number, name);
INSERT INTO billing_hold (id, account_id, organization_id, source, window_ids, settled_nanos, settled_count,
                          returned_nanos, returned_count, amount_nanos, remaining_nanos, currency, state, created_at,
                          expires_at)
SELECT hold_id, 1000000 + organization, organization, CASE WHEN is_plan THEN 'plan' ELSE 'wallet' END,
       CASE WHEN is_plan THEN ARRAY[organization * 3, organization * 3 + 1, organization * 3 + 2] ELSE '{{}}' END,
       SUM(charge), count(*), SUM(charge), count(*), SUM(charge), 0, 'USD', 'done', now(), now()
  FROM made GROUP BY hold_id, organization, is_plan;
"""
_TRANSFERS = """
INSERT INTO billing_transfer (id, kind, idempotency_key, organization_id, reason, created_at)
SELECT transfer_id, 'usage', 'usage:' || transfer_id, min(organization), '', now() FROM made GROUP BY 1
HAVING SUM(CASE WHEN is_plan THEN excess ELSE charge END) > 0
UNION ALL
SELECT ('01900000-0000-4000-7000-' || lpad(to_hex(n), 12, '0'))::uuid, 'grant', 'grant:' || n, n, 'x', now()
  FROM generate_series(1, {organizations}) n;
INSERT INTO billing_entry (transfer_id, account_id, amount_nanos, balance_after_nanos, currency, created_at)
SELECT transfer_id, account, amount, SUM(amount) OVER (PARTITION BY account ORDER BY transfer_id), 'USD', now()
  FROM (SELECT transfer_id, organization, SUM(CASE WHEN is_plan THEN excess ELSE charge END)::bigint AS total
          FROM made GROUP BY 1, 2 HAVING SUM(CASE WHEN is_plan THEN excess ELSE charge END) > 0
         UNION ALL
        SELECT id, organization_id, -{granted} FROM billing_transfer WHERE kind = 'grant') moved,
       LATERAL (VALUES (1000000 + organization, -total),
                       ((SELECT id FROM billing_ledgeraccount
                          WHERE kind = CASE WHEN total > 0 THEN 'revenue' ELSE 'grants' END), total)
                       ) leg(account, amount)
 ORDER BY transfer_id;
UPDATE billing_ledgeraccount a SET posted_nanos = e.total
  FROM (SELECT account_id, SUM(amount_nanos) AS total FROM billing_entry GROUP BY 1) e WHERE e.account_id = a.id;
INSERT INTO billing_creditlot (organization_id, kind, amount_nanos, remaining_nanos, transfer_id, created_at,
                               expiry_held_nanos)
SELECT a.organization_id, 'granted', {granted}, a.posted_nanos, t.id, now(), 0
  FROM billing_ledgeraccount a JOIN billing_transfer t ON t.organization_id = a.organization_id AND t.kind = 'grant'
 WHERE a.kind = 'wallet';
"""
_RECORDS = """
INSERT INTO billing_usagerecord (id, request_id, part, organization_id, project_id, api_key_id, model, provider, usage,
       usage_source, usage_flags, policy, price_card_id, rates, rate_currency, units_per_usd, markup, charge_nanos,
       currency, source, hold_id, transfer_id, occurred_at, settled_at)
SELECT id, id, 0, organization, organization, n % 90, 'maker/model-' || n % 30, 'provider-' || n % 7,
       jsonb_build_object('input', n % 1000, 'output', n % 300, 'request', 1), 'reported', '[]', 'answered', 7,
       '{{"input": "2", "output": "10", "cache_read": "0.2"}}', 'USD', '1', '1', charge, 'USD',
       CASE WHEN is_plan THEN 'plan' ELSE 'wallet' END, hold_id,
       CASE WHEN charge > 0 AND NOT is_plan THEN transfer_id END, now(), now()
  FROM made ORDER BY n;
INSERT INTO billing_usageexcess (usage_id, wallet_nanos, absorbed_nanos, transfer_id)
SELECT id, excess, 0, transfer_id FROM made WHERE excess > 0;
"""
_TABLES = "billing_usagerecord, billing_usageexcess, billing_hold, billing_entry, billing_transfer, billing_window"


def fill(rows: int, *, per_hold: int = 10, per_transfer: int = 250) -> None:
    """`rows` charges in books that agree. The database must be empty but for what the migrations put there."""
    values = {"rows": rows, "organizations": ORGANIZATIONS, "granted": GRANTED}
    values |= {"per_hold": per_hold, "per_transfer": per_transfer}
    with connection.cursor() as cur:
        # Else every row would be looked at again; what they guard is what the proof is about to check.
        cur.execute("ALTER TABLE billing_entry DISABLE TRIGGER ALL; ALTER TABLE billing_transfer DISABLE TRIGGER ALL")
        for part in (_MADE, _ACCOUNTS, _WINDOWS, _TRANSFERS, _RECORDS):
            cur.execute(part.format(**values))
        cur.execute(f"DROP TABLE made; ANALYZE {_TABLES}")
