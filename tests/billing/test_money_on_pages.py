"""How amounts look."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from billing.exchange import current_rate, ensure_rate
from billing.templatetags.money import cny, usd, usd_exact, usd_signed
from tests.billing.cast import NOON, USD


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (12_340_000_000, "$12.34"),
        (0, "$0.00"),
        (4_999_999, "$0.00"),
        (5_000_000, "$0.01"),
        (-4_999_999, "$0.00"),
        (-1_500_000_000, "−$1.50"),
        (1_234_567_000_000_000, "$1,234,567.00"),
        (None, "—"),
    ],
)
def test_dollars_have_two_places(nanos: int | None, text: str) -> None:
    assert usd(nanos) == text


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (13_644_000, '<span class="money">$0.01<span class="fine">3644</span></span>'),
        (0, '<span class="money">$0.00<span class="fine">0000</span></span>'),
        (1, '<span class="money">$0.00<span class="fine">0000001</span></span>'),
        (1_234_000_000_120, '<span class="money">$1,234.00<span class="fine">000012</span></span>'),
        (-2_500_000, '<span class="money">−$0.00<span class="fine">2500</span></span>'),
    ],
)
def test_charges_show_every_digit_that_counts(nanos: int, text: str) -> None:
    assert usd_exact(nanos) == text


def test_amounts_that_moved_have_a_sign() -> None:
    assert usd_signed(USD).startswith('<span class="money">+$1.00')
    assert usd_signed(-USD).startswith('<span class="money">−$1.00')
    assert usd_exact(None) == "—"


@pytest.mark.django_db
def test_yuan_are_shown_when_there_is_a_rate() -> None:
    assert cny(USD) == ""
    ensure_rate("CNY", Decimal("7.12"), valid_from=NOON, source="test")
    assert cny(24_180_000_000) == "≈ ¥172.16"
    assert cny(-USD) == "≈ −¥7.12"
    assert cny(None) == ""


@pytest.mark.django_db
def test_a_rate_is_only_added_where_there_is_none() -> None:
    first = ensure_rate("CNY", Decimal("7.12"))
    assert ensure_rate("CNY", Decimal("9")).pk == first.pk
    assert current_rate("CNY") == Decimal("7.12")
    assert (current_rate("USD"), current_rate("EUR")) == (Decimal(1), None)


def test_a_database_that_is_away_leaves_the_yuan_out(monkeypatch: Any) -> None:
    from django.db import OperationalError

    def away(currency: str) -> Decimal:
        raise OperationalError

    monkeypatch.setattr("billing.templatetags.money.current_rate", away)
    assert cny(USD) == ""
