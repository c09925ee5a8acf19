"""An order to write a file, and the call that obeys it with a tool of a coding agent. Pure.

    sandbox: write notes/today.txt Buy some milk

One such line in the last text of the user is enough. docs/sandbox.md has the tools.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.sandbox.question import Json, Tool
from gateway.sandbox.samples import sample

_ORDER = re.compile(r"^[ \t]*sandbox: write (\S+)[ \t]+(\S.*?)[ \t\r]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WritingCall:
    tool: Tool
    arguments: str  # JSON text, or free text for a custom tool


@dataclass(frozen=True, slots=True)
class _Order:
    file: str
    text: str

    @property
    def command(self) -> str:
        return f"printf '%s\\n' {shlex.quote(self.text)} > {shlex.quote(self.file)}"

    @property
    def patch(self) -> str:
        return f"*** Begin Patch\n*** Add File: {self.file}\n+{self.text}\n*** End Patch\n"


def writing_call(text: str, tools: Sequence[Tool]) -> WritingCall | None:
    """The call for the last order in `text`; None where there is no order, or no tool that can write a file."""
    found = _ORDER.findall(text)
    if not found:
        return None
    order = _Order(*found[-1])
    known = {tool.name: tool for tool in reversed(tools)}
    for name, arguments in _WRITERS.items():
        if name in known:
            return WritingCall(known[name], _text(known[name], order, arguments(order, known[name])))
    return None


def _text(tool: Tool, order: _Order, arguments: dict[str, Any]) -> str:
    if tool.custom:
        return order.patch
    properties = tool.schema.get("properties") or {}
    missing = (name for name in tool.schema.get("required") or () if name not in arguments)
    filled = {name: sample(properties.get(name, {}), name) for name in missing}
    return json.dumps({**arguments, **filled}, ensure_ascii=False)


def _shell(order: _Order, tool: Tool) -> dict[str, Any]:
    return {"command": ["bash", "-lc", order.command] if _is_list(tool.schema, "command") else order.command}


def _is_list(schema: Json, name: str) -> bool:
    wanted = (schema.get("properties") or {}).get(name)
    return isinstance(wanted, Mapping) and str(wanted.get("type")).lower() == "array"


# Tools that write a file come before those that run a command.
_WRITERS: dict[str, Callable[[_Order, Tool], dict[str, Any]]] = {
    "Write": lambda order, _: {"file_path": order.file, "content": order.text + "\n"},
    "write": lambda order, _: {"filePath": order.file, "content": order.text + "\n"},
    "apply_patch": lambda order, _: {"input": order.patch},
    "exec_command": lambda order, _: {"cmd": order.command},
    "Bash": _shell,
    "bash": _shell,
    "shell": _shell,
    "shell_command": _shell,
}
