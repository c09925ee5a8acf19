"""Gemini requests: path and body to conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gateway.protocol import fields
from gateway.protocol.codec import Target
from gateway.protocol.conversation import (
    NOTHING,
    ROUTER_FIELDS,
    Conversation,
    ForeignTool,
    JsonObject,
    ReasoningControls,
    ResponseFormat,
    Role,
    Sampling,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from gateway.protocol.gemini_generate.names import DIALECT, camel
from gateway.protocol.gemini_generate.parts import CallIds, decode_parts
from gateway.protocol.gemini_generate.schemas import read_schema
from gateway.protocol.gemini_generate.words import read_tier
from gateway.protocol.json_text import load_request
from gateway.protocol.problem import invalid

_KNOWN = frozenset(
    ["model", "contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", *ROUTER_FIELDS]
)
_CONFIG = frozenset(
    [
        "temperature",
        "topP",
        "topK",
        "maxOutputTokens",
        "stopSequences",
        "candidateCount",
        "seed",
        "frequencyPenalty",
        "presencePenalty",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "thinkingConfig",
    ]
)
_ROLES: Mapping[str, Role] = {"user": "user", "model": "assistant", "function": "user", "system": "system"}
_DECLARATION = frozenset(("name", "description", "parameters", "parametersJsonSchema"))
_CHOICES: Mapping[str, Literal["auto", "required", "none"]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "MODE_UNSPECIFIED": "auto",
    "ANY": "required",
    "NONE": "none",
}
_SEED = 2**31


def decode_request(body: bytes, target: Target) -> Conversation:
    """Raises ProtocolError (invalid_request) for anything that is not a generateContent request."""
    source = load_request(body)
    named = camel(source)
    model = target.model or fields.text(named, "model")
    if not model:
        raise invalid("The path must name a model.", param="model", code="missing_required_parameter")
    if named.get("contents") is None:
        raise invalid("'contents' is required.", param="contents", code="missing_required_parameter")
    config = camel(fields.obj(named, "generationConfig") or NOTHING)
    return Conversation(
        model=model.removeprefix("models/"),
        turns=_decode_turns(named),
        tools=_decode_tools(named),
        tool_choice=_decode_choice(named),
        sampling=_decode_sampling(config),
        response_format=_decode_format(config),
        reasoning=_decode_thinking(config),
        stream=bool(target.stream),
        include_usage=True,
        service_tier=read_tier(fields.text(named, "serviceTier")),
        routing={name: source[name] for name in ROUTER_FIELDS & source.keys()},
        extras=_extras(named, config),
        dialect=DIALECT,
        source=source,
    )


def _decode_turns(source: JsonObject) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    calls = CallIds()
    system = source.get("systemInstruction")
    if isinstance(system, str):
        system = {"parts": [{"text": system}]}
    if system is not None:
        instruction = camel(fields.obj({"systemInstruction": system}, "systemInstruction") or NOTHING)
        parts = decode_parts(_parts_of(instruction, "systemInstruction."), "systemInstruction.parts", calls, 0)
        if parts:
            turns.append(Turn("system", parts))
    for index, content in enumerate(_contents_of(source)):
        where = f"contents[{index}]."
        role = fields.text(content, "role", where) or "user"
        if role not in _ROLES:
            raise invalid(f"'{where}role' is not a known role.", param=where + "role", code="invalid_value")
        parts = decode_parts(_parts_of(content, where), where + "parts", calls, index)
        only_results = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
        turns.append(Turn("tool" if only_results else _ROLES[role], parts))
    return tuple(turns)


def _contents_of(source: JsonObject) -> list[JsonObject]:
    """Google takes a single content as a list of one."""
    value = source.get("contents")
    return [value] if isinstance(value, dict) else fields.objects(source, "contents")


def _parts_of(content: JsonObject, where: str) -> list[JsonObject]:
    value = content.get("parts")
    return [value] if isinstance(value, dict) else fields.objects(content, "parts", where)


def _decode_tools(source: JsonObject) -> tuple[Tool | ForeignTool, ...]:
    tools: list[Tool | ForeignTool] = []
    for index, item in enumerate(fields.objects(source, "tools")):
        where = f"tools[{index}]."
        named = camel(item)
        for number, declaration in enumerate(fields.objects(named, "functionDeclarations", where)):
            tools.append(_decode_declaration(camel(declaration), f"{where}functionDeclarations[{number}]."))
        for kind, value in named.items():
            if kind != "functionDeclarations" and value is not None:
                tools.append(ForeignTool(origin=DIALECT, kind=kind, value={kind: value}))
    return tuple(tools)


def _decode_declaration(item: JsonObject, where: str) -> Tool:
    schema = fields.obj(item, "parametersJsonSchema", where)
    if schema is None:
        old = fields.obj(item, "parameters", where)
        schema = None if old is None else read_schema(old)
    extras = fields.rest(item, _DECLARATION)
    return Tool(
        name=fields.required_text(item, "name", where),
        description=fields.text(item, "description", where),
        parameters=schema,
        extras=extras,
        origin=DIALECT if extras else "",
    )


def _decode_choice(source: JsonObject) -> ToolChoice | None:
    tool_config = camel(fields.obj(source, "toolConfig") or NOTHING)
    value = fields.obj(tool_config, "functionCallingConfig", "toolConfig.")
    if value is None:
        return None
    value = camel(value)
    where = "toolConfig.functionCallingConfig."
    word = (fields.text(value, "mode", where) or "AUTO").upper()
    if word not in _CHOICES:
        raise invalid(f"'{where}mode' is not known.", param=where + "mode", code="invalid_value")
    allowed = fields.texts(value, "allowedFunctionNames", where)
    if word == "ANY" and len(allowed) == 1:
        return ToolChoice("named", allowed[0])
    return ToolChoice(_CHOICES[word], allowed=allowed)


def _decode_sampling(config: JsonObject) -> Sampling:
    where = "generationConfig."
    return Sampling(
        temperature=fields.number(config, "temperature", where),
        top_p=fields.number(config, "topP", where),
        top_k=fields.integer(config, "topK", where, least=0),
        stop=fields.texts(config, "stopSequences", where),
        max_output_tokens=fields.integer(config, "maxOutputTokens", where, least=1),
        n=fields.integer(config, "candidateCount", where, least=1, most=128) or 1,
        seed=fields.integer(config, "seed", where, least=-_SEED),
        frequency_penalty=fields.number(config, "frequencyPenalty", where),
        presence_penalty=fields.number(config, "presencePenalty", where),
    )


def _decode_format(config: JsonObject) -> ResponseFormat | None:
    where = "generationConfig."
    schema = fields.obj(config, "responseJsonSchema", where)
    if schema is None:
        old = fields.obj(config, "responseSchema", where)
        schema = None if old is None else read_schema(old)
    if schema is not None:
        return ResponseFormat("json_schema", schema=schema)
    if fields.text(config, "responseMimeType", where) == "application/json":
        return ResponseFormat("json_object")
    return None


def _decode_thinking(config: JsonObject) -> ReasoningControls:
    """A budget of 0 is off, of -1 the model's own choice."""
    value = camel(fields.obj(config, "thinkingConfig", "generationConfig.") or NOTHING)
    where = "generationConfig.thinkingConfig."
    level = fields.text(value, "thinkingLevel", where)
    budget = fields.integer(value, "thinkingBudget", where, least=-1)
    shown = fields.flag(value, "includeThoughts", where)
    effort = None if level is None or "UNSPECIFIED" in level.upper() else level.lower()
    enabled: bool | None = None
    if budget is not None:
        enabled = budget != 0
    elif effort is None and shown:
        enabled = True
    return ReasoningControls(
        enabled=enabled,
        effort=effort,
        budget_tokens=budget if budget is not None and budget > 0 else None,
        extras=fields.rest(value, ("thinkingLevel", "thinkingBudget")),
    )


def _extras(source: JsonObject, config: JsonObject) -> JsonObject:
    """Fields without a canonical name; those inside another field by their whole path."""
    extras: dict[str, Any] = dict(fields.rest(source, _KNOWN))
    for name, value in fields.rest(config, _CONFIG).items():
        extras["generationConfig." + name] = value
    if config.get("responseMimeType") not in (None, "application/json", "text/plain"):
        extras["generationConfig.responseMimeType"] = config["responseMimeType"]
    tool_config = camel(fields.obj(source, "toolConfig") or NOTHING)
    for name, value in fields.rest(tool_config, ("functionCallingConfig",)).items():
        extras["toolConfig." + name] = value
    return extras or NOTHING
