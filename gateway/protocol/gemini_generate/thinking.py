"""What Gemini models differ in: how they are asked to think, and what they want back."""

from __future__ import annotations

import re
from typing import Any

from gateway.protocol.conversation import Conversation
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.quirks.controls import effort_of, is_silent, nearest

_VERSION = re.compile(r"gemini-(\d{1,2})(?:[.-](\d{1,2})(?!\d))?", re.IGNORECASE)
_NEWEST = (99, 0)
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_LONGEST = 24576
_LONGEST_PRO = 32768
# The least that 2.5 Pro thinks, and the least but nothing that Flash-Lite does.
_SHORTEST = {"pro": 128, "flash-lite": 512}


def gemini_version(upstream_model: str) -> tuple[int, int]:
    """Such as (2, 5); an alias without a number stands for the newest."""
    match = _VERSION.search(upstream_model)
    return _NEWEST if match is None else (int(match.group(1)), int(match.group(2) or 0))


def wants_signatures(upstream_model: str) -> bool:
    return "gemini" in upstream_model.lower() and gemini_version(upstream_model) >= (3, 0)


def encode_thinking(conversation: Conversation, upstream_model: str, dropped: list[str]) -> dict[str, Any]:
    """``thinkingConfig``; empty where nothing was asked for."""
    wishes = conversation.reasoning
    is_own = conversation.dialect == DIALECT
    own = dict(wishes.extras) if is_own else {}
    if is_silent(wishes):
        return own
    off = wishes.enabled is False or wishes.effort == "none"
    version = gemini_version(upstream_model)
    if version < (2, 5):
        if not off:
            dropped.append("reasoning_effort")
        return {}
    chosen = _level(conversation, upstream_model, off, dropped)
    if version < (3, 0):
        chosen = _budget(conversation, upstream_model, off, dropped)
    return {**chosen, **own} if off or is_own else {**chosen, "includeThoughts": True}


def _level(conversation: Conversation, upstream_model: str, off: bool, dropped: list[str]) -> dict[str, Any]:
    known = _levels(upstream_model)
    if off:
        if known[0] != "minimal":
            dropped.append("reasoning_effort")
        return {"thinkingLevel": known[0]}
    effort = effort_of(conversation.reasoning)
    if effort is None:
        return {}
    word = nearest(effort, known)
    if word is None:
        dropped.append("reasoning_effort")
        return {}
    return {"thinkingLevel": word}


def _levels(upstream_model: str) -> tuple[str, ...]:
    if "pro" not in upstream_model.lower():
        return ("minimal", "low", "medium", "high")
    return ("low", "high") if gemini_version(upstream_model) == (3, 0) else ("low", "medium", "high")


def _budget(conversation: Conversation, upstream_model: str, off: bool, dropped: list[str]) -> dict[str, Any]:
    name = upstream_model.lower()
    shortest = next((least for word, least in _SHORTEST.items() if word in name), 0)
    if off:
        if "pro" not in name:
            return {"thinkingBudget": 0}
        dropped.append("reasoning_effort")
        return {"thinkingBudget": shortest}
    wishes = conversation.reasoning
    budget = wishes.budget_tokens
    if budget is None and wishes.effort is None:
        return {"thinkingBudget": -1}
    if budget is None:
        budget = _BUDGETS.get(wishes.effort or "", _BUDGETS["medium"])
    longest = _LONGEST_PRO if "pro" in name else _LONGEST
    return {"thinkingBudget": min(max(budget, shortest), longest)}
