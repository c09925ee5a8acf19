"""Ways in which several hosts of the chat family are asked for reasoning. Each returns None where it cannot be said."""

from __future__ import annotations

from collections.abc import Collection

from gateway.protocol.conversation import NOTHING, JsonObject, ReasoningControls

# What a chat request may say of reasoning, in the words of any host.
CONTROL_FIELDS: frozenset[str] = frozenset(
    ("reasoning_effort", "reasoning", "thinking", "enable_thinking", "thinking_budget", "thinking_level")
)
_LADDER = ("minimal", "low", "medium", "high", "xhigh", "max")


def effort_of_budget(tokens: int) -> str:
    if tokens <= 2048:
        return "low"
    return "medium" if tokens <= 8192 else "high"


def effort_of(wishes: ReasoningControls) -> str | None:
    """The effort that was asked for, or that the budget amounts to."""
    if wishes.effort is not None or wishes.budget_tokens is None:
        return wishes.effort
    return effort_of_budget(wishes.budget_tokens)


def is_silent(wishes: ReasoningControls) -> bool:
    """Whether nothing was asked for: the model's own default stands."""
    return wishes.enabled is None and wishes.effort is None and wishes.budget_tokens is None


def nearest(effort: str, known: Collection[str]) -> str | None:
    """The known effort that is closest, the weaker one first; None for a word outside the ladder."""
    if effort in known:
        return effort
    if effort not in _LADDER:
        return None
    place = _LADDER.index(effort)
    below = [word for word in _LADDER[:place] if word in known]
    above = [word for word in _LADDER[place:] if word in known]
    return below[-1] if below else next(iter(above), None)


def effort_only(wishes: ReasoningControls, known: Collection[str]) -> JsonObject | None:
    """``reasoning_effort`` in the words that the model takes; "none" among them switches reasoning off."""
    if wishes.enabled is False:
        return {"reasoning_effort": "none"} if "none" in known else None
    effort = effort_of(wishes)
    if effort is None:
        return NOTHING
    word = nearest(effort, [word for word in known if word != "none"])
    return None if word is None else {"reasoning_effort": word}


def thinking_type(wishes: ReasoningControls, on: str = "enabled") -> JsonObject:
    """``thinking: {type}``, which several makers took over from Anthropic, without a budget."""
    if is_silent(wishes):
        return NOTHING
    return {"thinking": {"type": "disabled" if wishes.enabled is False else on}}
