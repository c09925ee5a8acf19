"""The messages of a chat body as their host takes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.protocol.quirks.quirks import Quirks

Message = dict[str, Any]
_SYSTEM = ("system", "developer")


def fit_messages(messages: Sequence[Any], quirks: Quirks) -> list[Any]:
    """New messages where something had to change; the others are the caller's own objects."""
    fitted = [_fit_message(message, quirks) for message in messages]
    if quirks.system_place != "anywhere":
        fitted = _lead_with_system(fitted, once=quirks.system_place == "once")
    if quirks.after_results:
        fitted = _bridged(fitted, quirks.after_results)
    return _take_turns(fitted) if quirks.alternating else fitted


def _fit_message(message: Any, quirks: Quirks) -> Any:
    if not isinstance(message, dict):
        return message
    changed = message
    if not quirks.developer_role and message.get("role") == "developer":
        changed = {**changed, "role": "system"}
    if quirks.refused_in_messages & changed.keys():
        changed = _without_refused(changed, quirks)
    if quirks.call_id is not None:
        changed = _with_ids(changed, quirks.call_id)
    return changed


def _without_refused(message: Message, quirks: Quirks) -> Message:
    """Reasoning that has another name at this host goes on under it."""
    kept = {name: value for name, value in message.items() if name not in quirks.refused_in_messages}
    text = message.get("reasoning_content") or message.get("reasoning")
    if quirks.reasoning_field == "reasoning" and isinstance(text, str) and text:
        kept.setdefault("reasoning", text)
    refusal = message.get("refusal")
    if "refusal" in quirks.refused_in_messages and isinstance(refusal, str) and refusal and not kept.get("content"):
        kept["content"] = refusal
    return kept


def _with_ids(message: Message, call_id: Callable[[str], str]) -> Message:
    changed = message
    if isinstance(message.get("tool_call_id"), str):
        changed = {**changed, "tool_call_id": call_id(message["tool_call_id"])}
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        changed = {**changed, "tool_calls": [_with_id(call, call_id) for call in calls]}
    return changed


def _with_id(call: Any, call_id: Callable[[str], str]) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("id"), str):
        return call
    return {**call, "id": call_id(call["id"])}


def _lead_with_system(messages: list[Any], *, once: bool) -> list[Any]:
    """System messages before all others, joined into one where only one is taken; later ones are said by the user."""
    leading = 0
    while leading < len(messages) and _role(messages[leading]) in _SYSTEM:
        leading += 1
    head = messages[:leading]
    if once and leading > 1:
        text = "\n\n".join(text_of(message.get("content")) for message in head)
        head = [{**head[0], "content": text}]
    return head + [_as_reminder(message) for message in messages[leading:]]


def _as_reminder(message: Any) -> Any:
    if _role(message) not in _SYSTEM:
        return message
    text = text_of(message.get("content"))
    return {"role": "user", "content": f"<system-reminder>\n{text}\n</system-reminder>"}


def _bridged(messages: list[Any], text: str) -> list[Any]:
    bridged: list[Any] = []
    for message in messages:
        if bridged and _role(message) == "user" and _role(bridged[-1]) == "tool":
            bridged.append({"role": "assistant", "content": text})
        bridged.append(message)
    return bridged


def _take_turns(messages: list[Any]) -> list[Any]:
    """Neighbours of one role become one message."""
    joined: list[Any] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and _role(message) == _role(last) and _role(message) in ("user", "assistant"):
            joined[-1] = {**last, "content": _joined(last.get("content"), message.get("content"))}
        else:
            joined.append(message)
    return joined


def _joined(first: Any, second: Any) -> Any:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}" if first and second else first or second
    return [*_as_parts(first), *_as_parts(second)]


def _as_parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def _role(message: Any) -> Any:
    return message.get("role") if isinstance(message, Mapping) else None


def text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = [part.get("text") for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    return "\n\n".join(text for text in texts if isinstance(text, str))
