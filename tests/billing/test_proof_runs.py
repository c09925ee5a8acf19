"""What a proof keeps, and the charges that it computes again."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from billing import proof, tasks
from billing.models.holds import Hold, JournalShard
from billing.models.usage import ProofRun
from billing.proof_charges import wrong_charges
from billing.settlement import settle
from tests.billing.cast import USD, an_event

pytestmark = pytest.mark.django_db
FAIR = 10 * 2_000 + 5 * 10_000  # what the usage of `an_event` costs at its rates, in nano-USD


def charged(organization: Any, *nanos: int, **values: Any) -> None:
    with connection.cursor() as cur:
        settle(cur, [an_event(organization.pk, charge_nanos=one, **values) for one in nanos])


def wrong(**limits: int) -> list[str]:
    with connection.cursor() as cur:
        return wrong_charges(cur, **limits)[0]


def test_the_command_keeps_its_result_as_the_job_does(alice_organization: Any, grant: Any, capsys: Any) -> None:
    grant(alice_organization, USD)
    charged(alice_organization, FAIR)
    call_command("prove_ledger")
    assert tasks.prove_ledger() == 0
    by_command, by_job = ProofRun.objects.order_by("pk")
    assert by_command.problems == by_job.problems == []
    assert by_command.figures == by_job.figures
    assert by_command.figures["charged_nanos"] == FAIR
    assert by_command.figures["computed_again"] == 1
    assert "70,000" in capsys.readouterr().out


def test_a_failed_proof_is_kept_too(alice_organization: Any, grant: Any, capsys: Any) -> None:
    grant(alice_organization, USD)
    charged(alice_organization, FAIR, FAIR + 1)
    with pytest.raises(CommandError, match="1 violations"):
        call_command("prove_ledger")
    (line,) = ProofRun.objects.get().problems
    assert line in capsys.readouterr().err


def test_a_charge_that_its_rates_do_not_give_is_shown_line_by_line(alice_organization: Any) -> None:
    charged(alice_organization, FAIR - 1)
    (line,) = wrong()
    assert line.endswith("charged 69999, computed 70000 = input 10 at 2: 20000 + output 5 at 10: 50000")


@pytest.mark.parametrize(
    ("policy", "nanos", "is_wrong"),
    [("failed_free", 0, False), ("failed_free", 1, True), ("answered", 0, True), ("answered", FAIR, False)],
)
def test_only_what_a_rule_waives_may_cost_nothing(
    alice_organization: Any, policy: str, nanos: int, is_wrong: bool
) -> None:
    charged(alice_organization, nanos, policy=policy)
    assert bool(wrong()) is is_wrong


def test_markup_and_exchange_rate_are_part_of_the_sum(alice_organization: Any) -> None:
    charged(alice_organization, FAIR * 3 // 2, markup="1.5")
    charged(alice_organization, FAIR // 7, units_per_usd="7", rate_currency="CNY")
    assert wrong() == []
    charged(alice_organization, FAIR, units_per_usd="7", rate_currency="CNY")
    assert len(wrong()) == 1


@pytest.mark.parametrize("spoilt", [{"usage": {"no_such_bucket": 1}}, {"rates": '{"input": "x"}'}, {"markup": ""}])
def test_what_cannot_be_computed_is_a_problem_of_its_own(alice_organization: Any, spoilt: dict[str, Any]) -> None:
    charged(alice_organization, FAIR, **spoilt)
    (line,) = wrong()
    assert "cannot be computed" in line


def test_a_sample_is_taken_from_the_newest(alice_organization: Any) -> None:
    for number in range(6):
        id_ = f"0190000{number}-0000-7000-8000-000000000000"
        charged(alice_organization, FAIR + (number == 1), id=id_)
    assert wrong(recent=4) == []
    assert len(wrong(recent=5)) == 1
    with connection.cursor() as cur:
        assert wrong_charges(cur, sample=3)[1] == 3


def test_a_hold_is_only_missed_once_every_shard_of_now_is_settled_beyond_it(
    alice_organization: Any, grant: Any, settings: Any
) -> None:
    settings.JOURNAL_SHARDS = 2
    grant(alice_organization, USD)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT scope FROM billing_reserve(gen_random_uuid(), %s, 0, 0, 'wallet', 1, 1, 0, 60, true)",
            [alice_organization.pk],
        )
        assert cur.fetchone() == (None,)
        cur.execute("UPDATE billing_hold SET expires_at = now() - interval '1 hour'")
        cur.execute(
            "INSERT INTO billing_journalshard (shard, epoch, last_ms, last_seq, settled_to) VALUES"
            " (0, '', 0, 0, now()), (1, '', 0, 0, NULL), (2, '', 0, 0, now() - interval '1 year')"
        )
    assert Hold.objects.count() == 1
    assert proof.check() == []
    JournalShard.objects.filter(shard=1).update(settled_to=Hold.objects.get().created_at)
    assert [line.split(":")[0] for line in proof.check()] == ["hold left beyond its journal"]
