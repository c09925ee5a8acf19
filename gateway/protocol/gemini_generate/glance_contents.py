"""The size of a Gemini request's contents and tools, where they are of the usual kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.estimate import PromptSize
from gateway.protocol.gemini_generate.seals import may_be_sealed
from gateway.protocol.json_text import dump_text
from gateway.protocol.plain_fields import OBJECT, TEXT, Kinds, are_of

_ROLES = frozenset(("user", "model", "function", "system", None))
_CONTENT = frozenset(("role", "parts"))
_SAID = frozenset(("text", "thought", "thoughtSignature"))
_CALL = frozenset(("functionCall", "thoughtSignature"))
_CALLED = frozenset(("id", "name", "args"))
_ANSWERED = frozenset(("id", "name", "response"))
_DATA = frozenset(("mimeType", "data"))
_SCHEMAS = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_DECLARATION: Kinds = {"name": frozenset((str,)), "description": TEXT, **dict.fromkeys(_SCHEMAS, OBJECT)}


def add_instruction(value: Any, size: PromptSize) -> bool:
    if value is None:
        return True
    size.turns += 1
    if type(value) is str:
        size.texts.append(value)
        return True
    return type(value) is dict and _CONTENT.issuperset(value) and _add_parts(value.get("parts"), size)


def add_contents(contents: Any, size: PromptSize) -> bool:
    """False where a content is of some other kind; its size is of no use then."""
    if type(contents) is not list:
        return False
    size.turns += len(contents)
    for content in contents:
        if type(content) is not dict or not _CONTENT.issuperset(content):
            return False
        role = content.get("role")
        if type(role) not in TEXT or role not in _ROLES or not _add_parts(content.get("parts"), size):
            return False
    return True


def _add_parts(parts: Any, size: PromptSize) -> bool:
    if type(parts) is not list:
        return False
    for part in parts:
        if type(part) is not dict:
            return False
        text = part.get("text")
        if type(text) is str and len(part) == 1:
            size.texts.append(text)
        elif not _add_part(part, text, size):
            return False
    return True


def _add_part(part: Mapping[str, Any], text: Any, size: PromptSize) -> bool:
    signature = part.get("thoughtSignature")
    if signature is not None and (type(signature) is not str or may_be_sealed(signature)):
        return False
    if type(text) is str:
        size.texts.append(text)
        return _SAID.issuperset(part) and type(part.get("thought", False)) is bool
    if "functionCall" in part:
        return _CALL.issuperset(part) and _add_call(part["functionCall"], size)
    if len(part) != 1:
        return False
    if "functionResponse" in part:
        return _add_result(part["functionResponse"], size)
    data = part.get("inlineData")
    size.images += 1
    return (
        type(data) is dict
        and _DATA.issuperset(data)
        and type(data.get("data")) is str
        and type(data.get("mimeType")) is str
        and data["mimeType"].startswith("image/")
    )


def _add_call(call: Any, size: PromptSize) -> bool:
    if type(call) is not dict or not _CALLED.issuperset(call) or type(call.get("id")) not in TEXT:
        return False
    name, given = call.get("name"), call.get("args")
    if type(name) is not str or type(given) not in OBJECT:
        return False
    size.calls += 1
    size.texts.append(name)
    size.values.append(given or {})
    return True


def _add_result(result: Any, size: PromptSize) -> bool:
    if type(result) is not dict or not _ANSWERED.issuperset(result) or type(result.get("id")) not in TEXT:
        return False
    response = result.get("response")
    if type(result.get("name")) is not str or type(response) is not dict:
        return False
    size.calls += 1
    said = response.get("output") if len(response) == 1 else None
    size.texts.append(said if type(said) is str else dump_text(response))
    return True


def add_tools(tools: list[Any], size: PromptSize) -> bool:
    for tool in tools:
        declarations = tool.get("functionDeclarations") if type(tool) is dict and len(tool) == 1 else None
        if type(declarations) is not list:
            return False
        for declaration in declarations:
            if type(declaration) is not dict or not _DECLARATION.keys() >= declaration.keys():
                return False
            if "name" not in declaration or not are_of(declaration, _DECLARATION):
                return False
            size.texts += (declaration["name"], declaration.get("description") or "")
            size.values.extend(declaration[name] for name in _SCHEMAS if declaration.get(name))
        size.tools += len(declarations)
    return True
