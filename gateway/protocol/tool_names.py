"""Tools that a dialect has no form for, as functions that it has; and their calls back again.

A custom tool (free text, perhaps by a grammar) becomes a function with one string, its grammar told in the
description. A tool in a namespace becomes a function called ``namespace__name``. Names are cut to what every
provider takes: 64 letters, digits, ``_`` and ``-``.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from gateway.protocol.conversation import Conversation, ForeignTool, Tool, ToolCall
from gateway.protocol.json_text import dump_text, load_lenient
from gateway.protocol.reply import StreamEvent, ToolCallDelta, UsageSeen

LONGEST_NAME = 64
INPUT = "input"
CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {INPUT: {"type": "string", "description": "The whole input of the tool, as free text."}},
    "required": [INPUT],
    "additionalProperties": False,
}
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def flat_name(name: str, namespace: str = "") -> str:
    """The name under which every provider accepts this tool; the same tool has the same name in every request."""
    whole = f"{namespace}__{name}" if namespace else name
    flat = _ODD.sub("_", whole)
    if len(flat) <= LONGEST_NAME and (flat == whole or namespace):
        return flat
    # What was cut or replaced may have told two tools apart.
    return f"{flat[: LONGEST_NAME - 9]}_{zlib.crc32(whole.encode('utf-8', 'replace')):08x}"


def as_function(tool: Tool) -> Tool:
    """The tool as a plain function without a namespace."""
    name = flat_name(tool.name, tool.namespace)
    if tool.custom is None:
        return replace(tool, name=name, namespace="")
    description = tool.description or ""
    if tool.custom.definition:
        rule = f"The input must follow this {tool.custom.syntax} grammar:\n{tool.custom.definition}"
        description = f"{description}\n\n{rule}" if description else rule
    return replace(
        tool, name=name, namespace="", description=description or None, parameters=CUSTOM_SCHEMA, custom=None
    )


def call_as_function(call: ToolCall) -> ToolCall:
    """The call as a call of ``as_function`` of its tool."""
    arguments = dump_text({INPUT: call.arguments}) if call.custom else call.arguments
    return replace(call, name=flat_name(call.name, call.namespace), namespace="", arguments=arguments, custom=False)


def free_text(arguments: str) -> str:
    """The free text in a function call's arguments; the arguments themselves where the model kept to no schema."""
    value = load_lenient(arguments)
    text = value.get(INPUT) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


class ToolNames:
    """The tools of a request by the flat names under which a provider knows them."""

    def __init__(self, tools: Iterable[Tool | ForeignTool] = ()) -> None:
        self._tools = {flat_name(tool.name, tool.namespace): tool for tool in tools if isinstance(tool, Tool)}

    @classmethod
    def of(cls, conversation: Conversation | None) -> ToolNames:
        return cls(conversation.tools if conversation is not None else ())

    def find(self, flat: str | None) -> Tool | None:
        """The caller's tool; None for a plain function or an unknown name, which need no way back."""
        tool = self._tools.get(flat or "")
        if tool is None or (tool.custom is None and not tool.namespace and tool.name == flat):
            return None
        return tool

    def restore(self, call: ToolCall) -> ToolCall:
        """A provider's call in the caller's own form."""
        tool = None if call.custom or call.namespace else self.find(call.name)
        if tool is None:
            return call
        custom = tool.custom is not None
        arguments = free_text(call.arguments) if custom else call.arguments
        return replace(call, name=tool.name, namespace=tool.namespace, arguments=arguments, custom=custom)


class CallRestorer:
    """``ToolNames.restore`` for a stream.

    The free text of a custom tool comes in one piece, after the last call of the answer or before what follows it;
    calls after it wait too, since callers run them in the order in which they come.
    """

    def __init__(self, names: ToolNames) -> None:
        self._names = names
        # (choice, index) -> a call whose arguments are still being collected, in the order of the calls.
        self._waiting: dict[tuple[int, int], ToolCallDelta] = {}

    def feed(self, event: StreamEvent) -> Iterator[StreamEvent]:
        if not isinstance(event, ToolCallDelta):
            if not isinstance(event, UsageSeen):
                yield from self.flush()
            yield event
            return
        key = (event.choice, event.index)
        if key in self._waiting:
            first = self._waiting[key]
            self._waiting[key] = replace(first, arguments=first.arguments + event.arguments)
            return
        tool = self._names.find(event.name) if event.name and not event.custom and not event.namespace else None
        if tool is not None:
            event = replace(event, name=tool.name, namespace=tool.namespace, custom=tool.custom is not None)
        if (event.custom and tool is not None) or (self._waiting and event.name and not event.custom):
            self._waiting[key] = event
        else:
            yield event

    def flush(self) -> Iterator[StreamEvent]:
        """What is still being collected; for the end of a stream."""
        waiting, self._waiting = self._waiting, {}
        for delta in waiting.values():
            yield replace(delta, arguments=free_text(delta.arguments)) if delta.custom else delta
