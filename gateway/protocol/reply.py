"""The canonical reply, whole or as stream events."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, NamedTuple

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import Citation, Part
from gateway.protocol.problem import Problem, UpstreamFailure


class FinishReason(StrEnum):
    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"
    OTHER = "other"


class UsageReport(NamedTuple):
    """Tokens as the provider reported them, in our disjoint buckets.

    ``flags`` name what did not add up (``clamped``, ``total_mismatch``, …); a flagged report is still billable.
    """

    usage: TokenUsage
    flags: tuple[str, ...] = ()
    source: str = "reported"


@dataclass(frozen=True, slots=True)
class Choice:
    index: int
    parts: tuple[Part, ...]
    finish: FinishReason | None
    # The provider's own word, "" when it sent none.
    native_finish: str = ""
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    choices: tuple[Choice, ...]
    usage: UsageReport | None = None
    upstream_id: str = ""
    upstream_model: str = ""
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The answer has begun; carries no content, so failover is still possible."""

    upstream_id: str = ""
    upstream_model: str = ""
    is_content: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    choice: int = 0
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class CitationDelta:
    """A source of the text so far."""

    citation: Citation
    choice: int = 0
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str
    choice: int = 0
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SignatureDelta:
    """Ends a piece of reasoning: its signature, or the whole of a redacted piece. Only ``origin`` can read it.

    Without reasoning before it, a signature belongs to the part after it, as in ``conversation.Reasoning``.
    """

    signature: str | None = None
    redacted: str | None = None
    origin: str = ""
    choice: int = 0
    id: str = ""
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    text: str
    choice: int = 0
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """``index`` counts the calls of one choice from 0; id and name are None on all but a call's first delta."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    choice: int = 0
    custom: bool = False
    namespace: str = ""
    is_content: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Finished:
    """At most one per choice."""

    reason: FinishReason
    choice: int = 0
    native: str = ""
    stop_sequence: str | None = None
    is_content: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class UsageSeen:
    """A running total: a later report replaces an earlier one."""

    report: UsageReport
    tier: str | None = None
    is_content: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error inside a stream that had begun with status 200, or a stream that cannot be read on."""

    failure: UpstreamFailure
    is_content: ClassVar[bool] = False

    @property
    def problem(self) -> Problem:
        return self.failure.as_problem()


@dataclass(frozen=True, slots=True)
class Done:
    """The dialect's terminal event."""

    is_content: ClassVar[bool] = False


StreamEvent = (
    Started
    | TextDelta
    | CitationDelta
    | ReasoningDelta
    | SignatureDelta
    | RefusalDelta
    | ToolCallDelta
    | Finished
    | UsageSeen
    | StreamError
    | Done
)
