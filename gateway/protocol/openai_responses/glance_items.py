"""The size of a Responses request's input items and tools, where they are of the usual kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.envelope import PREFIX
from gateway.protocol.estimate import PromptSize
from gateway.protocol.plain_fields import FLAG, OBJECT, TEXT, Kinds, are_of

_ROLES = frozenset(("user", "assistant", "system", "developer"))
_TEXTS = frozenset(("input_text", "output_text", "text"))
_TOOL: Kinds = {
    "name": frozenset((str,)),
    "description": TEXT,
    "parameters": OBJECT,
    "strict": FLAG,
    "defer_loading": FLAG,
}
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = frozenset(("function_call_output", "custom_tool_call_output"))
# Decoded: some hold tools, some name what is stored elsewhere, some are unknown here.
_OPAQUE = frozenset(("web_search_call", "file_search_call", "computer_call", "mcp_call", "mcp_list_tools"))


def add_input(value: Any, size: PromptSize) -> bool:
    """False where an item is of some other kind; its size is of no use then."""
    if type(value) is str:
        size.turns += 1
        size.texts.append(value)
        return True
    if type(value) is not list:
        return False
    side = ""  # what the model said and did is one turn, and so are the results after it
    for item in value:
        if type(item) is not dict:
            return False
        kind = item.get("type")
        if type(kind) not in TEXT:
            return False
        kind = kind or ("message" if "role" in item else "")
        if kind == "message":
            before, side = side, _add_message(item, size)
        else:
            before, side = side, _add_item(item, kind, size)
        if not side:
            return False
        if side != before or side == "user":
            size.turns += 1
    return True


def _add_message(item: Mapping[str, Any], size: PromptSize) -> str:
    """Whose turn it is; "" for one of some other kind."""
    role = item.get("role")
    if type(role) is not str or role not in _ROLES or not _add_content(item.get("content"), size):
        return ""
    return "assistant" if role == "assistant" else "user"


def _add_item(item: Mapping[str, Any], kind: str, size: PromptSize) -> str:
    if kind in _CALLS:
        return _add_call(item, item.get(_CALLS[kind]), size)
    if kind in _RESULTS:
        size.calls += 1
        is_usual = type(item.get("call_id")) is str and _add_content(item.get("output"), size)
        return "tool" if is_usual else ""
    if kind == "reasoning":
        return _add_reasoning(item, size)
    size.values.append(item)
    return "assistant" if kind in _OPAQUE else ""


def _add_call(call: Mapping[str, Any], arguments: Any, size: PromptSize) -> str:
    name = call.get("name")
    if type(call.get("call_id")) is not str or type(name) is not str or type(call.get("namespace")) not in TEXT:
        return ""
    if type(arguments) not in TEXT:
        return ""
    size.calls += 1
    size.texts.append(name)
    size.arguments.append(arguments or "")
    return "assistant"


def _add_reasoning(item: Mapping[str, Any], size: PromptSize) -> str:
    """Its maker's own; our seals, and what is only a name for something stored, have to be changed."""
    token, summary = item.get("encrypted_content"), item.get("summary")
    if type(token) is not str or not token or token.startswith(PREFIX) or item.get("content"):
        return ""
    if type(item.get("id")) not in TEXT or type(summary) is not list:
        return ""
    size.texts.append(token)
    for part in summary:
        text = part.get("text") if type(part) is dict else None
        if type(text) is not str:
            return ""
        size.texts.append(text)
    return "assistant"


def _add_content(content: Any, size: PromptSize) -> bool:
    if type(content) is str:
        size.texts.append(content)
        return True
    if type(content) is not list:
        return False
    for part in content:
        kind = part.get("type") if type(part) is dict else None
        if type(kind) is not str or "prompt_cache_breakpoint" in part:
            return False
        if kind in _TEXTS and type(part.get("text")) is str:
            size.texts.append(part["text"])
        elif kind == "input_image" and type(part.get("image_url")) is str and type(part.get("detail")) in TEXT:
            size.images += 1
        else:
            return False
    return True


def add_tools(tools: list[Any], size: PromptSize) -> bool:
    for tool in tools:
        kind = tool.get("type") if type(tool) is dict else None
        if type(kind) is not str or kind in ("custom", "namespace"):
            return False
        if kind != "function":
            size.values.append(tool)
            continue
        if "name" not in tool or not are_of(tool, _TOOL):
            return False
        size.texts += (tool["name"], tool.get("description") or "")
        size.values.append(tool.get("parameters") or {})
    size.tools = len(tools)
    return True
