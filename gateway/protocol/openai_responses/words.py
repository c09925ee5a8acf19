"""How answers end in the Responses dialect: a status, and why an answer is incomplete."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.reply import FinishReason

LENGTH_REASON = "max_output_tokens"
_REASONS: Mapping[str, FinishReason] = {
    LENGTH_REASON: FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "content_filter": FinishReason.CONTENT_FILTER,
}


def native_finish(response: Mapping[str, Any]) -> str:
    """The status, with the reason of an incomplete answer: "incomplete:max_output_tokens"."""
    status = response.get("status")
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, Mapping) else None
    word = status if isinstance(status, str) else ""
    return f"{word}:{reason}" if word == "incomplete" and isinstance(reason, str) else word


def read_finish(native: str, *, has_calls: bool, has_refusal: bool) -> FinishReason:
    """``completed`` says nothing of calls and refusals: the content decides."""
    status, _, reason = native.partition(":")
    if status == "incomplete":
        return _REASONS.get(reason, FinishReason.OTHER)
    if has_calls:
        return FinishReason.TOOL_CALLS
    if has_refusal:
        return FinishReason.REFUSAL
    return FinishReason.STOP if status == "completed" else FinishReason.OTHER


def is_refused(reason: FinishReason | None) -> bool:
    """Whether the answer ended in a refusal.

    It is written as a completed answer with a ``refusal`` part, never as one that a filter made incomplete: agents
    take that for an accident and ask, and pay, again.
    """
    return reason in (FinishReason.REFUSAL, FinishReason.CONTENT_FILTER)


REFUSED = "The model declined to answer this request."
