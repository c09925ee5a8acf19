"""What one gateway process shares between its requests."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.caller import CallerDirectory
from gateway.choose import Choices
from gateway.config import GatewayConfig
from gateway.funding import Funding
from gateway.health import Health
from gateway.idempotency import Idempotency
from gateway.journal import Journal
from gateway.limits import Limiter
from gateway.retries import Retries
from gateway.slices import Slices
from gateway.upstream.client import UpstreamClient
from observability.lookups import Lookups
from routing.catalogue import CatalogueSnapshots


@dataclass(frozen=True, slots=True)
class Services:
    config: GatewayConfig
    callers: CallerDirectory
    limiter: Limiter
    catalogue: CatalogueSnapshots
    choices: Choices
    slices: Slices
    funding: Funding
    journal: Journal
    upstream: UpstreamClient
    health: Health
    lookups: Lookups
    idempotency: Idempotency
    retries: Retries
