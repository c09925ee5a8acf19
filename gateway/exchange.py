"""One request from its arrival to its end: the facts that the steps of the walk hand on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from accounts.caller import Caller
from billing.pricing.usage import TokenUsage
from gateway.limits import RateDecision
from gateway.protocol.conversation import Conversation
from gateway.protocol.reply import UsageReport
from observability.records import AttemptRecord
from routing.catalogue import Catalogue, DeploymentInfo
from routing.planner import RoutePlan


@dataclass(slots=True)
class Delivery:
    """What has reached the client, and what the provider said about it."""

    usage: UsageReport | None = None
    service_tier: str = ""
    finish_reason: str = ""
    text_tokens: float = 0.0  # estimated from the text passed on; used only where no usage was reported
    began: bool = False  # a provider has been sent the request and has not failed it
    content: bool = False  # at least one content event went out
    complete: bool = False  # the provider finished its answer


@dataclass(slots=True)
class Exchange:
    """Filled in step by step by `gateway.serve`; read at the end by `gateway.settlement`."""

    endpoint: str
    id: UUID = field(default_factory=uuid7)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=time.perf_counter)
    upstream_s: float = 0.0  # time spent waiting for providers
    caller: Caller | None = None
    rate: RateDecision | None = None
    catalogue: Catalogue | None = None
    conversation: Conversation | None = None
    plan: RoutePlan | None = None
    prompt_tokens: int = 0  # upper estimate
    held_nanos: int | None = None
    output_cap: int | None = None  # set where scarce credit lowered the output limit
    attempts: list[AttemptRecord] = field(default_factory=list)
    deployment: DeploymentInfo | None = None
    delivery: Delivery = field(default_factory=Delivery)
    first_token_s: float | None = None
    dropped: tuple[str, ...] = ()
    strict: bool = False  # a translation that loses something is refused
    status: int = 0
    error_code: str = ""
    client_left: bool = False
    charge_nanos: int = 0
    finished: bool = False

    @property
    def request_id(self) -> str:
        """The id that the caller sees, on every answer."""
        return f"gen-{self.id.hex}"

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def overhead_s(self) -> float:
        return max(0.0, self.elapsed_s() - self.upstream_s)


NOTHING = TokenUsage(request=0)
