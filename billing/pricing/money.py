"""The unit of money and its one rounding rule.

Everything that computes uses whole nano-USD (1e-9 US dollars); a single token can cost less than a millionth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal, localcontext

NANOS_PER_USD = 1_000_000_000

# Decimal's default of 28 digits is too few for a batch of tokens times a rate divided by an exchange rate.
_DIGITS = 60


@contextmanager
def exact() -> Iterator[None]:
    """Decimal arithmetic inside is wide enough that only the final rounding loses anything."""
    with localcontext() as context:
        context.prec = _DIGITS
        yield


def round_nanos(amount: Decimal) -> int:
    """The rounding of a charge: half up, to a whole nano, once per charge."""
    return int(amount.to_integral_value(rounding=ROUND_HALF_UP))


def round_up_nanos(amount: Decimal) -> int:
    """The rounding of a hold: it must cover the charge."""
    return int(amount.to_integral_value(rounding=ROUND_CEILING))


def usd_to_nanos(usd: Decimal) -> int:
    """US dollars as nanos; raises ValueError when the amount is finer than a nano or not a number."""
    if not usd.is_finite():
        raise ValueError("an amount of money must be finite")
    with exact():
        nanos = usd * NANOS_PER_USD
        if nanos != nanos.to_integral_value():
            raise ValueError("an amount of money cannot be finer than a nano-dollar")
    return int(nanos)
