"""What a caller may ask for that only a store of earlier answers could give: nothing is stored here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.conversation import JsonObject
from gateway.protocol.problem import ProtocolError, invalid
from gateway.protocol.untranslatable import REFERENCE

_STORED: Mapping[str, str] = {
    "previous_response_id": (
        "Answers are not stored here, so 'previous_response_id' cannot be used. Send the whole conversation in"
        " 'input', with the output items of earlier answers; reasoning travels in their 'encrypted_content'"
        " (set 'store' to false in your client)."
    ),
    "conversation": (
        "Conversations are not stored here, so 'conversation' cannot be used. Send the whole conversation in"
        " 'input'; reasoning travels in the 'encrypted_content' of its items."
    ),
    "prompt": (
        "Prompts are not stored here, so 'prompt' cannot be used. Send the text itself in 'instructions' and 'input'."
    ),
    "background": (
        "Answers are not stored here, so none can be fetched later: 'background' must be false. Use 'stream' to"
        " follow a long answer."
    ),
}


def refuse_stored(source: JsonObject) -> None:
    """Raises ProtocolError for a request that rests on something stored."""
    for name, message in _STORED.items():
        value = source.get(name)
        if value is not None and value is not False:
            raise invalid(message, param=name, code="unsupported_parameter")


def unresolvable(where: str) -> ProtocolError:
    """An item that is only a name for something stored."""
    return invalid(REFERENCE, param=where, code="unsupported_value")


def is_reference(item: Mapping[str, Any]) -> bool:
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "role" not in item)
