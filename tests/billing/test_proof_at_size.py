"""The whole proof over many charges: it finds them in order, finds what is not, and takes seconds.

With MILLION=1 it is a million charges, and the time of each question is printed (`pytest -s`).
"""

from __future__ import annotations

import os
import time

import pytest
from django.conf import settings
from django.db import connection

from billing import proof
from billing.models.usage import ProofRun
from billing.proof_charges import wrong_charges
from tests.billing.many_charges import fill

pytestmark = pytest.mark.django_db
MILLION = os.environ.get("MILLION") == "1"
ROWS = 1_000_000 if MILLION else 20_000
MOST_S = 30.0


@pytest.mark.parametrize(("per_hold", "per_transfer"), [(10, 250), (1, 1)], ids=["in batches", "one by one"])
def test_many_charges_are_proved_in_seconds(per_hold: int, per_transfer: int) -> None:
    began = time.monotonic()
    fill(ROWS, per_hold=per_hold, per_transfer=per_transfer)
    print(f"\n{ROWS:,} charges made in {time.monotonic() - began:.1f} s")
    with connection.cursor() as cur:
        for name, question in proof.INVARIANTS.items():
            began = time.monotonic()
            cur.execute(question.replace(":shards", str(settings.JOURNAL_SHARDS)))
            assert cur.fetchall() == [], name
            print(f"{time.monotonic() - began:6.2f} s  {name}")
        began = time.monotonic()
        assert wrong_charges(cur)[0] == []
        print(f"{time.monotonic() - began:6.2f} s  charges computed again")
    run = proof.run()
    took = (run.finished_at - run.started_at).total_seconds()
    print(f"{took:6.2f} s  in all: {run.figures}")
    assert run.problems == []
    assert (run.figures["usage_records"], run.figures["computed_again"]) == (ROWS, 1_000)
    assert took < MOST_S
    assert ProofRun.objects.count() == 1


def test_one_wrong_row_among_many_is_found() -> None:
    fill(5_000)
    with connection.cursor() as cur:
        cur.execute("ALTER TABLE billing_usagerecord DISABLE TRIGGER ALL")
        cur.execute(
            "UPDATE billing_usagerecord SET charge_nanos = charge_nanos + 1"
            " WHERE id = (SELECT id FROM billing_usagerecord WHERE source = 'wallet' ORDER BY id LIMIT 1 OFFSET 700)"
        )
    assert {line.split(":")[0] for line in proof.check()} == {
        "hold that says it settled something else than its records",
        "usage transfer that is not the sum of its records",
        "usage records that are not debits, plan allowance and what we absorbed",
    }
    with connection.cursor() as cur:
        wrong, looked_at = wrong_charges(cur, sample=5_000)
    assert (len(wrong), looked_at) == (1, 5_000)
