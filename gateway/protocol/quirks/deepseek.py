"""DeepSeek (api.deepseek.com).

Thinks by default. While tools are offered, every earlier turn's reasoning has to come back, and a tool can only be
forced without thinking: both end in a 400 otherwise. Efforts of OpenAI's are mapped by DeepSeek itself.
"""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_of, thinking_type
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    fields = dict(thinking_type(wishes))
    effort = effort_of(wishes)
    if effort is not None and wishes.enabled is not False:
        fields["reasoning_effort"] = effort
    return fields


DEEPSEEK = Quirks(
    name="deepseek",
    developer_role=False,
    controls=write_controls,
    reasoning_back="with_tools",
    forced_while_thinking=".",
    formats=frozenset(("text", "json_object")),
    ignored=frozenset(("verbosity", "service_tier", "prompt_cache_key", "parallel_tool_calls", "seed")),
    most_stops=16,
)
