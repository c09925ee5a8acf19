"""Output items, from a provider and for a caller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.protocol.codec import ReplyContext
from gateway.protocol.conversation import Citation, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gateway.protocol.json_text import dump_text
from gateway.protocol.openai_responses.content import DIALECT, read_citations, write_citation
from gateway.protocol.openai_responses.reasoning import read_item, write_item

Item = dict[str, Any]


def string(source: Mapping[str, Any], name: str) -> str:
    """The field if it is text, else ""."""
    value = source.get(name)
    return value if isinstance(value, str) else ""


def read_output(items: Sequence[Any]) -> Iterator[Part]:
    for item in items:
        if isinstance(item, Mapping):
            yield from _read_item(item)


def _read_item(item: Mapping[str, Any]) -> Iterator[Part]:
    kind = string(item, "type")
    if kind == "message":
        yield from _read_message(item)
    elif kind in ("function_call", "custom_tool_call"):
        yield read_call(item)
    elif kind == "reasoning":
        piece = read_item(item)
        if piece is not None and piece != Reasoning():
            yield piece
    elif kind:
        yield Opaque(origin=DIALECT, kind=kind, value=item)


def _read_message(item: Mapping[str, Any]) -> Iterator[Part]:
    content = item.get("content")
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, Mapping):
            continue
        if part.get("type") == "refusal":
            yield Refusal(string(part, "refusal"))
        elif isinstance(part.get("text"), str):
            yield Text(part["text"], citations=read_citations(part.get("annotations")))


def read_call(item: Mapping[str, Any]) -> ToolCall:
    custom = item.get("type") == "custom_tool_call"
    return ToolCall(
        id=string(item, "call_id") or string(item, "id"),
        name=string(item, "name"),
        arguments=string(item, "input") if custom else arguments_text(item.get("arguments")),
        custom=custom,
        namespace=string(item, "namespace"),
    )


def arguments_text(value: Any) -> str:
    """Arguments are text; some hosts send the object itself."""
    if isinstance(value, Mapping):
        return dump_text(value)
    return value if isinstance(value, str) else ""


def item_id(context: ReplyContext, kind: str, index: int) -> str:
    """The id of an item of ours: the same for the same answer."""
    return f"{kind}_{context.response_id}_{index}"


def made_up_call_id(context: ReplyContext, index: int) -> str:
    """An id for a call whose provider gave none: the caller needs one to answer it."""
    return f"call_{context.response_id}_{index}"


def text_part(text: str, citations: Sequence[Citation] = ()) -> Item:
    found = [write_citation(citation, text) for citation in citations]
    return {
        "type": "output_text",
        "text": text,
        "annotations": [citation for citation in found if citation is not None],
        "logprobs": [],
    }


def refusal_part(text: str) -> Item:
    return {"type": "refusal", "refusal": text}


def message_item(item: str, content: list[Item], status: str) -> Item:
    return {"id": item, "type": "message", "status": status, "role": "assistant", "content": content}


def call_item(item: str, call: ToolCall, call_id: str, status: str) -> Item:
    named: Item = {"call_id": call_id, "name": call.name}
    if call.namespace:
        named["namespace"] = call.namespace
    if call.custom:
        return {"id": item, "type": "custom_tool_call", "status": status, **named, "input": call.arguments}
    # Clients parse the text: no arguments are an empty object, unless they were cut before they began.
    arguments = call.arguments or ("{}" if status == "completed" else "")
    return {"id": item, "type": "function_call", "status": status, **named, "arguments": arguments}


def write_output(parts: Sequence[Part], context: ReplyContext, status: str) -> list[Item]:
    """The items of a whole answer; ``status`` is that of the last one."""
    items: list[Item] = []
    for order, part in enumerate(parts):
        ending = status if order == len(parts) - 1 else "completed"
        content = _content(part)
        if content is not None and items and items[-1]["type"] == "message":
            items[-1]["content"].append(content)
        elif content is not None:
            items.append(message_item(item_id(context, "msg", len(items)), [content], "completed"))
        else:
            items.extend(_made(part, context, len(items), ending))
    if items and items[-1]["type"] == "message":
        items[-1]["status"] = status
    return items


def _content(part: Part) -> Item | None:
    if isinstance(part, Text) and part.text:
        return text_part(part.text, part.citations)
    return refusal_part(part.text) if isinstance(part, Refusal) and part.text else None


def _made(part: Part, context: ReplyContext, index: int, status: str) -> Iterator[Item]:
    if isinstance(part, ToolCall):
        kind = "ctc" if part.custom else "fc"
        call_id = part.id or made_up_call_id(context, index)
        yield call_item(item_id(context, kind, index), part, call_id, status)
    elif isinstance(part, Reasoning):
        own_id = part.id if part.origin == DIALECT else ""
        yield write_item(part, own_id or item_id(context, "rs", index))
    elif isinstance(part, Opaque) and part.origin == DIALECT:
        yield dict(part.value)
