"""Finish words of the chat family."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.reply import FinishReason

_REASONS: Mapping[str, FinishReason] = MappingProxyType(
    {
        "stop": FinishReason.STOP,
        "end_turn": FinishReason.STOP,
        "eos": FinishReason.STOP,
        "length": FinishReason.LENGTH,
        "max_tokens": FinishReason.LENGTH,
        "model_length": FinishReason.LENGTH,
        "tool_calls": FinishReason.TOOL_CALLS,
        "function_call": FinishReason.TOOL_CALLS,
        "content_filter": FinishReason.CONTENT_FILTER,
        "sensitive": FinishReason.CONTENT_FILTER,
        "refusal": FinishReason.REFUSAL,
    }
)

_WORDS: Mapping[FinishReason, str] = MappingProxyType(
    {
        FinishReason.STOP: "stop",
        FinishReason.LENGTH: "length",
        FinishReason.TOOL_CALLS: "tool_calls",
        FinishReason.CONTENT_FILTER: "content_filter",
        FinishReason.REFUSAL: "content_filter",
        FinishReason.OTHER: "stop",
    }
)


def read_finish(word: str, *, has_calls: bool) -> FinishReason:
    """Some providers say "stop" although they called a tool: the content decides."""
    reason = _REASONS.get(word, FinishReason.OTHER)
    if has_calls and reason in (FinishReason.STOP, FinishReason.OTHER):
        return FinishReason.TOOL_CALLS
    return reason


def write_finish(reason: FinishReason | None, *, has_calls: bool = False, has_refusal: bool = False) -> str:
    """A refusal that comes with its text ends in "stop", as OpenAI's own does; a silent one in "content_filter"."""
    if has_calls and reason in (None, FinishReason.STOP, FinishReason.OTHER):
        return "tool_calls"
    if reason is FinishReason.REFUSAL and has_refusal:
        return "stop"
    return _WORDS[reason] if reason is not None else "stop"
