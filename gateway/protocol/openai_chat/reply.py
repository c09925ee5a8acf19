"""Whole chat replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Citation, JsonObject, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.json_text import dump, load_reply, unreadable_reply
from gateway.protocol.openai_chat.citations import read_annotations, read_sources, shifted, write_annotations
from gateway.protocol.openai_chat.messages import DIALECT, thinking_text
from gateway.protocol.openai_chat.reasoning import beside_calls, read_reasoning, write_reasoning
from gateway.protocol.openai_chat.usage import usage_in_body, write_usage
from gateway.protocol.openai_chat.words import read_finish, write_finish
from gateway.protocol.reply import Choice, Reply
from gateway.protocol.tool_names import ToolNames


def string(source: Mapping[str, Any], name: str) -> str:
    """The field if it is text, else ""."""
    value = source.get(name)
    return value if isinstance(value, str) else ""


def decode_reply(body: bytes) -> Reply:
    source = load_reply(body)
    choices = source.get("choices")
    if not isinstance(choices, list):
        raise unreadable_reply()
    sources = read_sources(source)
    return Reply(
        choices=tuple(
            _decode_choice(item, order, sources) for order, item in enumerate(choices) if isinstance(item, dict)
        ),
        usage=usage_in_body(source),
        upstream_id=string(source, "id"),
        upstream_model=string(source, "model"),
        service_tier=string(source, "service_tier") or None,
    )


def _decode_choice(item: JsonObject, order: int, sources: Sequence[Citation]) -> Choice:
    message = item.get("message")
    message = message if isinstance(message, dict) else {}
    calls = read_calls(message)
    content = list(_content_parts(message))
    cite(content, read_annotations(message.get("annotations")) or (sources if order == 0 else ()))
    if string(message, "refusal"):
        content.append(Refusal(string(message, "refusal")))
    native = string(item, "finish_reason")
    index = item.get("index")
    return Choice(
        index=index if type(index) is int else order,
        parts=beside_calls(read_reasoning(message), [*content, *calls]),
        finish=read_finish(native, has_calls=bool(calls)) if native else None,
        native_finish=native,
    )


def cite(content: list[Part], citations: Sequence[Citation]) -> None:
    """Puts a message's citations on its last text."""
    places = [place for place, part in enumerate(content) if isinstance(part, Text)]
    if citations and places:
        text = content[places[-1]]
        assert isinstance(text, Text)
        content[places[-1]] = replace(text, citations=tuple(citations))


def _content_parts(message: JsonObject) -> Sequence[Part]:
    content = message.get("content")
    if isinstance(content, str):
        return (Text(content),) if content else ()
    if not isinstance(content, list):
        return ()
    return [content_part(item) for item in content if isinstance(item, dict)]


def content_part(item: JsonObject) -> Part:
    if item.get("type") == "thinking":
        return Reasoning(text=thinking_text(item), origin=DIALECT)
    if isinstance(item.get("text"), str):
        return Text(item["text"])
    return Opaque(origin=DIALECT, kind=string(item, "type"), value=item)


def read_calls(message: JsonObject) -> list[ToolCall]:
    calls: list[ToolCall] = []
    listed = message.get("tool_calls")
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict):
            continue
        function, custom = item.get("function"), item.get("custom")
        if isinstance(function, dict):
            calls.append(ToolCall(string(item, "id"), string(function, "name"), string(function, "arguments")))
        elif isinstance(custom, dict):
            call = ToolCall(string(item, "id"), string(custom, "name"), string(custom, "input"), custom=True)
            calls.append(call)
    legacy = message.get("function_call")
    if isinstance(legacy, dict):
        calls.append(ToolCall("", string(legacy, "name"), string(legacy, "arguments")))
    return calls


def encode_reply(reply: Reply, context: ReplyContext) -> bytes:
    body: dict[str, Any] = {
        "id": context.response_id,
        "object": "chat.completion",
        "created": context.created,
        "model": context.model,
        "choices": [_encode_choice(choice, context) for choice in reply.choices],
    }
    if reply.service_tier is not None:
        body["service_tier"] = reply.service_tier
    if reply.usage is not None:
        body["usage"] = write_usage(reply.usage.usage, context.extra_usage)
    return dump(body)


def _encode_choice(choice: Choice, context: ReplyContext) -> dict[str, Any]:
    names = ToolNames.of(context.conversation)
    text = [part.text for part in choice.parts if isinstance(part, Text)]
    refusal = "".join(part.text for part in choice.parts if isinstance(part, Refusal))
    parts = _with_ids(choice, context)
    calls = [names.restore(part) for part in parts if isinstance(part, ToolCall)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(text) if text else None}
    message["refusal"] = refusal or None
    annotations = _annotations(choice)
    if annotations:
        message["annotations"] = annotations
    message.update(write_reasoning(parts))
    if calls:
        message["tool_calls"] = [_encode_call(call) for call in calls]
    finish = write_finish(choice.finish, has_calls=bool(calls), has_refusal=bool(refusal))
    return {"index": choice.index, "message": message, "logprobs": None, "finish_reason": finish}


def _with_ids(choice: Choice, context: ReplyContext) -> list[Part]:
    """The parts, every call with an id: the caller needs one to answer it."""
    parts: list[Part] = []
    calls = 0
    for part in choice.parts:
        if isinstance(part, ToolCall):
            part = part if part.id else replace(part, id=made_up_id(context, calls))
            calls += 1
        parts.append(part)
    return parts


def _annotations(choice: Choice) -> list[dict[str, Any]]:
    """Those of all texts; their places count from the beginning of the whole."""
    citations: list[Citation] = []
    length = 0
    for part in choice.parts:
        if isinstance(part, Text):
            citations.extend(shifted(part.citations, length))
            length += len(part.text)
    return write_annotations(citations)


def _encode_call(call: ToolCall) -> dict[str, Any]:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def made_up_id(context: ReplyContext, order: int, choice: int = 0) -> str:
    """An id for a call whose provider gave none: the caller needs one to answer it."""
    return f"call_{context.response_id}_{choice}_{order}" if choice else f"call_{context.response_id}_{order}"
