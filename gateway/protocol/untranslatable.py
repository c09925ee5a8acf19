"""What may not be left out of a translation: without it the answer would be to another question."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.protocol.conversation import Conversation, Opaque
from gateway.protocol.problem import invalid

REFERENCE = (
    "Answers are not stored here, so an 'item_reference' leads nowhere. Send the item itself"
    " (set 'store' to false in your client)."
)
_MESSAGES: Mapping[tuple[str, str], str] = {
    ("openai_responses", "compaction_trigger"): (
        "This model cannot compact a conversation. Ask for a summary in a message instead."
    ),
    ("openai_responses", "compaction"): (
        "This model cannot read a compacted conversation. Send the conversation itself, or choose the model that"
        " compacted it."
    ),
    ("openai_responses", "item_reference"): REFERENCE,
}


def refuse_untranslatable(conversation: Conversation, dialect: str) -> None:
    """Raises ProtocolError (invalid_request) where the conversation cannot be told in this dialect."""
    for turn in conversation.turns:
        for part in turn.parts:
            if isinstance(part, Opaque) and part.origin != dialect:
                message = _MESSAGES.get((part.origin, part.kind))
                if message is not None:
                    raise invalid(message, param="input", code="unsupported_value")
