"""Exchange rates: dated, added and never changed, because charges were made with them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from django.utils import timezone

from billing.models.rates import ExchangeRate

# Before any charge: the first rate of a currency applies to everything that was priced without one.
_BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def ensure_rate(
    currency: str, units_per_usd: Decimal, *, valid_from: datetime | None = None, source: str = ""
) -> ExchangeRate:
    """The rate of `currency` that holds now; made from `units_per_usd` only if the currency has none at all."""
    known = _current(currency)
    if known is not None:
        return known
    made, _ = ExchangeRate.objects.get_or_create(
        currency=currency,
        valid_from=valid_from or _BEGINNING,
        defaults={"units_per_usd": units_per_usd, "source": source},
    )
    return made


def current_rate(currency: str) -> Decimal | None:
    """Units of `currency` for one US dollar now; None if staff have set none."""
    if currency == "USD":
        return Decimal(1)
    known = _current(currency)
    return None if known is None else known.units_per_usd


def _current(currency: str) -> ExchangeRate | None:
    rates = ExchangeRate.objects.filter(currency=currency, valid_from__lte=timezone.now())
    return rates.order_by("-valid_from").first()
