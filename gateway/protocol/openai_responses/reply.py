"""Whole Responses replies."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Part, Refusal, ToolCall
from gateway.protocol.json_text import dump, load_reply, unreadable_reply
from gateway.protocol.openai_responses.output import read_output, string, write_output
from gateway.protocol.openai_responses.response_object import response_object, status_of
from gateway.protocol.openai_responses.usage import count_searches, read_usage
from gateway.protocol.openai_responses.words import REFUSED, is_refused, native_finish, read_finish
from gateway.protocol.reply import Choice, Reply
from gateway.protocol.tool_names import ToolNames


def decode_reply(body: bytes) -> Reply:
    source = load_reply(body)
    output = source.get("output")
    if not isinstance(output, list) or source.get("status") == "failed":
        raise unreadable_reply()
    parts = tuple(read_output(output))
    native = native_finish(source)
    finish = read_finish(
        native,
        has_calls=any(isinstance(part, ToolCall) for part in parts),
        has_refusal=any(isinstance(part, Refusal) for part in parts),
    )
    return Reply(
        choices=(Choice(index=0, parts=parts, finish=finish if native else None, native_finish=native),),
        usage=read_usage(source.get("usage"), count_searches(output)),
        upstream_id=string(source, "id"),
        upstream_model=string(source, "model"),
        service_tier=string(source, "service_tier") or None,
    )


def encode_reply(reply: Reply, context: ReplyContext) -> bytes:
    """One response from the first choice; this dialect has no others."""
    choice = reply.choices[0] if reply.choices else Choice(0, (), None)
    names = ToolNames.of(context.conversation)
    parts: Sequence[Part] = [names.restore(part) if isinstance(part, ToolCall) else part for part in choice.parts]
    if is_refused(choice.finish) and not any(isinstance(part, Refusal) for part in parts):
        parts = [*parts, Refusal(REFUSED)]
    status = status_of(choice.finish)
    output = write_output(parts, context, status)
    return dump(response_object(context, status, output, usage=reply.usage, tier=reply.service_tier))
