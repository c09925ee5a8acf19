"""Alibaba's compatible mode (DashScope), international and mainland alike."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import is_silent
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    """An effort has no counterpart but the budget; without one the model decides how long it thinks."""
    if is_silent(wishes):
        return {}
    if wishes.enabled is False:
        return {"enable_thinking": False}
    if wishes.budget_tokens is None:
        return {"enable_thinking": True}
    return {"enable_thinking": True, "thinking_budget": wishes.budget_tokens}


QWEN = Quirks(
    name="qwen",
    developer_role=False,
    prefill_field="partial",
    controls=write_controls,
    tool_choices=frozenset(("auto", "none", "named")),
    forced_while_thinking=".",
    ignored=frozenset(("verbosity", "service_tier", "prompt_cache_key", "reasoning_effort", "reasoning")),
    cache_hints=True,
)
