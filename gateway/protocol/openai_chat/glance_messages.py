"""The size of a chat request's messages and tools, where they are of the usual kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.estimate import PromptSize
from gateway.protocol.plain_fields import FLAG, OBJECT, TEXT, Kinds, are_of, is_cache_hint

_SPEAKERS = frozenset(("system", "developer", "user", "assistant"))
_ANY_CONTENT = frozenset((str, list, type(None)))
_SAID = frozenset(("role", "content", "name"))
_RESULT = frozenset(("role", "content", "name", "tool_call_id"))
# The last ones are what the official client sends back of an answer, with nothing in them.
_ANSWER = frozenset((*_SAID, "tool_calls", "reasoning_content", "annotations", "refusal", "audio", "function_call"))
_EMPTY = ("refusal", "audio", "function_call")
_CALL = frozenset(("id", "type", "function", "index"))
_FUNCTION: Kinds = {"name": frozenset((str,)), "description": TEXT, "parameters": OBJECT, "strict": FLAG}
_IMAGE: Kinds = {"url": frozenset((str,)), "detail": TEXT}


def add_messages(messages: Any, size: PromptSize) -> bool:
    """False where a message is of some other kind; its size is of no use then."""
    if type(messages) is not list:
        return False
    size.turns = len(messages)
    add = size.texts.append
    for message in messages:
        if type(message) is not dict:
            return False
        content, role = message.get("content"), message.get("role")
        if type(role) is not str:
            return False
        if type(content) is str and len(message) == 2 and role in _SPEAKERS:
            add(content)
        elif not _add_message(message, role, content, size):
            return False
    return True


def _add_message(message: Mapping[str, Any], role: str, content: Any, size: PromptSize) -> bool:
    if role == "tool":
        size.calls += 1
        if not _RESULT.issuperset(message) or type(message.get("tool_call_id")) is not str:
            return False
    elif role == "assistant":
        if not _add_answer(message, size):
            return False
    elif role not in _SPEAKERS or not _SAID.issuperset(message):
        return False
    if type(content) is str:
        size.texts.append(content)
    elif content is not None and not _add_parts(content, size):
        return False
    return "name" not in message or type(message["name"]) in TEXT


def _add_answer(message: Mapping[str, Any], size: PromptSize) -> bool:
    calls = message.get("tool_calls")
    if not _ANSWER.issuperset(message) or (calls is not None and not _add_calls(calls, size)):
        return False
    if len(message) == 3 and calls is not None and "content" in message:
        return True
    thought = message.get("reasoning_content")
    if thought is not None:
        if type(thought) is not str:
            return False
        size.texts.append(thought)
    return not message.get("annotations") and all(message.get(name) is None for name in _EMPTY)


def _add_parts(parts: Any, size: PromptSize) -> bool:
    if type(parts) is not list:
        return False
    for part in parts:
        kind = part.get("type") if type(part) is dict else None
        if kind == "text" and type(part.get("text")) is str:
            size.texts.append(part["text"])
        elif kind == "image_url" and _is_image(part.get("image_url")):
            size.images += 1
        else:
            return False
        if "cache_control" in part and not is_cache_hint(part["cache_control"]):
            return False
    return True


def _is_image(value: Any) -> bool:
    return type(value) is str or (type(value) is dict and "url" in value and are_of(value, _IMAGE))


def _add_calls(calls: Any, size: PromptSize) -> bool:
    if type(calls) is not list:
        return False
    for call in calls:
        if type(call) is not dict or not _CALL.issuperset(call) or type(call.get("id")) is not str:
            return False
        function = call.get("function")
        if type(function) is not dict or call.get("type", "function") != "function":
            return False
        name, arguments = function.get("name"), function.get("arguments")
        if type(name) is not str or type(arguments) is not str:
            return False
        size.texts.append(name)
        size.arguments.append(arguments)
    size.calls += len(calls)
    return True


def add_tools(tools: list[Any], size: PromptSize) -> bool:
    for tool in tools:
        if type(tool) is not dict or tool.get("type", "function") != "function":
            return False
        function = tool.get("function")
        if type(function) is not dict or "name" not in function or not are_of(function, _FUNCTION):
            return False
        if not is_cache_hint(tool.get("cache_control")):
            return False
        size.texts += (function["name"], function.get("description") or "")
        size.values.append(function.get("parameters") or {})
    size.tools = len(tools)
    return True
