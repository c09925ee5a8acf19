"""Zhipu (api.z.ai, open.bigmodel.cn). Tools cannot be forced, one stop sequence is taken, JSON has no schema."""

from __future__ import annotations

import re

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_of, thinking_type
from gateway.protocol.quirks.quirks import Quirks

_TAKES_EFFORT = re.compile(r"glm-(?:5\.[2-9]|[6-9])")


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    fields = dict(thinking_type(wishes))
    effort = effort_of(wishes)
    if effort is not None and wishes.enabled is not False and _TAKES_EFFORT.search(model):
        fields["reasoning_effort"] = effort
    return fields


ZHIPU = Quirks(
    name="zhipu",
    developer_role=False,
    controls=write_controls,
    tool_choices=frozenset(("auto",)),
    formats=frozenset(("text", "json_object")),
    most_stops=1,
    ignored=frozenset(
        (
            "verbosity",
            "service_tier",
            "prompt_cache_key",
            "parallel_tool_calls",
            "seed",
            "n",
            "presence_penalty",
            "frequency_penalty",
        )
    ),
)
