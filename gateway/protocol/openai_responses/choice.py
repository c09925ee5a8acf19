"""Tool choice and form of the answer, in both directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gateway.protocol import fields
from gateway.protocol.conversation import NOTHING, ForeignTool, JsonObject, ResponseFormat, Tool, ToolChoice
from gateway.protocol.problem import invalid
from gateway.protocol.tool_names import flat_name

Tools = Sequence[Tool | ForeignTool]

_MODES: Mapping[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}


def decode_choice(source: JsonObject, tools: Tools) -> ToolChoice | None:
    """None for no choice, and for the choice of a tool of the provider's own, which stays among the extras.

    Names are those under which the tools are known to a dialect without namespaces.
    """
    value = source.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        return ToolChoice(_mode(value, "tool_choice"))
    choice = fields.obj(source, "tool_choice") or NOTHING
    kind = fields.required_text(choice, "type", "tool_choice.")
    if kind in ("function", "custom"):
        name = fields.required_text(choice, "name", "tool_choice.")
        return ToolChoice("named", _known_name(name, tools))
    if kind != "allowed_tools":
        return None
    listed = fields.objects(choice, "tools", "tool_choice.")
    names = [item["name"] for item in listed if isinstance(item.get("name"), str)]
    mode = _mode(fields.text(choice, "mode", "tool_choice.") or "auto", "tool_choice.mode")
    return ToolChoice(mode, allowed=tuple(_known_name(name, tools) for name in names))


def is_foreign_choice(source: JsonObject) -> bool:
    """Whether a tool of the provider's own was chosen."""
    value = source.get("tool_choice")
    return isinstance(value, dict) and value.get("type") not in ("function", "custom", "allowed_tools")


def _mode(word: str, param: str) -> Literal["auto", "none", "required"]:
    if word not in _MODES:
        raise invalid(f"'{param}' is not a known choice.", param=param, code="invalid_value")
    return _MODES[word]


def _known_name(name: str, tools: Tools) -> str:
    plain = [tool for tool in tools if isinstance(tool, Tool) and tool.name == name]
    if not plain or any(not tool.namespace for tool in plain):
        return name
    return flat_name(name, plain[0].namespace)


def encode_choice(choice: ToolChoice, tools: Tools) -> Any:
    if choice.mode == "named":
        return _named(choice.name or "", tools)
    if choice.allowed and choice.mode != "none":
        allowed = [_named(name, tools) for name in choice.allowed]
        return {"type": "allowed_tools", "mode": choice.mode, "tools": allowed}
    return choice.mode


def _named(name: str, tools: Tools) -> dict[str, Any]:
    for tool in tools:
        if isinstance(tool, Tool) and name in (tool.name, flat_name(tool.name, tool.namespace)):
            return {"type": "function" if tool.custom is None else "custom", "name": tool.name}
    return {"type": "function", "name": name}


def decode_format(source: JsonObject) -> ResponseFormat | None:
    value = fields.obj(fields.obj(source, "text") or NOTHING, "format", "text.")
    if value is None:
        return None
    where = "text.format."
    kind = fields.required_text(value, "type", where)
    if kind == "text":
        return ResponseFormat("text")
    if kind == "json_object":
        return ResponseFormat("json_object")
    if kind != "json_schema":
        raise invalid("'text.format.type' is not known.", param="text.format.type", code="invalid_value")
    return ResponseFormat(
        "json_schema",
        name=fields.text(value, "name", where),
        schema=fields.obj(value, "schema", where),
        strict=fields.flag(value, "strict", where),
        description=fields.text(value, "description", where),
    )


def encode_format(wish: ResponseFormat) -> dict[str, Any]:
    if wish.kind != "json_schema":
        return {"type": wish.kind}
    strict = wish.strict if wish.strict is not None else fits_strict(wish.schema)
    described = fields.without_none(description=wish.description)
    return {
        "type": "json_schema",
        "name": wish.name or "answer",
        "schema": wish.schema or {},
        "strict": strict,
        **described,
    }


def fits_strict(schema: Any) -> bool:
    """Whether a schema is one that strict output takes: every object closed, with all of its properties required."""
    if isinstance(schema, list):
        return all(fits_strict(item) for item in schema)
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        named = schema.get("properties")
        required = schema.get("required")
        names = set(named) if isinstance(named, Mapping) else set()
        listed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
        if schema.get("additionalProperties") is not False or names != listed:
            return False
    return all(fits_strict(value) for name, value in schema.items() if name not in ("enum", "const", "default"))
