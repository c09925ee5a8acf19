"""Messages requests: body to conversation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT, decode_content
from gateway.protocol.anthropic_messages.host import is_billing
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
    Text,
    Tool,
    ToolChoice,
    Turn,
)
from gateway.protocol.json_text import load_request
from gateway.protocol.problem import invalid

_KNOWN = frozenset(
    [
        "model",
        "messages",
        "system",
        "max_tokens",
        "stream",
        "stop_sequences",
        "temperature",
        "top_p",
        "top_k",
        "tools",
        "tool_choice",
        "metadata",
        "thinking",
        "output_config",
        "output_format",
        "service_tier",
        # What agents always send and no other dialect has to know: the answer is the same without them.
        "safeguards",
        "diagnostics",
        "cache_control",
        *ROUTER_FIELDS,
    ]
)
_TOOL_FIELDS = frozenset(("type", "name", "description", "input_schema", "strict", "cache_control", "defer_loading"))
_TIERS = {"auto": "auto", "standard_only": "default"}
_PLAIN_USER = re.compile(r"[A-Za-z0-9_-]{1,64}")


def decode_request(body: bytes) -> Conversation:
    """Raises ProtocolError (invalid_request) for anything that is not a Messages request."""
    source = load_request(body)
    model = fields.required_text(source, "model")
    limit = fields.integer(source, "max_tokens", least=1)
    if limit is None:
        raise invalid("'max_tokens' is required.", param="max_tokens", code="missing_required_parameter")
    if "messages" not in source:
        raise invalid("'messages' is required.", param="messages", code="missing_required_parameter")
    metadata = fields.obj(source, "metadata") or NOTHING
    choice, parallel = _decode_choice(source)
    return Conversation(
        model=model,
        turns=_decode_turns(source),
        tools=_decode_tools(source),
        tool_choice=choice,
        parallel_tools=parallel,
        sampling=Sampling(
            temperature=fields.number(source, "temperature"),
            top_p=fields.number(source, "top_p"),
            top_k=fields.integer(source, "top_k", least=0),
            stop=fields.texts(source, "stop_sequences"),
            max_output_tokens=limit,
        ),
        response_format=_decode_format(source),
        reasoning=_decode_thinking(source),
        stream=fields.flag(source, "stream") or False,
        include_usage=True,
        user=short_user(fields.text(metadata, "user_id", "metadata.")),
        metadata=fields.rest(metadata, ("user_id",)),
        service_tier=_TIERS.get(fields.text(source, "service_tier") or ""),
        routing={name: source[name] for name in ROUTER_FIELDS & source.keys()},
        extras=_extras(source),
        dialect=DIALECT,
        source=source,
    )


def short_user(user_id: str | None) -> str | None:
    """An id that every maker takes. Agents write a whole JSON object of devices and sessions, which is no one's
    business elsewhere: it becomes a hash, always the same for the same text."""
    if user_id is None or _PLAIN_USER.fullmatch(user_id):
        return user_id
    return hashlib.sha256(user_id.encode("utf-8", "replace")).hexdigest()[:32]


def _decode_turns(source: JsonObject) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    system = decode_content(source, "system", "")
    system = tuple(part for part in system if not (isinstance(part, Text) and is_billing(part.text)))
    if system:
        turns.append(Turn(role="system", parts=system))
    for index, message in enumerate(fields.objects(source, "messages")):
        where = f"messages[{index}]."
        role = fields.required_text(message, "role", where)
        if role not in ("user", "assistant", "system"):
            raise invalid(f"'{where}role' is not a known role.", param=where + "role", code="invalid_value")
        extras = fields.rest(message, ("role", "content"))
        turns.append(Turn(role=cast(Role, role), parts=decode_content(message, "content", where), extras=extras))
    return tuple(turns)


def _decode_tools(source: JsonObject) -> tuple[Tool | ForeignTool, ...]:
    tools: list[Tool | ForeignTool] = []
    for index, item in enumerate(fields.objects(source, "tools")):
        where = f"tools[{index}]."
        kind = fields.text(item, "type", where) or "custom"
        if kind != "custom":
            tools.append(ForeignTool(origin=DIALECT, kind=kind, value=item))
            continue
        extras = fields.rest(item, _TOOL_FIELDS)
        tools.append(
            Tool(
                name=fields.required_text(item, "name", where),
                description=fields.text(item, "description", where),
                parameters=fields.obj(item, "input_schema", where),
                strict=fields.flag(item, "strict", where),
                cache=fields.cache_lifetime(item, where),
                extras=extras,
                origin=DIALECT if extras else "",
                deferred=fields.flag(item, "defer_loading", where) or False,
            )
        )
    return tuple(tools)


_MODES: Mapping[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "any": "required"}


def _decode_choice(source: JsonObject) -> tuple[ToolChoice | None, bool | None]:
    value = fields.obj(source, "tool_choice")
    if value is None:
        return None, None
    serial = fields.flag(value, "disable_parallel_tool_use", "tool_choice.")
    parallel = None if serial is None else not serial
    kind = fields.required_text(value, "type", "tool_choice.")
    if kind == "tool":
        return ToolChoice("named", fields.required_text(value, "name", "tool_choice.")), parallel
    if kind not in _MODES:
        raise invalid("'tool_choice.type' is not known.", param="tool_choice.type", code="invalid_value")
    return ToolChoice(_MODES[kind]), parallel


def _decode_format(source: JsonObject) -> ResponseFormat | None:
    """``output_config.format``; ``output_format`` was its name in the beta."""
    config = fields.obj(source, "output_config") or NOTHING
    value = fields.obj(config, "format", "output_config.") or fields.obj(source, "output_format")
    if value is None or value.get("type") != "json_schema":
        return None
    return ResponseFormat("json_schema", schema=fields.obj(value, "schema", "output_config.format."))


def _decode_thinking(source: JsonObject) -> ReasoningControls:
    thinking = fields.obj(source, "thinking") or NOTHING
    config = fields.obj(source, "output_config") or NOTHING
    kind = fields.text(thinking, "type", "thinking.")
    return ReasoningControls(
        enabled=None if kind is None else kind != "disabled",
        effort=fields.text(config, "effort", "output_config."),
        budget_tokens=fields.integer(thinking, "budget_tokens", "thinking.", least=0),
        extras=fields.rest(thinking, ("type", "budget_tokens")),
    )


def _clears_thinking_only(value: Any) -> bool:
    edits = value.get("edits") if isinstance(value, dict) else None
    return isinstance(edits, list) and all(
        isinstance(edit, dict) and str(edit.get("type")).startswith("clear_thinking") for edit in edits
    )


def _extras(source: JsonObject) -> JsonObject:
    extras = dict(fields.rest(source, _KNOWN))
    if _clears_thinking_only(extras.get("context_management")):
        del extras["context_management"]  # other dialects do not carry old thinking in the first place
    config = fields.rest(fields.obj(source, "output_config") or NOTHING, ("effort", "format"))
    if config:
        extras["output_config"] = config
    return extras or NOTHING
