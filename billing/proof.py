"""The proof that the books agree with themselves: every invariant of the money tables, asked of the database.

Each question is one statement, so it sees one moment even while traffic goes on, and answers with the rows that break
the invariant: none when all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db import connection

SHOWN_AT_MOST = 20

# What is wrong -> the rows that show it, each as one text.
INVARIANTS: Mapping[str, str] = {
    "transfer whose entries do not sum to zero": """
        SELECT format('%s %s: %s', transfer_id, currency, SUM(amount_nanos)) FROM billing_entry
         GROUP BY transfer_id, currency HAVING SUM(amount_nanos) <> 0""",
    "transfer without entries": """
        SELECT t.id::text FROM billing_transfer t
         WHERE NOT EXISTS (SELECT 1 FROM billing_entry e WHERE e.transfer_id = t.id)""",
    "entry in another currency than its account": """
        SELECT e.id::text FROM billing_entry e JOIN billing_ledgeraccount a ON a.id = e.account_id
         WHERE e.currency <> a.currency""",
    "account whose posted amount is not the sum of its entries": """
        SELECT format('%s: posted %s, entries %s', a.id, a.posted_nanos, COALESCE(e.total, 0))
          FROM billing_ledgeraccount a
          LEFT JOIN (SELECT account_id, SUM(amount_nanos) AS total FROM billing_entry GROUP BY account_id) e
            ON e.account_id = a.id
         WHERE a.posted_nanos <> COALESCE(e.total, 0)""",
    "entry whose running balance is not the sum so far": """
        SELECT format('%s: says %s, is %s', id, balance_after_nanos, so_far)
          FROM (SELECT id, balance_after_nanos,
                       SUM(amount_nanos) OVER (PARTITION BY account_id ORDER BY id) AS so_far FROM billing_entry) e
         WHERE balance_after_nanos <> so_far""",
    "account whose held amount is not what its open holds have": """
        SELECT format('%s: held %s, holds %s', a.id, a.held_nanos, COALESCE(h.total, 0))
          FROM billing_ledgeraccount a
          LEFT JOIN (SELECT account_id, SUM(remaining_nanos) AS total FROM billing_hold WHERE state = 'open'
                      GROUP BY account_id) h ON h.account_id = a.id
         WHERE a.held_nanos <> COALESCE(h.total, 0)""",
    "closed hold that still has something": """
        SELECT id::text FROM billing_hold WHERE state <> 'open' AND remaining_nanos <> 0""",
    "usage records and wallet debits that differ in sum": """
        SELECT format('%s %s: charges %s, debits %s', organization_id, currency, charges, debits)
          FROM (SELECT organization_id, currency, SUM(charge) AS charges, SUM(debit) AS debits
                  FROM (SELECT organization_id, currency, charge_nanos AS charge, 0 AS debit FROM billing_usagerecord
                        UNION ALL
                        SELECT a.organization_id, e.currency, 0, -e.amount_nanos
                          FROM billing_entry e JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind = 'usage'
                          JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet') both_sides
                 GROUP BY organization_id, currency) sums
         WHERE charges <> debits""",
    "usage record whose charge is not its transfer's debit": """
        SELECT u.id::text FROM billing_usagerecord u
          LEFT JOIN (SELECT e.transfer_id, a.organization_id, e.currency, SUM(e.amount_nanos) AS amount
                       FROM billing_entry e JOIN billing_ledgeraccount a ON a.id = e.account_id AND a.kind = 'wallet'
                      GROUP BY e.transfer_id, a.organization_id, e.currency) d
            ON d.transfer_id = u.transfer_id AND d.organization_id = u.organization_id AND d.currency = u.currency
         WHERE (u.transfer_id IS NULL) <> (u.charge_nanos = 0) OR COALESCE(-d.amount, 0) <> u.charge_nanos""",
    "usage transfer that does not belong to exactly one usage record": """
        SELECT t.id::text FROM billing_transfer t LEFT JOIN billing_usagerecord u ON u.transfer_id = t.id
         WHERE t.kind = 'usage' GROUP BY t.id HAVING COUNT(u.id) <> 1""",
    "request part that was charged twice": """
        SELECT format('%s/%s', request_id, part) FROM billing_usagerecord
         GROUP BY request_id, part HAVING COUNT(*) > 1""",
    "event that could not be settled": "SELECT format('%s: %s', id, error_class) FROM billing_unsettledevent",
}

_FIGURES = """
SELECT (SELECT COUNT(*) FROM billing_transfer), (SELECT COUNT(*) FROM billing_entry),
       (SELECT COUNT(*) FROM billing_usagerecord), (SELECT COALESCE(SUM(charge_nanos), 0) FROM billing_usagerecord),
       (SELECT COALESCE(SUM(posted_nanos), 0) FROM billing_ledgeraccount WHERE kind = 'wallet'),
       (SELECT COALESCE(SUM(held_nanos), 0) FROM billing_ledgeraccount WHERE kind = 'wallet'),
       (SELECT COUNT(*) FROM billing_hold WHERE state = 'open')
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """How much the proof covered. Amounts in nano-USD."""

    transfers: int
    entries: int
    usage_records: int
    charged_nanos: int
    posted_nanos: int
    held_nanos: int
    open_holds: int


def check() -> list[str]:
    """Violations of the invariants, a line each; empty when the books agree."""
    lines: list[str] = []
    with connection.cursor() as cur:
        for name, question in INVARIANTS.items():
            cur.execute(question)
            rows = cur.fetchall()
            lines += [f"{name}: {row[0]}" for row in rows[:SHOWN_AT_MOST]]
            if len(rows) > SHOWN_AT_MOST:
                lines.append(f"{name}: {len(rows) - SHOWN_AT_MOST} more")
    return lines


def figures() -> Figures:
    """What the tables hold, to be printed beside the result."""
    with connection.cursor() as cur:
        cur.execute(_FIGURES)
        row = cur.fetchone()
    return Figures(*(int(value) for value in row))
