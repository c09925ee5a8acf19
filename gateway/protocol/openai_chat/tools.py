"""Tools, tool choice and response format of a chat request, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gateway.protocol import fields
from gateway.protocol.conversation import (
    NOTHING,
    ForeignTool,
    JsonObject,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from gateway.protocol.problem import invalid

DIALECT = "openai_chat"
_FUNCTION_FIELDS = frozenset(("name", "description", "parameters", "strict"))


def decode_tools(body: JsonObject) -> tuple[Tool | ForeignTool, ...]:
    tools: list[Tool | ForeignTool] = []
    for index, item in enumerate(fields.objects(body, "tools")):
        where = f"tools[{index}]."
        kind = fields.text(item, "type", where) or "function"
        function = fields.obj(item, "function", where)
        if kind != "function" or function is None:
            tools.append(ForeignTool(origin=DIALECT, kind=kind, value=item))
        else:
            tools.append(_decode_function(function, where + "function.", fields.cache_lifetime(item, where)))
    for index, function in enumerate(fields.objects(body, "functions")):
        tools.append(_decode_function(function, f"functions[{index}].", None))
    return tuple(tools)


def _decode_function(function: JsonObject, where: str, cache: str | None) -> Tool:
    extras = fields.rest(function, _FUNCTION_FIELDS)
    return Tool(
        name=fields.required_text(function, "name", where),
        description=fields.text(function, "description", where),
        parameters=fields.obj(function, "parameters", where),
        strict=fields.flag(function, "strict", where),
        cache=cache,
        extras=extras,
        origin=DIALECT if extras else "",
    )


def encode_tools(tools: Sequence[Tool | ForeignTool], dropped: list[str]) -> list[dict[str, Any]]:
    encoded: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, ForeignTool):
            if tool.origin == DIALECT:
                encoded.append(dict(tool.value))
            else:
                dropped.append(f"tools.{tool.kind}")
        elif tool.origin not in ("", DIALECT) and tool.extras.get("defer_loading"):
            # A placeholder that only the caller's own provider would fill in.
            dropped.append("tools.defer_loading")
        else:
            encoded.append(_encode_function(tool))
    return encoded


def _encode_function(tool: Tool) -> dict[str, Any]:
    own = tool.origin in ("", DIALECT)
    parameters = tool.parameters
    if parameters is not None and not own:
        parameters = {name: value for name, value in parameters.items() if name != "$schema"}
    function = fields.without_none(
        name=tool.name, description=tool.description, parameters=parameters, strict=tool.strict
    )
    if own:
        function.update(tool.extras)
        return {"type": "function", "function": function, **fields.cache_control(tool.cache)}
    return {"type": "function", "function": function}


# "any" is Mistral's word.
_MODES: dict[str, Literal["auto", "none", "required"]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}


def decode_choice(body: JsonObject) -> ToolChoice | None:
    """None for no choice, and for choices of other shapes, which stay among the extras."""
    name = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise invalid(f"'{name}' is not a known choice.", param=name, code="invalid_value")
        return ToolChoice(_MODES[value])
    choice = fields.obj(body, name) or NOTHING
    if name == "tool_choice":
        if choice.get("type") != "function":
            return None
        choice = fields.obj(choice, "function", "tool_choice.") or NOTHING
    return ToolChoice("named", fields.required_text(choice, "name", f"{name}."))


def encode_choice(choice: ToolChoice) -> Any:
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def decode_format(body: JsonObject) -> ResponseFormat | None:
    value = fields.obj(body, "response_format")
    if value is None:
        return None
    kind = fields.required_text(value, "type", "response_format.")
    if kind == "text":
        return ResponseFormat("text")
    if kind == "json_object":
        return ResponseFormat("json_object")
    if kind != "json_schema":
        return None
    where = "response_format.json_schema."
    inner = fields.obj(value, "json_schema", "response_format.") or NOTHING
    return ResponseFormat(
        "json_schema",
        name=fields.text(inner, "name", where),
        schema=fields.obj(inner, "schema", where),
        strict=fields.flag(inner, "strict", where),
        description=fields.text(inner, "description", where),
    )


def encode_format(wish: ResponseFormat) -> dict[str, Any]:
    if wish.kind != "json_schema":
        return {"type": wish.kind}
    inner = fields.without_none(
        name=wish.name or "answer", schema=wish.schema, strict=wish.strict, description=wish.description
    )
    return {"type": "json_schema", "json_schema": inner}
