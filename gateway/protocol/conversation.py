"""The canonical request: what every dialect's request is decoded to and encoded from.

Values are frozen. JSON objects that we do not interpret (schemas, unknown fields) stay plain mappings and must not
be changed by whoever reads them. ``origin`` names the dialect whose wire form a value still has; such values are
carried only to an upstream of that dialect, everything else is common ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "developer", "user", "assistant", "tool"]
JsonObject = Mapping[str, Any]

# Shared and never changed; a plain dict, since it may be written as JSON.
NOTHING: JsonObject = {}


# Our own top-level request fields: read by the router, never sent to a provider.
ROUTER_FIELDS = frozenset(("models", "provider", "route", "router", "session_id"))


@dataclass(frozen=True, slots=True)
class Citation:
    """What a piece of text rests on. ``start`` and ``end`` count characters of the text that it belongs to."""

    url: str = ""
    title: str = ""
    cited_text: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    # Lifetime of a prompt-cache breakpoint after this part: "5m", "1h", or None for no breakpoint.
    cache: str | None = None
    # Fields of the wire part that have no canonical name, by the dialect in ``origin``.
    extras: JsonObject = field(default_factory=dict)
    origin: str = ""
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """Either a URL, or base64 text with its media type."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    cache: str | None = None


@dataclass(frozen=True, slots=True)
class File:
    """A document: a URL, base64 text with its media type, plain text, or the id of a file stored upstream."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    text: str | None = None
    file_id: str | None = None
    name: str | None = None
    cache: str | None = None
    extras: JsonObject = field(default_factory=dict)
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Audio:
    """Base64 audio and its format, such as "wav"."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thinking of an earlier or of this answer.

    ``signature`` and ``redacted`` only mean something to the dialect in ``origin`` and must come back unchanged.
    A signature without text belongs to the part after it (Gemini signs tool calls), or to the end of the answer.
    ``id`` is the item id that OpenAI keeps with its encrypted reasoning.
    ``details`` keeps a wire form that has no canonical one (OpenRouter's ``reasoning_details``).
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str = ""
    details: tuple[Any, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """``arguments`` is the text that the model wrote; it need not be JSON, and for a ``custom`` tool it never is."""

    id: str
    name: str
    arguments: str
    cache: str | None = None
    extras: JsonObject = field(default_factory=dict)
    origin: str = ""
    custom: bool = False
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part that only its own dialect understands, kept whole."""

    origin: str
    kind: str
    value: JsonObject


@dataclass(frozen=True, slots=True)
class ToolResult:
    call_id: str
    parts: tuple[Text | Image | File | Audio | Opaque, ...]
    is_error: bool = False
    cache: str | None = None


Part = Text | Image | File | Audio | Reasoning | Refusal | ToolCall | ToolResult | Opaque


@dataclass(frozen=True, slots=True)
class Turn:
    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    extras: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CustomFormat:
    """What the free text of a custom tool must look like: anything ("text"), or a grammar ("lark", "regex")."""

    syntax: str = "text"
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the caller runs. ``parameters`` is its JSON schema, None when the caller gave none.

    ``custom`` is set for a tool that takes free text instead. ``namespace`` groups tools (OpenAI Responses).
    ``deferred`` tools are placeholders that the model shall find by a search of its provider's own.
    """

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    cache: str | None = None
    extras: JsonObject = field(default_factory=dict)
    origin: str = ""
    custom: CustomFormat | None = None
    namespace: str = ""
    deferred: bool = False


@dataclass(frozen=True, slots=True)
class ForeignTool:
    """A tool that only its own dialect knows (server tools, custom grammars), kept whole."""

    origin: str
    kind: str
    value: JsonObject


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``allowed`` narrows the tools that may be called; empty for all of them."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Tokens are counts; penalties and temperature are as the caller's dialect defines them."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    n: int = 1
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: JsonObject | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ReasoningControls:
    """``enabled`` None means the model's own default; ``effort`` is the caller's word (low, medium, high, …)."""

    enabled: bool | None = None
    effort: str | None = None
    budget_tokens: int | None = None
    extras: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | ForeignTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    reasoning: ReasoningControls = ReasoningControls()
    stream: bool = False
    include_usage: bool = False
    user: str | None = None
    metadata: JsonObject = field(default_factory=dict)
    # Conversations with the same key share a prompt cache.
    cache_key: str | None = None
    service_tier: str | None = None
    # How long answers shall be: low, medium, high.
    verbosity: str | None = None
    # The fields of ROUTER_FIELDS that the caller sent.
    routing: JsonObject = field(default_factory=dict)
    # Top-level fields without a canonical name, by name, in the wire form of ``dialect``.
    extras: JsonObject = field(default_factory=dict)
    dialect: str = ""
    # The parsed body, so that a same-dialect pass-through need not parse again. Never stored, never logged.
    source: JsonObject = field(default_factory=dict, repr=False, compare=False)

    @property
    def max_output_tokens(self) -> int | None:
        """The caller's own limit for one choice, None when it set none."""
        return self.sampling.max_output_tokens
