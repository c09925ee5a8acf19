"""A conversation of any dialect as a chat request."""

from __future__ import annotations

from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation
from gateway.protocol.json_text import dump
from gateway.protocol.openai_chat.messages import DIALECT
from gateway.protocol.openai_chat.reasoning import write_controls
from gateway.protocol.openai_chat.request import PATH, limit_field
from gateway.protocol.openai_chat.tools import encode_choice, encode_format, encode_tools
from gateway.protocol.openai_chat.turns import encode_turns

# OpenAI's limit; most other makers allow no more either.
_MOST_STOPS = 4


def encode_request(conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None) -> EncodedRequest:
    """The body always asks for usage in a stream; what chat cannot carry is named in ``dropped``."""
    own = conversation.dialect in ("", DIALECT)
    dropped: list[str] = []
    body: dict[str, Any] = {"model": upstream_model, "messages": encode_turns(conversation, dropped)}
    body.update(_encode_sampling(conversation, own, dropped))
    limit = max_output_tokens if max_output_tokens is not None else conversation.max_output_tokens
    if limit is not None:
        body[limit_field(upstream_model)] = limit
    body.update(_encode_tools(conversation, dropped))
    if conversation.response_format is not None:
        body["response_format"] = encode_format(conversation.response_format)
    body.update(write_controls(conversation.reasoning, own=own))
    body.update(_encode_wishes(conversation, own, dropped))
    if conversation.stream:
        body["stream"] = True
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    return EncodedRequest(path=PATH, body=dump(body), dropped=tuple(dict.fromkeys(dropped)))


def _encode_sampling(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    sampling = conversation.sampling
    stop = sampling.stop
    if not own and len(stop) > _MOST_STOPS:
        stop = stop[:_MOST_STOPS]
        dropped.append("stop_sequences")
    top_k = sampling.top_k
    if not own and top_k is not None:
        top_k = None
        dropped.append("top_k")
    return fields.without_none(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=top_k,
        stop=list(stop) or None,
        n=sampling.n if sampling.n > 1 else None,
        seed=sampling.seed,
        frequency_penalty=sampling.frequency_penalty,
        presence_penalty=sampling.presence_penalty,
    )


def _encode_tools(conversation: Conversation, dropped: list[str]) -> dict[str, Any]:
    tools = encode_tools(conversation.tools, dropped)
    if not tools:
        return {}
    body: dict[str, Any] = {"tools": tools}
    if conversation.tool_choice is not None:
        body["tool_choice"] = encode_choice(conversation.tool_choice)
    if conversation.parallel_tools is not None:
        body["parallel_tool_calls"] = conversation.parallel_tools
    return body


def _encode_wishes(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    if not own:
        dropped.extend(conversation.extras)
        dropped.extend(f"thinking.{name}" for name in conversation.reasoning.extras)
        dropped.extend(f"metadata.{name}" for name in conversation.metadata)
        return fields.without_none(user=conversation.user)
    body = fields.without_none(user=conversation.user)
    if conversation.metadata:
        body["metadata"] = dict(conversation.metadata)
    return {**body, **conversation.extras}
