"""Mistral (api.mistral.ai). Every field that its schema does not know is refused; reasoning stands in the content."""

from __future__ import annotations

import re
import zlib
from types import MappingProxyType

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import is_silent
from gateway.protocol.quirks.quirks import Quirks

_VALID_ID = re.compile(r"[a-zA-Z0-9]{9}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def nine_letters(call_id: str) -> str:
    """The same id in nine letters and digits, the only form that is taken."""
    if _VALID_ID.fullmatch(call_id):
        return call_id
    raw = call_id.encode("utf-8", "replace")
    number = zlib.crc32(raw) << 32 | zlib.crc32(b"r1" + raw)
    letters = []
    for _ in range(9):
        number, digit = divmod(number, 36)
        letters.append(_DIGITS[digit])
    return "".join(letters)


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    """Reasoning is on or off; there are no degrees."""
    if is_silent(wishes):
        return {}
    return {"reasoning_effort": "none" if wishes.enabled is False else "high"}


MISTRAL = Quirks(
    name="mistral",
    developer_role=False,
    # "Unexpected role 'user' after role 'tool'" (code 3230), and the same for a system message after an answer.
    system_place="start",
    after_results="I have the results.",
    refused_in_messages=frozenset(("reasoning_content", "reasoning", "reasoning_details", "refusal", "annotations")),
    call_id=nine_letters,
    prefill_field="prefix",
    controls=write_controls,
    reasoning_field="content",
    limit_field="max_tokens",
    renamed=MappingProxyType({"max_completion_tokens": "max_tokens", "seed": "random_seed"}),
    refused=frozenset(
        (
            "store",
            "user",
            "verbosity",
            "service_tier",
            "logit_bias",
            "top_k",
            "reasoning",
            "thinking",
            "enable_thinking",
            "safety_identifier",
        )
    ),
    usage_unasked=True,
)
