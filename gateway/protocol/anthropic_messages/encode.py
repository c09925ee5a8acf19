"""A conversation of any dialect as a Messages request."""

from __future__ import annotations

from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.request import PATH, VERSION
from gateway.protocol.anthropic_messages.thinking import encode_thinking
from gateway.protocol.anthropic_messages.turns import encode_turns
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation, ResponseFormat, Tool, ToolChoice
from gateway.protocol.json_text import dump

# The dialect requires a limit; this one is sent when neither the caller nor the gateway has one.
DEFAULT_MAX_TOKENS = 4096


def encode_request(conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None) -> EncodedRequest:
    """What Messages cannot carry is named in ``dropped``."""
    own = conversation.dialect == DIALECT
    dropped: list[str] = []
    limit = max_output_tokens or conversation.max_output_tokens or DEFAULT_MAX_TOKENS
    system, messages = encode_turns(conversation, dropped)
    body: dict[str, Any] = {"model": upstream_model, "max_tokens": limit, "messages": messages}
    if system:
        body["system"] = system
    body.update(_encode_tools(conversation, dropped))
    thinking = encode_thinking(conversation, upstream_model, limit, dropped)
    body.update(_encode_output(conversation, thinking, dropped))
    body.update(_encode_sampling(conversation, "thinking" in body and not own, dropped))
    body.update(_encode_wishes(conversation, own, dropped))
    if conversation.stream:
        body["stream"] = True
    return EncodedRequest(
        path=PATH,
        body=dump(body),
        headers={"anthropic-version": VERSION},
        dropped=tuple(dict.fromkeys(dropped)),
    )


def _encode_tools(conversation: Conversation, dropped: list[str]) -> dict[str, Any]:
    tools: list[dict[str, Any]] = []
    for tool in conversation.tools:
        if isinstance(tool, Tool):
            tools.append(_encode_tool(tool))
        elif tool.origin == DIALECT:
            tools.append(dict(tool.value))
        else:
            dropped.append(f"tools.{tool.kind}")
    if not tools:
        return {}
    choice = _encode_choice(conversation.tool_choice, conversation.parallel_tools)
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _encode_tool(tool: Tool) -> dict[str, Any]:
    schema = tool.parameters if tool.parameters is not None else {"type": "object", "properties": {}}
    if tool.origin != DIALECT and "type" not in schema:
        schema = {"type": "object", **schema}
    extras = tool.extras if tool.origin == DIALECT else {}
    described = fields.without_none(
        name=tool.name, description=tool.description, input_schema=schema, strict=tool.strict or None
    )
    return {**described, **extras, **fields.cache_control(tool.cache)}


def _encode_choice(choice: ToolChoice | None, parallel: bool | None) -> dict[str, Any] | None:
    if choice is None and parallel is not False:
        return None
    encoded: dict[str, Any] = {"type": "auto"}
    if choice is not None and choice.mode == "named":
        encoded = {"type": "tool", "name": choice.name}
    elif choice is not None:
        encoded = {"type": "any" if choice.mode == "required" else choice.mode}
    if parallel is not None and encoded["type"] != "none":
        encoded["disable_parallel_tool_use"] = not parallel
    return encoded


def _encode_output(conversation: Conversation, thinking: dict[str, Any], dropped: list[str]) -> dict[str, Any]:
    """``thinking`` and ``output_config``."""
    body: dict[str, Any] = {}
    config: dict[str, Any] = dict(conversation.extras.get("output_config", {})) if _is_own(conversation) else {}
    if "thinking" in thinking:
        body["thinking"] = thinking["thinking"]
    if "effort" in thinking:
        config["effort"] = thinking["effort"]
    form = _encode_format(conversation.response_format, dropped)
    if form is not None:
        config["format"] = form
    if config:
        body["output_config"] = config
    return body


def _is_own(conversation: Conversation) -> bool:
    return conversation.dialect == DIALECT


def _encode_format(wish: ResponseFormat | None, dropped: list[str]) -> dict[str, Any] | None:
    if wish is None or wish.kind == "text":
        return None
    if wish.kind == "json_object" or wish.schema is None:
        dropped.append("response_format")
        return None
    return {"type": "json_schema", "schema": wish.schema}


def _encode_sampling(conversation: Conversation, is_thinking: bool, dropped: list[str]) -> dict[str, Any]:
    sampling = conversation.sampling
    temperature, top_k = sampling.temperature, sampling.top_k
    if temperature is not None and temperature > 1:
        # The scale ends at 1 here and at 2 elsewhere.
        temperature = 1
        dropped.append("temperature")
    if is_thinking:
        if temperature not in (None, 1):
            temperature = None
            dropped.append("temperature")
        if top_k is not None:
            top_k = None
            dropped.append("top_k")
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) < len(sampling.stop):
        dropped.append("stop")
    for name in ("seed", "frequency_penalty", "presence_penalty"):
        if getattr(sampling, name):
            dropped.append(name)
    if sampling.n > 1:
        dropped.append("n")
    return fields.without_none(temperature=temperature, top_p=sampling.top_p, top_k=top_k, stop_sequences=stop or None)


def _encode_wishes(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    metadata = dict(conversation.metadata) if own else {}
    if conversation.user is not None:
        metadata["user_id"] = conversation.user
    if metadata:
        body["metadata"] = metadata
    if own:
        return {**body, **{name: value for name, value in conversation.extras.items() if name != "output_config"}}
    dropped.extend(name for name in conversation.extras if name != "stream_options")
    if conversation.metadata:
        dropped.append("metadata")
    return body
