"""A breaker in front of a deployment or a credential: closed, open for a while, half-open for one probe at a time.

Pure: times are arguments, in seconds of one clock. One failure opens nothing, unless the credential was refused or told
to come back later.
"""

from __future__ import annotations

from typing import Final, Literal

State = Literal["closed", "open", "half_open"]
Kind = Literal["deployment", "credential"]

HALF_LIFE_S: Final = 15.0  # of what is remembered of successes and failures
PROBE_S: Final = 30.0  # after which a probe that never came back is given up
FORGIVEN_S: Final = 15.0  # so long after it closed, opening begins with the shortest time again
LONGEST_HOLD_S: Final = 600.0  # whatever a Retry-After says

# A deployment's is for a clear outage. Who fails in part is left to the score: it may still be the best to try first,
# and rows of failures happen to it.
IN_A_ROW: Final = 5
LONG_ROW_S: Final = 10.0  # how long that row has to last,
IN_A_DENSE_ROW: Final = 10  # or how long it has to be
IN_A_FIRST_ROW: Final = 3  # where nothing succeeded of late
LEAST_GOOD: Final = 0.5
FIRST_OPEN_S: Final = 1.5  # longer than it takes until all processes have heard of it
LONGEST_OPEN_S: Final = 6.0
PER_LOST_S: Final = 1.0  # a probe that may cost its request much time comes more rarely

# A credential's opens sooner and for longer: there is usually another one.
CREDENTIAL_ROW: Final = 3
CREDENTIAL_ROW_S: Final = 1.0
LEAST_FAILURES: Final = 3.0
FAILING_SHARE: Final = 0.5
CREDENTIAL_OPEN_S: Final = 3.0
CREDENTIAL_LONGEST_S: Final = 10.0
CREDENTIAL_PER_LOST_S: Final = 4.0

# Whose failure it is. What is in neither is the caller's own and counts nowhere.
DEPLOYMENTS: Final = frozenset(
    {"overloaded", "server_error", "connect_failed", "connect_timeout", "first_byte_timeout", "first_token_timeout",
     "stalled", "cut", "malformed", "not_found", "oversized"}
)  # fmt: skip
CREDENTIALS: Final = frozenset({"rate_limited", "credential", "credit"})


class Breaker:
    """State of one deployment or credential."""

    __slots__ = ("_at", "_bad", "_closed", "_good", "_kind", "_probe_until", "_row", "_row_at", "_times", "_until")

    def __init__(self, kind: Kind = "deployment") -> None:
        self._kind = kind
        self._good = 0.0
        self._bad = 0.0
        self._at = 0.0  # when the two counts were true
        self._until = 0.0  # open until then; 0: closed
        self._closed = 0.0
        self._row = 0  # failures since the last success
        self._row_at = 0.0  # when the first of them was
        self._times = 0  # openings since it was last well
        self._probe_until = 0.0

    def state(self, now: float) -> State:
        if not self._until:
            return "closed"
        return "open" if now < self._until else "half_open"

    @property
    def open_until(self) -> float:
        """0 where it is closed."""
        return self._until

    def retry_after_s(self, now: float) -> float:
        """How long until somebody may try again."""
        return max(0.0, self._until - now, self._probe_until - now if self._until else 0.0)

    def take_probe(self, now: float) -> bool:
        """Half-open: whether the one who asks may try. Everybody else waits until the probe is over."""
        if self.state(now) != "half_open" or now < self._probe_until:
            return False
        self._probe_until = now + PROBE_S
        return True

    def give_probe_back(self) -> None:
        """The probe told nothing: its client left, or the request was at fault."""
        self._probe_until = 0.0

    def succeeded(self, now: float) -> bool:
        """Count it. True when this closed the breaker. What succeeds while it is open began before it opened."""
        self._decay(now)
        self._good += 1
        self._row = 0
        if not self._until or now < self._until:
            return False
        self.close(now)
        return True

    def failed(
        self, now: float, *, retry_after_s: float | None = None, lost_s: float = 0.0, at_once: bool = False
    ) -> bool:
        """Count it. True when this opened the breaker, or kept it open for longer. With `at_once`, or when told to
        come back later, one failure is enough. `lost_s` is how long the attempt took."""
        self._decay(now)
        self._bad += 1
        self._row += 1
        if self._row == 1:
            self._row_at = now
        if self._until:
            if now < self._until and retry_after_s is None:
                return False  # began before it opened
            return self._open(now, retry_after_s, lost_s)
        if at_once or retry_after_s is not None or self._is_failing(now):
            return self._open(now, retry_after_s, lost_s)
        return False

    def _is_failing(self, now: float) -> bool:
        lasted_s = now - self._row_at
        if self._kind == "credential":
            if self._row >= IN_A_ROW or (self._row >= CREDENTIAL_ROW and lasted_s >= CREDENTIAL_ROW_S):
                return True
            return self._bad >= LEAST_FAILURES and self._bad >= FAILING_SHARE * (self._good + self._bad)
        if self._row >= IN_A_ROW and lasted_s >= LONG_ROW_S:
            return True
        return self._row >= (IN_A_FIRST_ROW if self._good < LEAST_GOOD else IN_A_DENSE_ROW)

    def open_until_then(self, until: float, now: float) -> None:
        """Another process opened its own. Nothing if ours is open for longer."""
        if until > max(self._until, now):
            self._until = min(until, now + LONGEST_HOLD_S)
            self._probe_until = 0.0
            self._times += 1

    def close(self, now: float) -> None:
        """A probe succeeded, here or in another process."""
        self._until = self._probe_until = self._bad = 0.0
        self._good = 1.0
        self._at = now
        self._row = 0
        self._closed = now

    def _open(self, now: float, retry_after_s: float | None, lost_s: float) -> bool:
        if not self._until and now - self._closed > FORGIVEN_S:
            self._times = 0
        first, longest, per_lost = FIRST_OPEN_S, LONGEST_OPEN_S, PER_LOST_S
        if self._kind == "credential":
            first, longest, per_lost = CREDENTIAL_OPEN_S, CREDENTIAL_LONGEST_S, CREDENTIAL_PER_LOST_S
        own = max(min(first * 2.0 ** min(self._times, 30), longest), min(per_lost * lost_s, LONGEST_HOLD_S))
        wait = own if retry_after_s is None else min(max(retry_after_s, 0.5), LONGEST_HOLD_S)
        self._times += 1
        self._probe_until = 0.0
        later = now + wait
        if later <= self._until:
            return False
        self._until = later
        return True

    def _decay(self, now: float) -> None:
        if now > self._at:
            kept = 0.5 ** ((now - self._at) / HALF_LIFE_S)
            self._good *= kept
            self._bad *= kept
            self._at = now
