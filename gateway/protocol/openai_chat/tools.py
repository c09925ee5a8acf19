"""Tools, tool choice and response format of a chat request, in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gateway.protocol import fields
from gateway.protocol.conversation import (
    NOTHING,
    CustomFormat,
    ForeignTool,
    JsonObject,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from gateway.protocol.problem import invalid
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.tool_names import as_function, flat_name

DIALECT = "openai_chat"
_FUNCTION_FIELDS = frozenset(("name", "description", "parameters", "strict"))


def decode_tools(body: JsonObject) -> tuple[Tool | ForeignTool, ...]:
    tools: list[Tool | ForeignTool] = []
    for index, item in enumerate(fields.objects(body, "tools")):
        tools.append(_decode_tool(item, f"tools[{index}]."))
    for index, function in enumerate(fields.objects(body, "functions")):
        tools.append(_decode_function(function, f"functions[{index}].", None))
    return tuple(tools)


def _decode_tool(item: JsonObject, where: str) -> Tool | ForeignTool:
    kind = fields.text(item, "type", where) or "function"
    inner = fields.obj(item, kind, where) if kind in ("function", "custom") else None
    if inner is None:
        return ForeignTool(origin=DIALECT, kind=kind, value=item)
    cache = fields.cache_lifetime(item, where)
    if kind == "custom":
        return _decode_custom(inner, where + "custom.", cache)
    return _decode_function(inner, where + "function.", cache)


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


def _decode_custom(inner: JsonObject, where: str, cache: str | None) -> Tool:
    wish = fields.obj(inner, "format", where) or NOTHING
    grammar = fields.obj(wish, "grammar", where + "format.") or NOTHING
    where_grammar = where + "format.grammar."
    syntax = fields.text(grammar, "syntax", where_grammar) or "text"
    definition = fields.text(grammar, "definition", where_grammar) or ""
    return Tool(
        name=fields.required_text(inner, "name", where),
        description=fields.text(inner, "description", where),
        cache=cache,
        custom=CustomFormat(syntax, definition),
    )


def encode_tools(
    tools: Sequence[Tool | ForeignTool],
    dropped: list[str],
    quirks: Quirks = STANDARD,
    allowed: Sequence[str] = (),
    *,
    own: bool = True,
) -> list[dict[str, Any]]:
    """``allowed`` narrows the list for hosts that have no field for it; empty for all tools. ``own``: the caller
    spoke chat."""
    encoded: list[dict[str, Any]] = []
    for tool in tools:
        if isinstance(tool, ForeignTool):
            if tool.origin == DIALECT:
                encoded.append(dict(tool.value))
            else:
                dropped.append(f"tools[{tool.kind}]")
        elif tool.deferred:
            # A placeholder that only the caller's own provider would fill in.
            dropped.append("tools.defer_loading")
        elif not allowed or tool.name in allowed or flat_name(tool.name, tool.namespace) in allowed:
            encoded.append(_encode_tool(tool, quirks, own))
    return encoded


def _encode_tool(tool: Tool, quirks: Quirks, own: bool) -> dict[str, Any]:
    if tool.custom is None or not quirks.custom_tools:
        return _encode_function(as_function(tool), quirks, own)
    name = flat_name(tool.name, tool.namespace)
    inner = fields.without_none(name=name, description=tool.description)
    if tool.custom.definition:
        grammar = {"syntax": tool.custom.syntax, "definition": tool.custom.definition}
        inner["format"] = {"type": "grammar", "grammar": grammar}
    return {"type": "custom", "custom": inner}


def _encode_function(tool: Tool, quirks: Quirks, own: bool) -> dict[str, Any]:
    parameters = tool.parameters
    if parameters is not None and not own:
        parameters = {name: value for name, value in parameters.items() if name != "$schema"}
    function = fields.without_none(
        name=tool.name, description=tool.description, parameters=parameters, strict=tool.strict
    )
    cache = fields.cache_control(tool.cache) if own or quirks.cache_hints else {}
    if tool.origin == DIALECT:
        function.update(tool.extras)
    return {"type": "function", "function": function, **cache}


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
        return ToolChoice(_mode(value, name))
    choice = fields.obj(body, name) or NOTHING
    if name == "function_call":
        return ToolChoice("named", fields.required_text(choice, "name", "function_call."))
    kind = choice.get("type")
    if kind == "allowed_tools":
        return _decode_allowed(fields.obj(choice, "allowed_tools", "tool_choice.") or NOTHING)
    if kind not in ("function", "custom"):
        return None
    inner = fields.obj(choice, kind, "tool_choice.") or NOTHING
    return ToolChoice("named", fields.required_text(inner, "name", f"{name}."))


def is_foreign_choice(body: JsonObject) -> bool:
    """Whether the choice has a shape of some provider's own."""
    value = body.get("tool_choice")
    return isinstance(value, dict) and value.get("type") not in ("function", "custom", "allowed_tools")


def _decode_allowed(wish: JsonObject) -> ToolChoice:
    where = "tool_choice.allowed_tools."
    names: list[str] = []
    for index, item in enumerate(fields.objects(wish, "tools", where)):
        kind = "custom" if item.get("type") == "custom" else "function"
        inner = fields.obj(item, kind, f"{where}tools[{index}].") or NOTHING
        names.append(fields.required_text(inner, "name", f"{where}tools[{index}].{kind}."))
    return ToolChoice(_mode(fields.text(wish, "mode", where) or "auto", where + "mode"), allowed=tuple(names))


def _mode(word: str, param: str) -> Literal["auto", "none", "required"]:
    if word not in _MODES:
        raise invalid(f"'{param}' is not a known choice.", param=param, code="invalid_value")
    return _MODES[word]


def encode_choice(choice: ToolChoice, tools: Sequence[Tool | ForeignTool], quirks: Quirks = STANDARD) -> Any:
    if choice.mode == "named":
        return _named(choice.name or "", tools, quirks)
    if choice.allowed and quirks.allowed_tools and choice.mode != "none":
        allowed = [_named(name, tools, quirks) for name in choice.allowed]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": allowed}}
    return choice.mode


def _named(name: str, tools: Sequence[Tool | ForeignTool], quirks: Quirks) -> dict[str, Any]:
    for tool in tools:
        flat = flat_name(tool.name, tool.namespace) if isinstance(tool, Tool) else ""
        if isinstance(tool, Tool) and name in (tool.name, flat):
            kind = "custom" if tool.custom is not None and quirks.custom_tools else "function"
            return {"type": kind, kind: {"name": flat}}
    return {"type": "function", "function": {"name": name}}


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
