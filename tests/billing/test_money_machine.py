"""Money is never made or lost by one nano, whatever happens in whatever order."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from billing import lot_moves, settlement, usage_insert
from billing.holds import Lease
from tests.billing.money_machine import MoneyMachine

pytestmark = pytest.mark.django_db

SETTINGS = settings(
    max_examples=int(os.environ.get("MONEY_EXAMPLES", "25")),
    stateful_step_count=30,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_books_agree_after_every_step() -> None:
    run_state_machine_as_test(MoneyMachine, settings=SETTINGS)


def _release_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Lease.settle
    monkeypatch.setattr(Lease, "settle", lambda self, charge, count: 2 * once(self, charge, count))


def _call_every_event_new(monkeypatch: pytest.MonkeyPatch) -> None:
    insert = usage_insert.insert
    monkeypatch.setattr(
        usage_insert, "insert", lambda cur, events, ids: insert(cur, events, ids) | {event.id for event in events}
    )


def _leave_the_lots_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lot_moves, "_burn", lambda lots, move: None)


def _let_one_pay_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    split_charges = settlement.split_charges

    def mixed(*args: Any) -> Any:
        split = split_charges(*args)
        debits = [debit for organization in sorted(split.wallet) for debit in split.wallet[organization]]
        for organization in sorted(split.wallet)[1:]:
            del split.wallet[organization]
        if debits:
            split.wallet[min(split.wallet)] = debits
        return split

    monkeypatch.setattr(settlement, "split_charges", mixed)


MISTAKES = [_release_twice, _call_every_event_new, _leave_the_lots_alone, _let_one_pay_for_both]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(monkeypatch: pytest.MonkeyPatch, mistake: Callable[[pytest.MonkeyPatch], None]) -> None:
    mistake(monkeypatch)
    hunting = settings(SETTINGS, max_examples=20, phases=[Phase.generate], derandomize=True)
    with pytest.raises(Exception):  # noqa: B017 - the books, the model or the database itself
        run_state_machine_as_test(MoneyMachine, settings=hunting)
