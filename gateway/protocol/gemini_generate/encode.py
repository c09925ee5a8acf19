"""A conversation of any dialect as a generateContent request."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.dropped_names import in_words_of
from gateway.protocol.anthropic_messages.host import json_instruction
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation, Tool, ToolChoice
from gateway.protocol.gemini_generate.names import DIALECT
from gateway.protocol.gemini_generate.schemas import write_schema
from gateway.protocol.gemini_generate.thinking import encode_thinking, gemini_version, wants_signatures
from gateway.protocol.gemini_generate.turns import encode_turns
from gateway.protocol.gemini_generate.words import write_tier
from gateway.protocol.json_text import dump, dump_text
from gateway.protocol.tool_names import as_function, flat_name
from gateway.protocol.untranslatable import refuse_untranslatable

_MOST_STOPS = 5
# Fields of other dialects without which the answer is the same.
_SILENT = frozenset(
    [
        "stream_options",
        "store",
        "include",
        "client_metadata",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "background",
    ]
)


def path_of(upstream_model: str, *, stream: bool) -> str:
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    return f"/models/{quote(upstream_model, safe='')}:{verb}"


def encode_request(conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None) -> EncodedRequest:
    """What Gemini cannot carry is named in ``dropped``. Raises ProtocolError for what must not be left out."""
    refuse_untranslatable(conversation, DIALECT)
    dropped: list[str] = []
    version = gemini_version(upstream_model)
    system, contents = encode_turns(
        conversation,
        dropped,
        signed_calls=wants_signatures(upstream_model),
        media_in_results=version >= (3, 0),
    )
    body: dict[str, Any] = {"contents": contents}
    body.update(_encode_tools(conversation, dropped))
    config = _encode_sampling(conversation, max_output_tokens, dropped)
    # Earlier models refuse JSON output beside functions.
    in_words = version < (3, 0) and "tools" in body
    words = _encode_format(conversation, config, in_words, dropped)
    if words:
        system = [*system, {"text": words}]
    thinking = encode_thinking(conversation, upstream_model, dropped)
    if thinking:
        config["thinkingConfig"] = thinking
    if system:
        body["systemInstruction"] = {"parts": system}
    if config:
        body["generationConfig"] = config
    _encode_tier(conversation, body, dropped)
    _encode_extras(conversation, body, dropped)
    return EncodedRequest(
        path=path_of(upstream_model, stream=conversation.stream),
        body=dump(body),
        dropped=in_words_of(conversation.dialect, dropped),
    )


def _encode_tools(conversation: Conversation, dropped: list[str]) -> dict[str, Any]:
    """``tools`` and ``toolConfig``; tools outside ``allowed`` are left out, for only a forced call can name them."""
    choice = conversation.tool_choice
    allowed = frozenset(choice.allowed) if choice is not None else frozenset()
    declared: list[dict[str, Any]] = []
    tools: list[dict[str, Any]] = []
    for tool in conversation.tools:
        if not isinstance(tool, Tool):
            if tool.origin == DIALECT:
                tools.append(dict(tool.value))
            else:
                dropped.append(f"tools[{tool.kind}]")
        elif tool.deferred:
            dropped.append("tools.defer_loading")
        elif not allowed or tool.name in allowed or flat_name(tool.name, tool.namespace) in allowed:
            declared.append(_encode_tool(tool))
    if conversation.parallel_tools is False and declared:
        dropped.append("parallel_tool_calls")
    if declared:
        tools.insert(0, {"functionDeclarations": declared})
    if not tools:
        return {}
    calling = _encode_choice(choice, conversation) if declared else None
    return {"tools": tools, "toolConfig": {"functionCallingConfig": calling}} if calling else {"tools": tools}


def _encode_tool(tool: Tool) -> dict[str, Any]:
    plain = as_function(tool)
    declaration = fields.without_none(name=plain.name, description=plain.description)
    if plain.parameters is not None:
        schema = write_schema(plain.parameters)
        declaration["parametersJsonSchema"] = schema if "type" in schema else {"type": "object", **schema}
    return {**declaration, **(tool.extras if tool.origin == DIALECT else {})}


def _encode_choice(choice: ToolChoice | None, conversation: Conversation) -> dict[str, Any] | None:
    if choice is None:
        return None
    if choice.mode == "named":
        named = (tool for tool in conversation.tools if isinstance(tool, Tool) and tool.name == choice.name)
        tool = next(named, None)
        name = flat_name(tool.name, tool.namespace) if tool is not None else choice.name
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[choice.mode]}


def _encode_sampling(conversation: Conversation, limit: int | None, dropped: list[str]) -> dict[str, Any]:
    sampling = conversation.sampling
    stop = [text for text in sampling.stop if text][:_MOST_STOPS]
    if len(stop) < len(sampling.stop):
        dropped.append("stop")
    return fields.without_none(
        temperature=sampling.temperature,
        topP=sampling.top_p,
        topK=sampling.top_k,
        maxOutputTokens=limit or conversation.max_output_tokens,
        stopSequences=stop or None,
        candidateCount=sampling.n if sampling.n > 1 else None,
        seed=sampling.seed,
        frequencyPenalty=sampling.frequency_penalty,
        presencePenalty=sampling.presence_penalty,
    )


def _encode_format(conversation: Conversation, config: dict[str, Any], in_words: bool, dropped: list[str]) -> str:
    """Writes the wish into ``config``, or returns it as words for the system text, which are no guarantee."""
    wish = conversation.response_format
    if wish is None or wish.kind == "text":
        return ""
    schema = wish.schema if wish.kind == "json_schema" else None
    if in_words:
        dropped.append("response_format")
        return json_instruction(dump_text(schema) if schema else "")
    config["responseMimeType"] = "application/json"
    if schema is not None:
        config["responseJsonSchema"] = write_schema(schema)
    return ""


def _encode_tier(conversation: Conversation, body: dict[str, Any], dropped: list[str]) -> None:
    tier = conversation.service_tier
    if tier is None or tier == "auto":
        return
    word = write_tier(tier)
    if word is None and conversation.dialect != DIALECT:
        dropped.append("service_tier")
    else:
        body["serviceTier"] = word or tier


def _encode_extras(conversation: Conversation, body: dict[str, Any], dropped: list[str]) -> None:
    if conversation.dialect != DIALECT:
        dropped.extend(name for name in conversation.extras if name not in _SILENT)
        if conversation.verbosity is not None:
            dropped.append("verbosity")
        return
    for path, value in conversation.extras.items():
        outer, _, name = path.partition(".")
        if name:
            body[outer] = {**body.get(outer, {}), name: value}
        else:
            body[path] = value
