"""One request from its arrival to its end: the facts that the steps of the walk hand on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from uuid_utils import uuid7

from accounts.caller import Caller
from billing.events import UsageEvent
from billing.pricing.usage import TokenUsage
from gateway.limits import RateDecision
from gateway.price_book import PriceBook
from gateway.protocol.codec import StreamEncoder
from gateway.protocol.conversation import Conversation
from gateway.protocol.glance import Asked
from gateway.protocol.reply import UsageReport
from gateway.slices import Share
from observability.records import AttemptRecord
from routing.catalogue import Catalogue, DeploymentInfo, ModelInfo
from routing.planner import Refusal, RoutePlan
from routing.policy.project import DEFAULT, ProjectPolicy

if TYPE_CHECKING:
    from gateway.attempt import Opened


def _new_id() -> str:
    return str(uuid7())


def _now() -> datetime:
    return datetime.now(UTC)


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
    id: str = field(default_factory=_new_id)
    at: datetime = field(default_factory=_now)
    started: float = field(default_factory=time.perf_counter)
    upstream_s: float = 0.0  # time spent waiting for providers
    caller: Caller | None = None
    rate: RateDecision | None = None
    prices: PriceBook | None = None
    asked: Asked | None = None  # a glance at the request; None where it had to be decoded
    conversation: Conversation | None = None  # decoded only where somebody needs it
    model_asked: str = ""
    stream: bool = False
    max_output_tokens: int | None = None  # the caller's own limit
    choices: int = 1
    policy: ProjectPolicy = DEFAULT
    plan: RoutePlan | None = None
    refusals: tuple[Refusal, ...] = ()  # why nobody was left for a plan
    prompt_tokens: int = 0  # upper estimate
    share: Share | None = None  # the credit that is set aside
    output_cap: int | None = None  # set where scarce credit lowered the output limit
    affinity_key: str = ""  # of the conversation, where its prompt may be cached
    attempts: list[AttemptRecord] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)  # deployments that were not asked, and why
    model: ModelInfo | None = None  # the one that answers, or is being asked
    deployment: DeploymentInfo | None = None
    delivery: Delivery = field(default_factory=Delivery)
    first_token_s: float | None = None
    dropped: tuple[str, ...] = ()
    claim: bytes | None = None  # on an Idempotency-Key
    strict: bool = False  # a translation that loses something is refused
    status: int = 0
    error_code: str = ""
    client_left: bool = False
    superseded: bool = False  # the client sent it again while it was running
    waived: bool = False  # and may be believed
    charge_nanos: int = 0
    usage_extra: dict[str, object] = field(default_factory=dict)  # what an encoder adds to the usage it writes
    finished: bool = False
    continuable: bool = False  # another provider may go on with its stream, which is translated for that
    earlier: UsageEvent | None = None  # the charge for what came before another provider went on
    hedge_nanos: int = 0  # held for an attempt that loses against another, where the project pays for both
    hedge_lost: Opened | None = None  # that attempt; its provider had accepted it
    encoder: StreamEncoder | None = None  # of a stream that is translated
    believed: UsageReport | None = None  # found plausible: it is asked for more than once
    usage_told: TokenUsage | None = None  # what is charged, where no provider said just that
    request_id: str = field(init=False)  # the id that the caller sees, on every answer

    def __post_init__(self) -> None:
        self.request_id = "gen-" + self.id.replace("-", "")

    @property
    def catalogue(self) -> Catalogue | None:
        return self.prices.catalogue if self.prices is not None else None

    @property
    def chance(self) -> float:
        """A number from 0 to below 1 that is this request's own: the random end of its id."""
        return int(self.id[-8:], 16) / 0x1_0000_0000

    @property
    def source(self) -> Mapping[str, Any]:
        """The request's parsed JSON."""
        if self.asked is not None:
            return self.asked.source
        return NO_SOURCE if self.conversation is None else self.conversation.source

    @property
    def routing(self) -> Mapping[str, Any]:
        """What the request says to us about its routing, and no provider sees."""
        if self.asked is not None:
            return self.asked.routing
        return NO_SOURCE if self.conversation is None else self.conversation.routing

    def elapsed_s(self) -> float:
        return time.perf_counter() - self.started

    def overhead_s(self) -> float:
        return max(0.0, self.elapsed_s() - self.upstream_s)

    def take(self, conversation: Conversation) -> None:
        """The request, decoded."""
        self.conversation = conversation
        self.model_asked = conversation.model
        self.stream = conversation.stream
        self.max_output_tokens = conversation.sampling.max_output_tokens
        self.choices = max(1, conversation.sampling.n or 1)

    def glanced(self, asked: Asked) -> None:
        """The request, as far as a glance tells."""
        self.asked = asked
        self.model_asked = asked.model
        self.stream = asked.stream
        self.max_output_tokens = asked.max_output_tokens
        self.choices = asked.choices


NOTHING = TokenUsage(request=0)
NO_SOURCE: Mapping[str, Any] = {}
