"""MiniMax's chat surface (api.minimax.io). One system message is taken, and thoughts stand in the text unless split."""

from __future__ import annotations

from types import MappingProxyType

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    """Only M3 itself can be told not to think; the others refuse the wish or do not heed it."""
    if wishes.enabled is not False:
        return {}
    return {"thinking": {"type": "disabled"}} if model.casefold() == "minimax-m3" else None


MINIMAX = Quirks(
    name="minimax",
    developer_role=False,
    system_place="once",
    controls=write_controls,
    added=MappingProxyType({"reasoning_split": True}),
    formats=frozenset(("text",)),
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
            "logit_bias",
        )
    ),
)
