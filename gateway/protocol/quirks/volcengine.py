"""Volcengine Ark: Seed models take ``thinking: {type}`` and an effort beside it."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_of, nearest, thinking_type
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    fields = dict(thinking_type(wishes))
    effort = effort_of(wishes)
    word = None if effort is None else nearest(effort, ("minimal", "low", "medium", "high"))
    if word is not None and wishes.enabled is not False:
        fields["reasoning_effort"] = word
    return fields


VOLCENGINE = Quirks(
    name="volcengine",
    developer_role=False,
    controls=write_controls,
    ignored=frozenset(("verbosity", "prompt_cache_key")),
)
