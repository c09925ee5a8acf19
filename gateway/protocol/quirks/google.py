"""Google's OpenAI surface (Gemini API and Vertex). A field that it does not know is refused."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_only
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    """Only the 2.5 Flash models can be told not to think."""
    known = ("none", "low", "medium", "high") if "2.5-flash" in model else ("low", "medium", "high")
    return effort_only(wishes, known)


GOOGLE = Quirks(
    name="google",
    developer_role=False,
    refused_in_messages=frozenset(("reasoning_content", "reasoning", "reasoning_details", "refusal", "annotations")),
    controls=write_controls,
    reasoning_field="",
    refused=frozenset(
        (
            "store",
            "metadata",
            "seed",
            "frequency_penalty",
            "logit_bias",
            "top_k",
            "reasoning",
            "enable_thinking",
            "verbosity",
            "prompt_cache_key",
            "safety_identifier",
        )
    ),
)
