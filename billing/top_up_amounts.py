"""What can be topped up: a few amounts to choose from, or any whole number of dollars up to the most."""

from __future__ import annotations

from billing.pricing.money import NANOS_PER_USD

OFFERED_USD = (5, 20, 50, 100)
MOST_USD = 5_000


def smallest_covering(missing_nanos: int) -> int | None:
    """The smallest top-up with at least so much, in nano-USD: an offered one if possible. None beyond the most."""
    dollars = -(-missing_nanos // NANOS_PER_USD)
    if dollars > MOST_USD:
        return None
    return next((offered for offered in OFFERED_USD if offered >= dollars), dollars) * NANOS_PER_USD
