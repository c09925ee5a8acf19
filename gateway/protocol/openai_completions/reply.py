"""Whole replies in the form of text completions."""

from __future__ import annotations

from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Refusal, Text
from gateway.protocol.json_text import dump
from gateway.protocol.openai_chat.usage import write_usage
from gateway.protocol.openai_chat.words import write_finish
from gateway.protocol.reply import Choice, FinishReason, Reply


def encode_reply(reply: Reply, context: ReplyContext) -> bytes:
    """Text only: a refusal is text here, and thinking has no place."""
    body = envelope(context, [_encode_choice(choice) for choice in reply.choices])
    if reply.service_tier is not None:
        body["service_tier"] = reply.service_tier
    if reply.usage is not None:
        body["usage"] = write_usage(reply.usage.usage, context.extra_usage)
    return dump(body)


def envelope(context: ReplyContext, choices: list[dict[str, Any]]) -> dict[str, Any]:
    """A reply or a chunk of one: both are of the same kind here."""
    return {
        "id": context.response_id,
        "object": "text_completion",
        "created": context.created,
        "model": context.model,
        "choices": choices,
    }


def choice_object(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def finish_word(reason: FinishReason | None) -> str:
    """stop, length or content_filter."""
    word = write_finish(reason)
    return "stop" if word == "tool_calls" else word


def _encode_choice(choice: Choice) -> dict[str, Any]:
    text = "".join(part.text for part in choice.parts if isinstance(part, Text | Refusal))
    return choice_object(choice.index, text, finish_word(choice.finish))
