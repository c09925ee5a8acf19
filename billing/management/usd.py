"""Amounts of money as operators type them."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from django.core.management.base import CommandError

from billing.pricing.money import usd_to_nanos

MOST_USD = 1_000_000_000


def nanos_of(text: str) -> int:
    """`12.34` (USD) as nano-USD, exactly. Raises CommandError for what is no amount, negative or finer than a nano."""
    try:
        usd = Decimal(text.strip())
    except InvalidOperation as error:
        raise CommandError(f"{text!r} is no amount in USD; write it like 12.34.") from error
    if not usd.is_finite() or usd < 0 or usd > MOST_USD:
        raise CommandError(f"The amount must lie between 0 and {MOST_USD:,} USD.")
    try:
        return usd_to_nanos(usd)
    except ValueError as error:
        raise CommandError("The amount has more than nine decimal places.") from error
