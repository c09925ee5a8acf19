"""A chat body as its host takes it: what is refused is renamed, rewritten or left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.protocol.conversation import ReasoningControls
from gateway.protocol.openai_chat.host_messages import fit_messages
from gateway.protocol.openai_chat.reasoning import read_controls
from gateway.protocol.quirks.controls import CONTROL_FIELDS
from gateway.protocol.quirks.quirks import ANY_CHOICE, Quirks

Body = dict[str, Any]

# Fields without an effect on the answer: left out without a word.
_SILENT = frozenset(
    (
        "store",
        "user",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "stream_options",
    )
)
# What is so without being asked for.
_ANYWAY = (
    ("n", 1),
    ("parallel_tool_calls", True),
    ("temperature", 1),
    ("top_p", 1),
    ("presence_penalty", 0),
    ("frequency_penalty", 0),
)
_OFF = ReasoningControls(enabled=False)


def fit_body(body: Body, quirks: Quirks, model: str, dropped: list[str]) -> None:
    """Changes a body that the host is known to refuse as it is; every other body stays as it was."""
    refused = _refused(quirks, model)
    if "reasoning" in refused and body.get("reasoning") is not None and quirks.controls is not None:
        _translate_controls(body, quirks, model, dropped)
    for name, other in quirks.renamed.items():
        if name in body:
            value = body.pop(name)
            body.setdefault(other, value)
    for name in sorted(refused & body.keys()):
        _leave_out(body, name, dropped)
    _fit_choice(body, quirks, dropped)
    _fit_forced(body, quirks, model, dropped)
    messages = body.get("messages")
    if isinstance(messages, list):
        body["messages"] = fit_messages(messages, quirks)


def _refused(quirks: Quirks, model: str) -> frozenset[str]:
    if not quirks.refused_by:
        return quirks.refused
    return quirks.refused.union(
        *(names for pattern, names in quirks.refused_by if re.search(pattern, model, re.IGNORECASE))
    )


def leave_ignored(body: Body, quirks: Quirks, dropped: list[str]) -> None:
    """Leaves out what the host would not heed, so that the caller is told."""
    for name in sorted(quirks.ignored & body.keys()):
        _leave_out(body, name, dropped)
    for name in quirks.added:
        body.setdefault(name, quirks.added[name])


def _leave_out(body: Body, name: str, dropped: list[str]) -> None:
    value = body.pop(name)
    if name not in _SILENT and value is not None and (name, value) not in _ANYWAY:
        dropped.append(name)


def _translate_controls(body: Body, quirks: Quirks, model: str, dropped: list[str]) -> None:
    """OpenRouter's word for reasoning in the host's own."""
    assert quirks.controls is not None
    wishes = read_controls(body)
    for name in ("reasoning", "reasoning_effort"):
        body.pop(name, None)
    written = quirks.controls(wishes, model)
    if written is None:
        dropped.append("reasoning")
    body.update(written or {})


def _fit_choice(body: Body, quirks: Quirks, dropped: list[str]) -> None:
    """A choice of tools that the host does not take, as near as it can be said by the list of tools."""
    choice = body.get("tool_choice")
    if choice is None or quirks.tool_choices == ANY_CHOICE:
        return
    mode = choice if isinstance(choice, str) else "named"
    mode = "required" if mode == "any" else mode
    tools = body.get("tools")
    if mode in quirks.tool_choices or not isinstance(tools, list):
        return
    if mode == "none":
        del body["tools"], body["tool_choice"]
        return
    if mode == "required" and len(tools) == 1 and "named" in quirks.tool_choices:
        name = _name_of(tools[0])
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
        return
    if mode == "named":
        wanted = _name_of(choice)
        body["tools"] = [tool for tool in tools if _name_of(tool) == wanted] or tools
    body["tool_choice"] = "auto"
    dropped.append("tool_choice")


def _name_of(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None


def _fit_forced(body: Body, quirks: Quirks, model: str, dropped: list[str]) -> None:
    """Where a tool cannot be forced while the model thinks, thinking gives way; else the force does."""
    choice = body.get("tool_choice")
    if not quirks.forced_while_thinking or choice in (None, "auto", "none"):
        return
    if not re.search(quirks.forced_while_thinking, model, re.IGNORECASE):
        return
    off = quirks.controls(_OFF, model) if quirks.controls is not None else None
    if off is None:
        body["tool_choice"] = "auto"
        dropped.append("tool_choice")
        return
    _switch_off(body, off, dropped)


def _switch_off(body: Body, off: Mapping[str, Any], dropped: list[str]) -> None:
    if all(body.get(name) == value for name, value in off.items()):
        return
    for name in sorted(CONTROL_FIELDS & body.keys()):
        del body[name]
        dropped.append(name)
    body.update(off)


def fit_history(body: Body, quirks: Quirks, model: str, dropped: list[str]) -> None:
    """Earlier tool calls whose reasoning must come back and is not there (another model made them).

    Thinking is switched off where none of them has any; made-up reasoning would be taken up by the model. Where only
    some lack it, or the model always thinks, a blank stands in.
    """
    if quirks.reasoning_back != "with_tools" or not body.get("tools"):
        return
    calls = [message for message in _messages(body) if message.get("tool_calls")]
    bare = [message for message in calls if not message.get(quirks.reasoning_field)]
    if not bare:
        return
    off = quirks.controls(_OFF, model) if quirks.controls is not None else None
    if len(bare) == len(calls) and off:
        _switch_off(body, off, dropped)
        return
    if off and all(body.get(name) == value for name, value in off.items()):
        return
    body["messages"] = [
        {**message, quirks.reasoning_field: " "} if any(message is item for item in bare) else message
        for message in body["messages"]
    ]


def _messages(body: Body) -> Sequence[dict[str, Any]]:
    messages = body.get("messages")
    return [item for item in messages if isinstance(item, dict)] if isinstance(messages, list) else []
