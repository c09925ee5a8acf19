"""xAI's chat surface (api.x.ai). Penalties are refused by every Grok, stop sequences by those that reason."""

from __future__ import annotations

import re

from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import effort_only, is_silent
from gateway.protocol.quirks.quirks import Quirks

_FIXED = re.compile(r"grok-(?:build|code|composer)|grok-4(?:-|$)|grok-4\.20-(?!multi)|grok-3(?!-mini)")


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject | None:
    if _FIXED.search(model):
        return {} if is_silent(wishes) else None
    if "grok-4.3" in model:
        return effort_only(wishes, ("none", "low", "medium", "high"))
    if "grok-4.5" in model or "grok-3-mini" in model:
        return effort_only(wishes, ("low", "medium", "high"))
    return effort_only(wishes, ("low", "medium", "high", "xhigh"))


XAI = Quirks(
    name="xai",
    controls=write_controls,
    refused=frozenset(("presence_penalty", "frequency_penalty")),
    refused_by=((r"^(?!.*non-reasoning)", frozenset(("stop",))), (_FIXED.pattern, frozenset(("reasoning_effort",)))),
    ignored=frozenset(("verbosity", "prompt_cache_key", "service_tier")),
)
