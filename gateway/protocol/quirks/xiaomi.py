"""Xiaomi's MiMo: thinking is on or off."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import thinking_type
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    return thinking_type(wishes)


XIAOMI = Quirks(
    name="xiaomi",
    developer_role=False,
    controls=write_controls,
    ignored=frozenset(("verbosity", "service_tier", "prompt_cache_key")),
)
