"""Tools and the choice among them as this dialect has them: plain functions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.formats import closed
from gateway.protocol.conversation import Conversation, Tool, ToolChoice
from gateway.protocol.tool_names import as_function, flat_name


def encode_tools(conversation: Conversation, dropped: list[str], *, takes_strict: bool = True) -> dict[str, Any]:
    """The fields ``tools`` and ``tool_choice``; empty where there are no tools. ``takes_strict``: the model can be held
    to the schema of a tool."""
    own = conversation.dialect == DIALECT
    choice = conversation.tool_choice
    allowed = frozenset(choice.allowed) if choice is not None else frozenset()
    tools: list[dict[str, Any]] = []
    for tool in conversation.tools:
        if not isinstance(tool, Tool):
            if tool.origin == DIALECT:
                tools.append(dict(tool.value))
            else:
                dropped.append(f"tools[{tool.kind}]")
        elif tool.deferred and conversation.dialect != DIALECT:
            dropped.append("tools.defer_loading")
        elif not allowed or tool.name in allowed or flat_name(tool.name, tool.namespace) in allowed:
            if tool.strict and not (own or takes_strict):
                dropped.append("tools.strict")
                tool = replace(tool, strict=None)
            tools.append(_encode_tool(tool, own))
    if not tools:
        return {}
    encoded = _encode_choice(conversation)
    return {"tools": tools, "tool_choice": encoded} if encoded else {"tools": tools}


def _encode_tool(tool: Tool, own: bool) -> dict[str, Any]:
    plain = tool if tool.origin == DIALECT else as_function(tool)
    schema = plain.parameters if plain.parameters is not None else {"type": "object", "properties": {}}
    if plain.origin != DIALECT and "type" not in schema:
        schema = {"type": "object", **schema}
    if plain.strict and not own:
        # What a strict schema may hold differs between the makers.
        schema = closed(schema)
    extras = dict(plain.extras) if plain.origin == DIALECT else {}
    if plain.deferred:
        extras["defer_loading"] = True
    described = fields.without_none(
        name=plain.name, description=plain.description, input_schema=schema, strict=plain.strict or None
    )
    return {**described, **extras, **fields.cache_control(plain.cache)}


def _encode_choice(conversation: Conversation) -> dict[str, Any] | None:
    choice, parallel = conversation.tool_choice, conversation.parallel_tools
    if choice is None and parallel is not False:
        return None
    encoded: dict[str, Any] = {"type": "auto"}
    if choice is not None and choice.mode == "named":
        encoded = {"type": "tool", "name": _name_for(choice, conversation)}
    elif choice is not None:
        encoded = {"type": "any" if choice.mode == "required" else choice.mode}
    if parallel is not None and encoded["type"] != "none":
        encoded["disable_parallel_tool_use"] = not parallel
    return encoded


def _name_for(choice: ToolChoice, conversation: Conversation) -> str:
    """The name that the provider knows of the tool that the caller named."""
    name = choice.name or ""
    named = (tool for tool in conversation.tools if isinstance(tool, Tool) and tool.name == name)
    tool = next(named, None)
    return name if tool is None or tool.origin == DIALECT else flat_name(tool.name, tool.namespace)
