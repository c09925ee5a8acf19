"""Tools of a request, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gateway.protocol import fields
from gateway.protocol.conversation import CustomFormat, ForeignTool, JsonObject, Tool

DIALECT = "openai_responses"
_FIELDS = frozenset(("type", "name", "description", "parameters", "strict", "format", "defer_loading"))
# Where a flattened tool keeps what was said of its namespace.
_OF_NAMESPACE = "namespace_description"


def decode_tools(source: JsonObject) -> tuple[Tool | ForeignTool, ...]:
    """The tools of the request, and those that come as an input item."""
    tools = list(_decode_list(source, ""))
    items = source.get("input")
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("type") == "additional_tools":
            tools.extend(_decode_list(item, f"input[{index}]."))
    return tuple(tools)


def _decode_list(source: JsonObject, where: str) -> Iterator[Tool | ForeignTool]:
    for index, item in enumerate(fields.objects(source, "tools", where)):
        inside = f"{where}tools[{index}]."
        if item.get("type") != "namespace":
            yield _decode_tool(item, inside)
            continue
        name = fields.required_text(item, "name", inside)
        about = fields.text(item, "description", inside)
        for order, tool in enumerate(fields.objects(item, "tools", inside)):
            yield _decode_tool(tool, f"{inside}tools[{order}].", name, about)


def _decode_tool(item: JsonObject, where: str, namespace: str = "", about: str | None = None) -> Tool | ForeignTool:
    kind = fields.required_text(item, "type", where)
    if kind not in ("function", "custom"):
        return ForeignTool(origin=DIALECT, kind=kind, value=item)
    extras = dict(fields.rest(item, _FIELDS))
    if about:
        extras[_OF_NAMESPACE] = about
    return Tool(
        name=fields.required_text(item, "name", where),
        description=fields.text(item, "description", where),
        parameters=fields.obj(item, "parameters", where) if kind == "function" else None,
        strict=fields.flag(item, "strict", where),
        extras=extras,
        origin=DIALECT if extras else "",
        custom=_decode_format(item, where) if kind == "custom" else None,
        namespace=namespace,
        deferred=fields.flag(item, "defer_loading", where) or False,
    )


def _decode_format(item: JsonObject, where: str) -> CustomFormat:
    value = fields.obj(item, "format", where)
    if value is None or value.get("type") != "grammar":
        return CustomFormat()
    where += "format."
    syntax = fields.required_text(value, "syntax", where)
    return CustomFormat(syntax=syntax, definition=fields.required_text(value, "definition", where))


def encode_tools(tools: Sequence[Tool | ForeignTool], own: bool, dropped: list[str]) -> list[dict[str, Any]]:
    """``own``: the caller spoke this dialect, so nothing need be left out."""
    encoded: list[dict[str, Any]] = []
    spaces: dict[str, dict[str, Any]] = {}
    for tool in tools:
        if isinstance(tool, ForeignTool):
            if tool.origin == DIALECT:
                encoded.append(dict(tool.value))
            else:
                dropped.append(f"tools[{tool.kind}]")
        elif tool.deferred and not own:
            # A placeholder that only the caller's own provider would fill in.
            dropped.append("tools.defer_loading")
        elif tool.namespace:
            if tool.namespace not in spaces:
                spaces[tool.namespace] = _encode_namespace(tool)
                encoded.append(spaces[tool.namespace])
            spaces[tool.namespace]["tools"].append(_encode_tool(tool, own))
        else:
            encoded.append(_encode_tool(tool, own))
    return encoded


def _encode_namespace(first: Tool) -> dict[str, Any]:
    about = first.extras.get(_OF_NAMESPACE, "") if first.origin == DIALECT else ""
    return {"type": "namespace", "name": first.namespace, "description": about, "tools": []}


def _encode_tool(tool: Tool, own: bool) -> dict[str, Any]:
    extras = tool.extras if tool.origin == DIALECT else {}
    rest = {name: value for name, value in extras.items() if name != _OF_NAMESPACE}
    if tool.deferred:
        rest["defer_loading"] = True
    named = fields.without_none(name=tool.name, description=tool.description)
    if tool.custom is not None:
        return {"type": "custom", **named, "format": _encode_format(tool.custom), **rest}
    return {"type": "function", **named, "parameters": _schema(tool, own), **_strictness(tool, own), **rest}


def _encode_format(form: CustomFormat) -> dict[str, Any]:
    if form.syntax == "text":
        return {"type": "text"}
    return {"type": "grammar", "syntax": form.syntax, "definition": form.definition}


def _schema(tool: Tool, own: bool) -> JsonObject | None:
    if own:
        return tool.parameters
    if tool.parameters is None:
        return {"type": "object", "properties": {}}
    return {name: value for name, value in tool.parameters.items() if name != "$schema"}


def _strictness(tool: Tool, own: bool) -> dict[str, Any]:
    """Without a word the dialect is strict and refuses many schemas; all other dialects are lenient then."""
    if tool.strict is None and own:
        return {}
    return {"strict": tool.strict or False}
