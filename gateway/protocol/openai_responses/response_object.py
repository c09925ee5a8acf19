"""The response object that every answer, and the first and last events of every stream, hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.codec import ReplyContext
from gateway.protocol.openai_responses.content import DIALECT
from gateway.protocol.openai_responses.usage import write_usage
from gateway.protocol.openai_responses.words import LENGTH_REASON
from gateway.protocol.reply import FinishReason, UsageReport

# The caller's own fields, which the dialect repeats, with what they are where it said nothing.
_REPEATED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}


def response_object(
    context: ReplyContext,
    status: str,
    output: list[dict[str, Any]],
    *,
    usage: UsageReport | None = None,
    tier: str | None = None,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """``status`` is in_progress, completed, incomplete (because of the output limit) or failed."""
    return {
        "id": f"resp_{context.response_id}",
        "object": "response",
        "created_at": context.created,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": {"reason": LENGTH_REASON} if status == "incomplete" else None,
        "model": context.model,
        "output": output,
        "previous_response_id": None,
        "service_tier": tier,
        "store": False,
        **_repeated(context),
        "usage": _usage(context, status, usage),
    }


def _usage(context: ReplyContext, status: str, usage: UsageReport | None) -> dict[str, Any] | None:
    """An answer that ended well always has one: without it some clients ask again for ever."""
    if usage is not None:
        return write_usage(usage.usage, context.extra_usage)
    if status in ("in_progress", "failed"):
        return None
    return write_usage(TokenUsage(input=context.input_tokens), context.extra_usage)


def _repeated(context: ReplyContext) -> dict[str, Any]:
    conversation = context.conversation
    source = conversation.source if conversation is not None and conversation.dialect == DIALECT else {}
    return {name: _filled(source.get(name), default) for name, default in _REPEATED.items()}


def _filled(value: Any, default: Any) -> Any:
    if isinstance(value, dict) and isinstance(default, dict):
        return {**default, **value}
    return default if value is None else value


def status_of(finish: FinishReason | None) -> str:
    return "incomplete" if finish is FinishReason.LENGTH else "completed"
