"""Reasoning wishes for a Claude model, whose generations want them said differently.

Up to 3.5 there is no thinking; 3.7 to 4.5 take a budget; from 4.6 on thinking is adaptive, with an effort; from 4.7
on a budget and the sampling parameters are refused, and Fable and Mythos cannot even be told not to think. Models of
other makers behind this dialect take a budget (read in the makers' documentation, November 2026).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from gateway.protocol.conversation import Conversation, Reasoning, Text, ToolCall
from gateway.protocol.quirks.messages import MessagesQuirks

DIALECT = "anthropic_messages"
LEAST_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 32768}
_WITH_XHIGH = (4, 7)
_ALWAYS_THINKING = re.compile(r"claude-(?:fable|mythos)", re.IGNORECASE)
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:[-.](\d{1,2})(?!\d))?", re.IGNORECASE)

Style = Literal["none", "budget", "adaptive"]


def claude_version(upstream_model: str) -> tuple[int, int] | None:
    """Such as (4, 6); None for a model of another maker."""
    match = _VERSION.search(upstream_model)
    return None if match is None else (int(match.group(1)), int(match.group(2) or 0))


def thinking_style(upstream_model: str) -> Style:
    version = claude_version(upstream_model)
    if version is None:
        return "budget"
    if version >= (4, 6):
        return "adaptive"
    return "budget" if version >= (3, 7) else "none"


def refuses_sampling(upstream_model: str) -> bool:
    """Whether temperature, top_p and top_k are an error, whatever their value."""
    version = claude_version(upstream_model)
    return version is not None and version >= (4, 7)


def encode_thinking(
    conversation: Conversation, upstream_model: str, max_tokens: int, quirks: MessagesQuirks, dropped: list[str]
) -> dict[str, Any]:
    """The fields ``thinking`` and ``output_config.effort`` (as "effort")."""
    wishes = conversation.reasoning
    if conversation.dialect == DIALECT:
        return _own(conversation)
    if wishes.enabled is False or wishes.effort == "none":
        return _off(upstream_model, dropped)
    if wishes.enabled is None and wishes.effort is None and wishes.budget_tokens is None:
        return {}
    style = thinking_style(upstream_model)
    if style == "none" or _is_forced(conversation):
        dropped.append("reasoning_effort")
        return {}
    if style == "adaptive":
        return {"thinking": {"type": "adaptive"}, **_effort(wishes.effort, upstream_model)}
    if quirks.checks_signatures and _lacks_signed_thinking(conversation):
        # Adaptive thinking does not ask for it.
        dropped.append("reasoning_effort")
        return {}
    budget = wishes.budget_tokens or _BUDGETS.get(wishes.effort or "medium", _BUDGETS["medium"])
    budget = min(max(budget, LEAST_BUDGET), max_tokens - 1)
    if budget < LEAST_BUDGET:
        dropped.append("reasoning_effort")
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def _off(upstream_model: str, dropped: list[str]) -> dict[str, Any]:
    if _ALWAYS_THINKING.search(upstream_model):
        dropped.append("reasoning_effort")
        return {"effort": "low"}
    # To earlier models the field itself is unknown.
    return {} if thinking_style(upstream_model) == "none" else {"thinking": {"type": "disabled"}}


def _effort(effort: str | None, upstream_model: str) -> dict[str, str]:
    if effort is None or effort not in _BUDGETS:
        return {}
    if effort == "minimal":
        return {"effort": "low"}
    version = claude_version(upstream_model)
    if effort == "xhigh" and (version is None or version < _WITH_XHIGH):
        return {"effort": "high"}
    return {"effort": effort}


def _own(conversation: Conversation) -> dict[str, Any]:
    wishes = conversation.reasoning
    fields: dict[str, Any] = {}
    if wishes.enabled is False:
        fields["thinking"] = {"type": "disabled", **wishes.extras}
    elif wishes.enabled and wishes.budget_tokens is not None:
        fields["thinking"] = {"type": "enabled", "budget_tokens": wishes.budget_tokens, **wishes.extras}
    elif wishes.enabled:
        fields["thinking"] = {"type": "adaptive", **wishes.extras}
    if wishes.effort is not None:
        fields["effort"] = wishes.effort
    return fields


def _is_forced(conversation: Conversation) -> bool:
    """Claude refuses thinking together with a forced tool."""
    choice = conversation.tool_choice
    return bool(conversation.tools) and choice is not None and choice.mode in ("required", "named")


def _lacks_signed_thinking(conversation: Conversation) -> bool:
    """While tools are being called, thinking has to come back with its signature, or be off."""
    for turn in reversed(conversation.turns):
        if turn.role == "user" and any(isinstance(part, Text) for part in turn.parts):
            return False
        if turn.role == "assistant" and any(isinstance(part, ToolCall) for part in turn.parts):
            return not any(isinstance(part, Reasoning) and part.origin == DIALECT for part in turn.parts)
    return False
