"""SiliconFlow: open models, whose thinking is switched in Qwen's words."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    if wishes.enabled is False:
        return {"enable_thinking": False}
    return {} if wishes.budget_tokens is None else {"thinking_budget": wishes.budget_tokens}


SILICONFLOW = Quirks(
    name="siliconflow",
    developer_role=False,
    controls=write_controls,
    ignored=frozenset(("verbosity", "service_tier", "prompt_cache_key")),
)
