"""OpenAI, the maker of the chat dialect, with what only it has."""

from __future__ import annotations

from gateway.protocol.quirks.quirks import Quirks

OPENAI = Quirks(
    name="openai",
    # Its chat surface gives no reasoning text, so none comes back.
    refused_in_messages=frozenset(("reasoning_content", "reasoning", "reasoning_details")),
    reasoning_field="",
    custom_tools=True,
    allowed_tools=True,
    refused=frozenset(("top_k",)),
)
