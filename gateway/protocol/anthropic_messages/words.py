"""Stop reasons of the Messages dialect."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.reply import FinishReason

_REASONS: Mapping[str, FinishReason] = MappingProxyType(
    {
        "end_turn": FinishReason.STOP,
        "stop_sequence": FinishReason.STOP,
        "max_tokens": FinishReason.LENGTH,
        "model_context_window_exceeded": FinishReason.LENGTH,
        "tool_use": FinishReason.TOOL_CALLS,
        "refusal": FinishReason.REFUSAL,
        # pause_turn: the provider's own tools want another request; no other dialect can say so.
        "pause_turn": FinishReason.OTHER,
    }
)

_WORDS: Mapping[FinishReason, str] = MappingProxyType(
    {
        FinishReason.STOP: "end_turn",
        FinishReason.LENGTH: "max_tokens",
        FinishReason.TOOL_CALLS: "tool_use",
        FinishReason.CONTENT_FILTER: "refusal",
        FinishReason.REFUSAL: "refusal",
        FinishReason.OTHER: "end_turn",
    }
)


def read_finish(word: str, *, has_calls: bool) -> FinishReason:
    reason = _REASONS.get(word, FinishReason.OTHER)
    return FinishReason.TOOL_CALLS if has_calls and reason is FinishReason.STOP else reason


def write_finish(reason: FinishReason | None, *, has_calls: bool, stop_sequence: str | None = None) -> str:
    if has_calls and reason in (None, FinishReason.STOP, FinishReason.OTHER):
        return "tool_use"
    if reason is FinishReason.STOP and stop_sequence is not None:
        return "stop_sequence"
    return _WORDS[reason] if reason is not None else "end_turn"
