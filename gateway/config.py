"""The gateway's own settings, read once from Django's settings at start-up."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.ip_limits import Networks


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Times are seconds, sizes bytes."""

    public_url: str
    max_body_bytes: int
    max_request_s: float
    default_requests_per_minute: int
    trusted_proxies: Networks = ()
    processes: int = 1  # gateway processes that share a limit while Redis is away
    connect_timeout_s: float = 10.0
    first_byte_timeout_s: float = 120.0
    stall_timeout_s: float = 90.0
    keep_alive_s: float = 10.0
    read_on_s: float = 60.0  # how long an upstream is read for its usage report after the client left
    credit_wait_s: float = 2.0  # how long running requests may free credit before a 402
    assumed_output_tokens: int = 4096  # held for a request that sets no limit
    floor_output_tokens: int = 1024  # scarce credit lowers the output limit down to here, not further
    hold_margin_s: float = 60.0  # a lease of credit outlives the longest request by this
    slice_lease_s: float = 60.0
    journal_stalled_s: float = 15.0  # events that nobody settles for so long are settled by the gateway
    journal_bound: int = 50_000  # events that are not settled yet, before admission stops
