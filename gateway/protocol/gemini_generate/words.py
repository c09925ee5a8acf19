"""Finish reasons of Gemini. STOP is also said of an answer that calls tools."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.reply import FinishReason

# The service tiers of a request: Google's word and chat's. A caller without a wish gets the standard tier.
_TIERS: Mapping[str, str] = MappingProxyType({"flex": "flex", "priority": "priority", "standard": "default"})
_TIER_WORDS: Mapping[str, str] = MappingProxyType({ours: word for word, ours in _TIERS.items()})

BLOCKED = "BLOCKED:"

_REASONS: Mapping[str, FinishReason] = MappingProxyType(
    {
        "STOP": FinishReason.STOP,
        "MAX_TOKENS": FinishReason.LENGTH,
        "SAFETY": FinishReason.CONTENT_FILTER,
        "RECITATION": FinishReason.CONTENT_FILTER,
        "BLOCKLIST": FinishReason.CONTENT_FILTER,
        "PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
        "SPII": FinishReason.CONTENT_FILTER,
        "MODEL_ARMOR": FinishReason.CONTENT_FILTER,
        "LANGUAGE": FinishReason.CONTENT_FILTER,
        "IMAGE_SAFETY": FinishReason.CONTENT_FILTER,
        "IMAGE_PROHIBITED_CONTENT": FinishReason.CONTENT_FILTER,
        "IMAGE_RECITATION": FinishReason.CONTENT_FILTER,
    }
)
_WORDS: Mapping[FinishReason, str] = MappingProxyType(
    {
        FinishReason.STOP: "STOP",
        FinishReason.TOOL_CALLS: "STOP",
        FinishReason.LENGTH: "MAX_TOKENS",
        FinishReason.CONTENT_FILTER: "SAFETY",
        FinishReason.REFUSAL: "SAFETY",
        FinishReason.OTHER: "OTHER",
    }
)


def read_finish(word: str, *, has_calls: bool) -> FinishReason:
    if word.startswith(BLOCKED):
        return FinishReason.CONTENT_FILTER
    reason = _REASONS.get(word, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if has_calls and reason is FinishReason.STOP else reason


def write_finish(reason: FinishReason | None) -> str:
    return "STOP" if reason is None else _WORDS[reason]


def read_tier(word: str | None) -> str | None:
    """A request's tier in chat's words, None for no wish."""
    lower = (word or "").lower().removeprefix("service_tier_")
    return None if lower in ("", "unspecified") else _TIERS.get(lower, lower)


def write_tier(tier: str) -> str | None:
    """None for a tier that Google does not have."""
    return _TIER_WORDS.get(tier)
