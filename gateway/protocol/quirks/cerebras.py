"""Cerebras (api.cerebras.ai). Unknown fields end in ``wrong_api_format``; earlier reasoning is called ``reasoning``."""

from __future__ import annotations

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_only
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    known = ("low", "medium", "high") if "gpt-oss" in model else ("none", "low", "medium", "high")
    return effort_only(wishes, known)


CEREBRAS = Quirks(
    name="cerebras",
    developer_role=False,
    refused_in_messages=frozenset(("reasoning_content", "reasoning_details", "annotations", "refusal")),
    controls=write_controls,
    reasoning_field="reasoning",
    refused=frozenset(
        (
            "store",
            "frequency_penalty",
            "presence_penalty",
            "logit_bias",
            "n",
            "top_k",
            "reasoning",
            "thinking",
            "enable_thinking",
            "verbosity",
            "metadata",
            "prompt_cache_key",
            "safety_identifier",
        )
    ),
)
