"""A conversation of any dialect as a Responses request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation, ResponseFormat
from gateway.protocol.json_text import dump
from gateway.protocol.openai_responses.choice import encode_choice, encode_format
from gateway.protocol.openai_responses.content import DIALECT
from gateway.protocol.openai_responses.reasoning import write_controls
from gateway.protocol.openai_responses.request import ENCRYPTED, PATH
from gateway.protocol.openai_responses.tools import encode_tools
from gateway.protocol.openai_responses.turns import encode_turns

# OpenAI refuses a smaller limit; some clients ask for one token to see whether a model answers.
LEAST_OUTPUT = 16
_LONGEST_USER = 64
_TIERS = frozenset(("auto", "default", "flex", "priority", "scale"))
# OpenAI's models without reasoning refuse to be asked for it ("Encrypted content is not supported with this model").
_WITHOUT_REASONING = re.compile(r"(?:^|[/.])(?:gpt-3|gpt-4|chatgpt-|gpt-5(?:\.\d+)?-chat)", re.IGNORECASE)
# What the dialect has no field for, and its name where the caller's dialect has another one.
_LACKING = ("top_k", "stop", "seed", "frequency_penalty", "presence_penalty")
_WORDS: Mapping[str, Mapping[str, str]] = {
    "anthropic_messages": {"stop": "stop_sequences"},
    "gemini_generate": {
        "top_k": "generationConfig.topK",
        "stop": "generationConfig.stopSequences",
        "n": "generationConfig.candidateCount",
        "seed": "generationConfig.seed",
        "frequency_penalty": "generationConfig.frequencyPenalty",
        "presence_penalty": "generationConfig.presencePenalty",
    },
}
# Fields of other dialects that change nothing of the answer.
_WITHOUT_EFFECT = frozenset(("store", "stream_options", "cache_control"))


def encode_request(conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None) -> EncodedRequest:
    """Nothing is stored at the provider, so encrypted reasoning is always asked for where there can be any."""
    own = conversation.dialect == DIALECT
    dropped: list[str] = []
    instructions, items = encode_turns(conversation, dropped)
    body: dict[str, Any] = {"model": upstream_model, "input": items, "store": False}
    if instructions:
        body["instructions"] = instructions
    body.update(_encode_tools(conversation, own, dropped))
    body.update(_encode_sampling(conversation, own, max_output_tokens, dropped))
    body.update(_encode_text(conversation))
    body.update(_encode_reasoning(conversation, upstream_model, dropped))
    body.update(_encode_wishes(conversation, own, dropped))
    if conversation.stream:
        body["stream"] = True
    return EncodedRequest(path=PATH, body=dump(body), dropped=tuple(dict.fromkeys(dropped)))


def _encode_tools(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    tools = encode_tools(conversation.tools, own, dropped)
    if not tools:
        return {}
    body: dict[str, Any] = {"tools": tools}
    if conversation.tool_choice is not None:
        body["tool_choice"] = encode_choice(conversation.tool_choice, conversation.tools)
    if conversation.parallel_tools is not None:
        body["parallel_tool_calls"] = conversation.parallel_tools
    return body


def _encode_sampling(
    conversation: Conversation, own: bool, max_output_tokens: int | None, dropped: list[str]
) -> dict[str, Any]:
    sampling = conversation.sampling
    words = _WORDS.get(conversation.dialect, {})
    dropped.extend(words.get(name, name) for name in _LACKING if getattr(sampling, name))
    if sampling.n > 1:
        dropped.append(words.get("n", "n"))
    limit = max_output_tokens if max_output_tokens is not None else sampling.max_output_tokens
    if limit is not None and not own:
        limit = max(limit, LEAST_OUTPUT)
    return fields.without_none(temperature=sampling.temperature, top_p=sampling.top_p, max_output_tokens=limit)


def _encode_text(conversation: Conversation) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if conversation.response_format is not None:
        text["format"] = encode_format(_with_strictness(conversation.response_format, conversation.dialect))
    if conversation.verbosity is not None:
        text["verbosity"] = conversation.verbosity
    return {"text": text} if text else {}


def _with_strictness(wish: ResponseFormat, dialect: str) -> ResponseFormat:
    """In chat who does not ask for strictness has none; in the other dialects a schema is always kept to."""
    if wish.strict is not None or dialect not in ("", "openai_chat"):
        return wish
    return ResponseFormat(wish.kind, wish.name, wish.schema, False, wish.description)


def _encode_reasoning(conversation: Conversation, upstream_model: str, dropped: list[str]) -> dict[str, Any]:
    wishes = write_controls(conversation.reasoning)
    if _WITHOUT_REASONING.search(upstream_model):
        if conversation.reasoning.enabled is not False and wishes:
            dropped.append("thinking" if conversation.dialect == "anthropic_messages" else "reasoning_effort")
        return {}
    body: dict[str, Any] = {"include": [ENCRYPTED]}
    if wishes:
        body["reasoning"] = wishes
    return body


def _encode_wishes(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    body = fields.without_none(user=short_user(conversation.user), prompt_cache_key=conversation.cache_key)
    if conversation.service_tier in _TIERS:
        body["service_tier"] = conversation.service_tier
    elif conversation.service_tier is not None:
        dropped.append("service_tier")
    if own:
        return {**body, **_own_wishes(conversation)}
    controls = "thinking" if conversation.dialect == "anthropic_messages" else "reasoning"
    dropped.extend(f"{controls}.{name}" for name in conversation.reasoning.extras)
    dropped.extend(name for name in conversation.extras if name not in _WITHOUT_EFFECT)
    return body


def _own_wishes(conversation: Conversation) -> dict[str, Any]:
    extras = dict(conversation.extras)
    extras.pop("text", None)
    if "include" in extras:
        extras["include"] = [ENCRYPTED, *extras["include"]]
    if conversation.metadata:
        extras["metadata"] = dict(conversation.metadata)
    return extras


def short_user(user: str | None) -> str | None:
    """OpenAI takes up to 64 characters; a longer name of a user is as good by its hash."""
    if user is None or len(user) <= _LONGEST_USER:
        return user
    return hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()
