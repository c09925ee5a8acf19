"""What can go wrong between us and a provider before anybody looks at what the answer says."""

from __future__ import annotations

from typing import Literal

FailureClass = Literal["connect_failed", "connect_timeout", "first_byte_timeout", "stalled", "cut"]


class TransportFailure(Exception):
    """No answer, or an answer that broke off. Holds the class alone: the cause may name addresses.

    `connect_failed`: nothing was sent (also for a URL or header that cannot be sent). `connect_timeout`: nothing was
    sent in time, waiting for a free connection included. `first_byte_timeout`: no status and headers in time.
    `stalled`: the body paused for too long. `cut`: the answer ended early, or is no HTTP.
    """

    def __init__(self, failure: FailureClass) -> None:
        super().__init__(failure)
        self.failure: FailureClass = failure


class Oversized(Exception):
    """The body is longer than its reader allows."""
