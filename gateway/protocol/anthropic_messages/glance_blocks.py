"""The size of a Messages request's messages and tools, where they are of the usual kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.envelope import PREFIX
from gateway.protocol.estimate import PromptSize
from gateway.protocol.plain_fields import FLAG, OBJECT, TEXT, Kinds, are_of, is_cache_hint

_ROLES = frozenset(("user", "assistant", "system"))
_TOOL: Kinds = {
    "name": frozenset((str,)),
    "description": TEXT,
    "input_schema": OBJECT,
    "strict": FLAG,
    "defer_loading": FLAG,
}
_DECODED = frozenset(("document",))


def add_messages(messages: Any, size: PromptSize) -> bool:
    """False where a message is of some other kind; its size is of no use then."""
    if type(messages) is not list:
        return False
    size.turns += len(messages)
    for message in messages:
        if type(message) is not dict:
            return False
        content, role = message.get("content"), message.get("role")
        if type(role) is not str or role not in _ROLES:
            return False
        if type(content) is str:
            size.texts.append(content)
        elif content is not None and not add_blocks(content, size):
            return False
    return True


def add_blocks(blocks: Any, size: PromptSize) -> bool:
    if type(blocks) is not list:
        return False
    for block in blocks:
        kind = block.get("type") if type(block) is dict else None
        if type(kind) is not str or ("cache_control" in block and not is_cache_hint(block["cache_control"])):
            return False
        if kind == "text":
            text = block.get("text")
            # Citations of ours have to be taken out.
            if type(text) is not str or "citations" in block:
                return False
            size.texts.append(text)
        elif not _add_block(block, kind, size):
            return False
    return True


def _add_block(block: Mapping[str, Any], kind: str, size: PromptSize) -> bool:
    if kind == "tool_use":
        return _add_call(block, size)
    if kind == "tool_result":
        return _add_result(block, size)
    if kind == "thinking":
        return _add_thinking(block, size)
    if kind == "redacted_thinking":
        size.texts.append(block.get("data") or "")
        return type(block.get("data")) is str
    if kind == "image":
        size.images += 1
        return _is_image(block.get("source"))
    size.values.append(block)
    return kind not in _DECODED and "citations" not in block


def _add_call(call: Mapping[str, Any], size: PromptSize) -> bool:
    name, given = call.get("name"), call.get("input")
    if type(call.get("id")) is not str or type(name) is not str or type(given) is not dict:
        return False
    size.calls += 1
    size.texts.append(name)
    size.values.append(given)
    return "citations" not in call


def _add_result(result: Mapping[str, Any], size: PromptSize) -> bool:
    if type(result.get("tool_use_id")) is not str or type(result.get("is_error")) not in FLAG:
        return False
    size.calls += 1
    content = result.get("content")
    if type(content) is str:
        size.texts.append(content)
        return True
    return content is None or add_blocks(content, size)


def _add_thinking(block: Mapping[str, Any], size: PromptSize) -> bool:
    """Signed by its maker; our own seals, and what nobody signed, have to be changed."""
    text, signature = block.get("thinking"), block.get("signature")
    if type(text) is not str or type(signature) is not str or not signature or signature.startswith(PREFIX):
        return False
    size.texts.append(text)
    return True


def _is_image(source: Any) -> bool:
    if type(source) is not dict or type(source.get("media_type")) not in TEXT:
        return False
    form = source.get("type")
    return (form == "url" and type(source.get("url")) is str) or (form == "base64" and type(source.get("data")) is str)


def add_tools(tools: list[Any], size: PromptSize) -> bool:
    for tool in tools:
        if type(tool) is not dict:
            return False
        kind = tool.get("type")
        if type(kind) not in TEXT:
            return False
        if (kind or "custom") != "custom":
            size.values.append(tool)
            continue
        if "name" not in tool or not are_of(tool, _TOOL) or not is_cache_hint(tool.get("cache_control")):
            return False
        size.texts += (tool["name"], tool.get("description") or "")
        size.values.append(tool.get("input_schema") or {})
    size.tools = len(tools)
    return True
