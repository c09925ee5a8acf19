"""Input items to turns."""

from __future__ import annotations

from typing import cast

from gateway.protocol import fields
from gateway.protocol.conversation import (
    Audio,
    File,
    Image,
    JsonObject,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from gateway.protocol.openai_responses.content import DIALECT, decode_content
from gateway.protocol.openai_responses.reasoning import read_item
from gateway.protocol.problem import invalid

_ROLES = ("user", "assistant", "system", "developer")
_CALL_FIELDS = frozenset(("type", "id", "call_id", "name", "arguments", "input", "namespace", "status"))
# Calls of a provider's own tools and what came of them stand among what the model said.
_CALL_ENDINGS = ("_call", "_output")
_MADE_BY_MODEL = frozenset(("mcp_list_tools", "mcp_approval_request", "compaction", "program"))


def decode_input(source: JsonObject) -> tuple[Turn, ...]:
    """The turns behind ``input``. Items of one side that follow each other become one turn."""
    value = source.get("input")
    if isinstance(value, str):
        return (Turn(role="user", parts=(Text(value),)),)
    if value is None:
        raise invalid("'input' is required.", param="input", code="missing_required_parameter")
    turns = _Turns()
    for index, item in enumerate(fields.objects(source, "input")):
        _decode_item(item, f"input[{index}].", turns)
    return tuple(turns.list)


class _Turns:
    def __init__(self) -> None:
        self.list: list[Turn] = []

    def say(self, role: Role, parts: tuple[Part, ...]) -> None:
        """A message: a turn of its own, but what the model said belongs to what it did."""
        if role == "assistant":
            self.join(role, *parts)
        else:
            self.list.append(Turn(role=role, parts=parts))

    def join(self, role: Role, *parts: Part) -> None:
        last = self.list[-1] if self.list else None
        if last is not None and last.role == role:
            self.list[-1] = Turn(role=role, parts=(*last.parts, *parts))
        else:
            self.list.append(Turn(role=role, parts=parts))


def _decode_item(item: JsonObject, where: str, turns: _Turns) -> None:
    kind = fields.text(item, "type", where) or ("message" if "role" in item else "item_reference")
    if kind == "message":
        turns.say(_role(item, where), decode_content(item, "content", where))
    elif kind == "function_call":
        turns.join("assistant", _decode_call(item, where, "arguments"))
    elif kind == "custom_tool_call":
        turns.join("assistant", _decode_call(item, where, "input"))
    elif kind in ("function_call_output", "custom_tool_call_output") and item.get("call_id") is not None:
        turns.join("tool", _decode_result(item, where))
    elif kind == "reasoning":
        piece = read_item(item)
        if piece is not None and piece != Reasoning():
            turns.join("assistant", piece)
    elif kind != "additional_tools":
        opaque = Opaque(origin=DIALECT, kind=kind, value=item)
        if kind.endswith(_CALL_ENDINGS) or kind in _MADE_BY_MODEL:
            turns.join("assistant", opaque)
        else:
            turns.join("user", opaque)


def _role(item: JsonObject, where: str) -> Role:
    role = fields.required_text(item, "role", where)
    if role not in _ROLES:
        raise invalid(f"'{where}role' is not a known role.", param=where + "role", code="invalid_value")
    return cast(Role, role)


def _decode_call(item: JsonObject, where: str, arguments: str) -> ToolCall:
    extras = fields.rest(item, _CALL_FIELDS)
    return ToolCall(
        id=fields.required_text(item, "call_id", where),
        name=fields.required_text(item, "name", where),
        arguments=fields.text(item, arguments, where) or "",
        custom=arguments == "input",
        namespace=fields.text(item, "namespace", where) or "",
        extras=extras,
        origin=DIALECT if extras else "",
    )


def _decode_result(item: JsonObject, where: str) -> ToolResult:
    parts = decode_content(item, "output", where)
    return ToolResult(
        call_id=fields.required_text(item, "call_id", where),
        parts=tuple(part for part in parts if isinstance(part, Text | Image | File | Audio | Opaque)),
    )
