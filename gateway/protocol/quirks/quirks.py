"""What a host does otherwise than the maker of the dialect that it speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.messages import MessagesQuirks

ControlWriter = Callable[[ReasoningControls, str], JsonObject | None]
ANY_CHOICE: frozenset[str] = frozenset(("auto", "none", "required", "named"))
ANY_FORMAT: frozenset[str] = frozenset(("text", "json_object", "json_schema"))


@dataclass(frozen=True, slots=True)
class Quirks:
    """The defaults are the dialect's own ways; a host's small file names only its differences.

    Names of fields are those on the wire. What is *refused* ends in an error there, so it is left out of every
    request; what is merely *ignored* is left out (and named as dropped) only where we write the request ourselves.
    """

    name: str = ""

    # --- Chat: messages ---
    developer_role: bool = True
    # Where system messages may stand: anywhere, only before all others, or a single one there.
    system_place: Literal["anywhere", "start", "once"] = "anywhere"
    # User and assistant messages must take turns.
    alternating: bool = False
    # What the assistant says between the results of tools and a message of the user, which may not follow them.
    after_results: str = ""
    refused_in_messages: frozenset[str] = frozenset()
    # The id under which a tool call may be sent; the same id for the same id, since its result names it too.
    call_id: Callable[[str], str] | None = None
    # The field that marks a last assistant message as the beginning of the answer.
    prefill_field: str = ""

    # --- Chat: reasoning ---
    # How a wish for reasoning is said, given the upstream model; None where this model cannot be told.
    controls: ControlWriter | None = None
    # Where earlier reasoning is written: a message field, parts of the content, or nowhere.
    reasoning_field: Literal["reasoning_content", "reasoning", "content", ""] = "reasoning_content"
    # Which reasoning comes back: what came from this dialect, or everybody's while tools are offered (and only then).
    reasoning_back: Literal["own", "with_tools"] = "own"
    # Signed reasoning of other makers may come back as ``reasoning_details``.
    signed_details: bool = False

    # --- Chat: tools ---
    custom_tools: bool = False
    allowed_tools: bool = False
    tool_choices: frozenset[str] = ANY_CHOICE
    # A pattern of the models that refuse a forced tool while they think; "" for none.
    forced_while_thinking: str = ""

    # --- Chat: fields ---
    # "" lets the model's name decide between max_tokens and max_completion_tokens.
    limit_field: Literal["", "max_tokens", "max_completion_tokens"] = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    # (pattern of upstream models, fields that only these refuse)
    refused_by: tuple[tuple[str, frozenset[str]], ...] = ()
    ignored: frozenset[str] = frozenset()
    added: Mapping[str, Any] = field(default_factory=dict)
    formats: frozenset[str] = ANY_FORMAT
    most_stops: int = 4
    # Streams hold usage without being asked for it.
    usage_unasked: bool = False
    # Cache breakpoints (``cache_control``) are understood.
    cache_hints: bool = False

    messages: MessagesQuirks = field(default_factory=MessagesQuirks)


STANDARD = Quirks()
