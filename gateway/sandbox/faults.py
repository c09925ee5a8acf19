"""Which scripted fault is next for a request that may be sent again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from gateway.sandbox.script import Fault


class FaultCounter:
    """Counts by a hash of the request, so that a client's retries go through `fail=500x2` and then succeed.

    After a success the count begins again. Bounded; the oldest request is forgotten first.
    """

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._seen: OrderedDict[str, int] = OrderedDict()

    def next(self, seed: str, faults: Sequence[Fault]) -> Fault | None:
        """The fault for this sending of the request, or None where it succeeds."""
        sent = self._seen.pop(seed, 0)
        passed = 0
        for fault in faults:
            passed += fault.times if fault.times is not None else sent + 1
            if sent < passed:
                self._remember(seed, sent + 1)
                return fault
        return None

    def _remember(self, seed: str, sent: int) -> None:
        self._seen[seed] = sent
        while len(self._seen) > self._size:
            self._seen.popitem(last=False)
