"""Moonshot's Kimi (api.moonshot.ai).

K3 always thinks and takes an effort; K2.5 and K2.6 think unless told not to; K2.7 always thinks and takes no wish.
With tools, an earlier tool call without its reasoning is refused. Sampling is fixed on all of them.
"""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_only, is_silent, thinking_type
from gateway.protocol.quirks.quirks import Quirks

_FIXED_SAMPLING = frozenset(("temperature", "top_p", "n", "presence_penalty", "frequency_penalty"))


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    if "kimi-k3" in model:
        return effort_only(wishes, ("low", "high", "max"))
    if "kimi-k2.7" in model:
        return None if wishes.enabled is False else {}
    if "kimi-k2" in model:
        return thinking_type(wishes)
    return {} if is_silent(wishes) else None


MOONSHOTAI = Quirks(
    name="moonshotai",
    developer_role=False,
    prefill_field="partial",
    controls=write_controls,
    reasoning_back="with_tools",
    forced_while_thinking=r"kimi-k2\.[5-7]",
    refused_by=((r"kimi-k", _FIXED_SAMPLING),),
    ignored=frozenset(("verbosity", "service_tier", "seed", "parallel_tool_calls")),
)
