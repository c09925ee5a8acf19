"""How a deployment is doing, as far as a process knows: what a score and the trace see of live health."""

from __future__ import annotations

from typing import NamedTuple


class Vitals(NamedTuple):
    """Estimates that already contain the prior. Seconds, output tokens per second, shares of 0 to 1.

    `samples` is the decayed number of attempts behind the error rate, `timed` of those behind the times, `seen` of all
    in the last hours.
    `breaker`: closed, open or half_open. `spread` is the standard deviation of the logarithm of the first-token time.
    `lost_s` is how long a failed attempt keeps a request.
    """

    first_token_s: float
    tokens_per_s: float
    error_rate: float
    samples: float = 0.0
    timed: float = 0.0
    spread: float = 0.5
    breaker: str = "closed"
    seen: float = 0.0
    lost_s: float = 2.0


UNKNOWN = Vitals(first_token_s=1.2, tokens_per_s=60.0, error_rate=0.02)
