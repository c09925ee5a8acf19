"""Groq (api.groq.com). Fields that it does not know are refused, in messages too."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_only, is_silent
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    """Qwen's thoughts would stand in the text unless ``reasoning_format`` parts them from it."""
    if "qwen" not in model:
        return effort_only(wishes, ("low", "medium", "high"))
    if wishes.enabled is False:
        return {"reasoning_effort": "none"}
    return {"reasoning_format": "parsed"} if is_silent(wishes) else {"reasoning_format": "parsed", **_ON}


_ON: JsonObject = {"reasoning_effort": "default"}

GROQ = Quirks(
    name="groq",
    refused_in_messages=frozenset(("reasoning_content", "reasoning_details", "annotations", "refusal")),
    controls=write_controls,
    reasoning_field="reasoning",
    refused=frozenset(
        (
            "logprobs",
            "top_logprobs",
            "logit_bias",
            "n",
            "top_k",
            "reasoning",
            "thinking",
            "enable_thinking",
            "verbosity",
            "prompt_cache_key",
            "safety_identifier",
        )
    ),
)
