"""OpenRouter: one wish for reasoning for all makers, signed reasoning in ``reasoning_details``, usage unasked."""

from __future__ import annotations

from gateway.protocol import fields
from gateway.protocol.conversation import JsonObject, ReasoningControls
from gateway.protocol.quirks.controls import is_silent
from gateway.protocol.quirks.quirks import Quirks


def write_controls(wishes: ReasoningControls, model: str) -> JsonObject:
    if is_silent(wishes):
        return {}
    if wishes.enabled is False:
        return {"reasoning": {"enabled": False}}
    if wishes.budget_tokens is not None:
        return {"reasoning": {"max_tokens": wishes.budget_tokens}}
    if wishes.effort is not None:
        return {"reasoning": fields.without_none(effort=wishes.effort)}
    return {"reasoning": {"enabled": True}}


OPENROUTER = Quirks(
    name="openrouter",
    controls=write_controls,
    reasoning_field="reasoning",
    signed_details=True,
    usage_unasked=True,
    cache_hints=True,
)
