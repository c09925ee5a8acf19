"""The proof that the books agree with themselves: every invariant of the money tables, asked of the database.

All questions see one moment even while traffic goes on, and each answers with the rows that break the invariant: none
when all is well. They read whole tables, set by set, so that a million records take seconds. A proof that is kept also
computes a sample of recent charges again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from billing.models.usage import ProofRun
from billing.proof_charges import wrong_charges

SHOWN_AT_MOST = 20
KEPT = timedelta(days=90)
log = structlog.get_logger(__name__)

# What is wrong -> the rows that show it, each as one text. `:shards` is how many the journal has.
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
    "wallet whose held amount is not what its holds and ended lots have": """
        SELECT format('%s: held %s, holds %s, ended lots %s', a.id, a.held_nanos, COALESCE(h.total, 0),
                      COALESCE(l.total, 0))
          FROM billing_ledgeraccount a
          LEFT JOIN (SELECT account_id, SUM(remaining_nanos) AS total FROM billing_hold
                      WHERE source <> 'plan' AND remaining_nanos <> 0 GROUP BY account_id) h ON h.account_id = a.id
          LEFT JOIN (SELECT organization_id, SUM(expiry_held_nanos) AS total FROM billing_creditlot
                      GROUP BY organization_id) l ON l.organization_id = a.organization_id AND a.kind = 'wallet'
         WHERE a.held_nanos <> COALESCE(h.total, 0) + COALESCE(l.total, 0)""",
    "window whose held amount is not what its holds have": """
        SELECT format('%s %s: held %s, holds %s', w.id, w.name, w.held_nanos, COALESCE(h.total, 0))
          FROM billing_window w
          LEFT JOIN (SELECT id, SUM(remaining_nanos) AS total
                       FROM (SELECT unnest(window_ids) AS id, remaining_nanos FROM billing_hold
                              WHERE remaining_nanos <> 0) parts GROUP BY id) h ON h.id = w.id
         WHERE w.held_nanos <> COALESCE(h.total, 0)""",
    "window whose spent amount is not the charges on its holds": """
        SELECT format('%s %s: spent %s, charges %s', w.id, w.name, w.spent_nanos, COALESCE(c.total, 0))
          FROM billing_window w
          LEFT JOIN (SELECT held.window_id,
                            SUM(held.charge - CASE WHEN kind = 'plan' THEN held.excess ELSE 0 END) AS total
                       FROM (SELECT unnest(h.window_ids) AS window_id, SUM(u.charge_nanos) AS charge,
                                    SUM(COALESCE(x.wallet_nanos + x.absorbed_nanos, 0)) AS excess
                               FROM billing_hold h JOIN billing_usagerecord u ON u.hold_id = h.id
                               LEFT JOIN billing_usageexcess x ON x.usage_id = u.id
                              WHERE h.window_ids <> '{}' GROUP BY h.id) held
                       JOIN billing_window ON billing_window.id = held.window_id GROUP BY held.window_id) c
            ON c.window_id = w.id
         WHERE w.spent_nanos <> COALESCE(c.total, 0)""",
    "hold that says it settled something else than its records": """
        SELECT format('%s: says %s in %s, records %s in %s', h.id, h.settled_nanos, h.settled_count,
                      COALESCE(u.total, 0), COALESCE(u.count, 0))
          FROM billing_hold h
          LEFT JOIN (SELECT hold_id, SUM(charge_nanos) AS total, COUNT(*) AS count FROM billing_usagerecord
                      GROUP BY hold_id) u ON u.hold_id = h.id
         WHERE h.settled_nanos <> COALESCE(u.total, 0) OR h.settled_count <> COALESCE(u.count, 0)""",
    "hold whose remaining amount does not follow from its state": """
        SELECT format('%s %s: %s', id, state, remaining_nanos) FROM billing_hold
         WHERE remaining_nanos <> CASE state
                 WHEN 'open' THEN GREATEST(0, amount_nanos - settled_nanos)
                 WHEN 'returned' THEN GREATEST(0, LEAST(amount_nanos, returned_nanos) - settled_nanos)
                 ELSE 0 END""",
    "hold left beyond its journal": """
        SELECT format('%s: %s nanos, expired %s', id, remaining_nanos, expires_at) FROM billing_hold
         WHERE state IN ('open', 'returned')
           AND expires_at < (SELECT LEAST(now(), min(settled_to)) FROM billing_journalshard WHERE shard < :shards
                             HAVING count(settled_to) = :shards) - interval '15 minutes'""",
    "lots that are not the wallet": """
        SELECT format('%s: posted %s, lots %s', a.organization_id, a.posted_nanos, COALESCE(l.total, 0))
          FROM billing_ledgeraccount a
          LEFT JOIN (SELECT organization_id, SUM(remaining_nanos) AS total FROM billing_creditlot
                      GROUP BY organization_id) l ON l.organization_id = a.organization_id
         WHERE a.kind = 'wallet' AND GREATEST(0, a.posted_nanos) <> COALESCE(l.total, 0)""",
    "lot that holds more for its end than is in it": """
        SELECT id::text FROM billing_creditlot WHERE expiry_held_nanos > remaining_nanos OR expiry_held_nanos < 0""",
    "usage transfer that is not the sum of its records": """
        SELECT format('%s: debit %s, records %s', t.id, -e.amount_nanos, COALESCE(u.total, 0) + COALESCE(x.total, 0))
          FROM billing_transfer t
          JOIN billing_entry e ON e.transfer_id = t.id AND e.amount_nanos < 0
          JOIN billing_ledgeraccount a ON a.id = e.account_id
          LEFT JOIN (SELECT transfer_id, SUM(charge_nanos) AS total FROM billing_usagerecord
                      WHERE transfer_id IS NOT NULL GROUP BY transfer_id) u ON u.transfer_id = t.id
          LEFT JOIN (SELECT transfer_id, kind, SUM(nanos) AS total
                       FROM billing_usageexcess,
                            LATERAL (VALUES ('wallet', wallet_nanos), ('absorbed', absorbed_nanos)) part(kind, nanos)
                      GROUP BY transfer_id, kind) x ON x.transfer_id = t.id AND x.kind = a.kind
         WHERE t.kind = 'usage' AND -e.amount_nanos <> COALESCE(u.total, 0) + COALESCE(x.total, 0)""",
    "usage records that are not debits, plan allowance and what we absorbed": """
        SELECT format('charges %s, wallets %s, absorbed %s, plans %s', charges, wallets, absorbed, plans)
          FROM (SELECT (SELECT COALESCE(SUM(charge_nanos), 0) FROM billing_usagerecord) AS charges,
                       (SELECT COALESCE(SUM(charge_nanos), 0) FROM billing_usagerecord WHERE transfer_id IS NULL)
                         - (SELECT COALESCE(SUM(wallet_nanos + absorbed_nanos), 0) FROM billing_usageexcess) AS plans,
                       COALESCE(-SUM(e.amount_nanos) FILTER (WHERE a.kind = 'wallet'), 0) AS wallets,
                       COALESCE(-SUM(e.amount_nanos) FILTER (WHERE a.kind = 'absorbed'), 0) AS absorbed
                  FROM billing_entry e JOIN billing_transfer t ON t.id = e.transfer_id AND t.kind = 'usage'
                  JOIN billing_ledgeraccount a ON a.id = e.account_id) sums
         WHERE charges <> wallets + absorbed + plans""",
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


@dataclass(slots=True)
class Figures:
    """How much the proof covered. Amounts in nano-USD."""

    transfers: int
    entries: int
    usage_records: int
    charged_nanos: int
    posted_nanos: int
    held_nanos: int
    open_holds: int
    computed_again: int = 0  # usage records whose charge was computed again


def check() -> list[str]:
    """Violations of the invariants, a line each; empty when the books agree."""
    with _one_moment(), connection.cursor() as cur:
        return _violations(cur)


def run() -> ProofRun:
    """Check everything, compute a sample of recent charges again, keep the result and tell of problems."""
    started = timezone.now()
    with _one_moment(), connection.cursor() as cur:
        problems, found = _violations(cur), _figures(cur)
        wrong, found.computed_again = wrong_charges(cur)
        problems += _shown("charge that its usage and rates do not give", wrong)
    if problems:
        log.error("ledger_proof_failed", problems=len(problems))
    ProofRun.objects.filter(started_at__lt=started - KEPT).delete()
    return ProofRun.objects.create(
        started_at=started, finished_at=timezone.now(), problems=problems, figures=asdict(found)
    )


@contextmanager
def _one_moment() -> Iterator[None]:
    """All questions see the same moment, whatever traffic does. Inside a transaction that has begun: its own."""
    if connection.in_atomic_block:
        yield
        return
    with transaction.atomic(), connection.cursor() as cur:
        cur.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def _violations(cur: Any) -> list[str]:
    lines: list[str] = []
    for name, question in INVARIANTS.items():
        cur.execute(question.replace(":shards", str(settings.JOURNAL_SHARDS)))
        lines += _shown(name, [row[0] for row in cur.fetchall()])
    return lines


def _shown(name: str, found: Sequence[str]) -> list[str]:
    """A line for each of the first, and one that counts the others."""
    lines = [f"{name}: {text}" for text in found[:SHOWN_AT_MOST]]
    return [*lines, f"{name}: {len(found) - SHOWN_AT_MOST} more"] if len(found) > SHOWN_AT_MOST else lines


def _figures(cur: Any) -> Figures:
    cur.execute(_FIGURES)
    return Figures(*(int(value) for value in cur.fetchone()))
