"""Chat requests: body to conversation, and a body for a chat upstream from its own text."""

from __future__ import annotations

import re
from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import NOTHING, Conversation, JsonObject, Sampling
from gateway.protocol.json_text import dump, load_request
from gateway.protocol.openai_chat.messages import DIALECT, decode_messages
from gateway.protocol.openai_chat.reasoning import read_controls
from gateway.protocol.openai_chat.tools import decode_choice, decode_format, decode_tools
from gateway.protocol.problem import invalid

PATH = "/chat/completions"
MOST_CHOICES = 128

_KNOWN = frozenset(
    [
        "model",
        "messages",
        "tools",
        "functions",
        "tool_choice",
        "function_call",
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "response_format",
        "reasoning_effort",
        "reasoning",
        "stream",
        "stream_options",
        "user",
        "metadata",
    ]
)

# OpenAI's own models from o1 on take only the newer name; most other makers know only the older one, and some
# ignore a name that they do not know, which would leave the answer without a limit.
_NEWER_LIMIT = re.compile(r"(?:^|/)(?:gpt-(?!oss)|chatgpt|codex|o\d)", re.IGNORECASE)


def limit_field(upstream_model: str) -> str:
    """The field in which this model takes its output limit."""
    return "max_completion_tokens" if _NEWER_LIMIT.search(upstream_model) else "max_tokens"


def decode_request(body: bytes) -> Conversation:
    """Raises ProtocolError (invalid_request) for anything that is not a chat request."""
    source = load_request(body)
    model = fields.required_text(source, "model")
    if "messages" not in source:
        raise invalid("'messages' is required.", param="messages", code="missing_required_parameter")
    options = fields.obj(source, "stream_options") or NOTHING
    return Conversation(
        model=model,
        turns=decode_messages(fields.objects(source, "messages")),
        tools=decode_tools(source),
        tool_choice=decode_choice(source),
        parallel_tools=fields.flag(source, "parallel_tool_calls"),
        sampling=_decode_sampling(source),
        response_format=decode_format(source),
        reasoning=read_controls(source),
        stream=fields.flag(source, "stream") or False,
        include_usage=fields.flag(options, "include_usage", "stream_options.") or False,
        user=fields.text(source, "user"),
        metadata=fields.obj(source, "metadata") or NOTHING,
        extras=_extras(source, options),
        dialect=DIALECT,
        source=source,
    )


def _decode_sampling(source: JsonObject) -> Sampling:
    newer = fields.integer(source, "max_completion_tokens", least=1)
    older = fields.integer(source, "max_tokens", least=1)
    return Sampling(
        temperature=fields.number(source, "temperature"),
        top_p=fields.number(source, "top_p"),
        top_k=fields.integer(source, "top_k", least=0),
        stop=fields.texts(source, "stop"),
        max_output_tokens=older if newer is None else newer,
        n=fields.integer(source, "n", least=1, most=MOST_CHOICES) or 1,
        seed=fields.integer(source, "seed", least=-(2**63), most=2**63 - 1),
        frequency_penalty=fields.number(source, "frequency_penalty"),
        presence_penalty=fields.number(source, "presence_penalty"),
    )


def _extras(source: JsonObject, options: JsonObject) -> JsonObject:
    """Unknown fields, and known ones in a shape that has no canonical form."""
    extras = dict(fields.rest(source, _KNOWN))
    further = fields.rest(options, ("include_usage",))
    if further:
        extras["stream_options"] = further
    if isinstance(source.get("tool_choice"), dict) and source["tool_choice"].get("type") != "function":
        extras["tool_choice"] = source["tool_choice"]
    wish = source.get("response_format")
    if isinstance(wish, dict) and wish.get("type") not in ("text", "json_object", "json_schema"):
        extras["response_format"] = wish
    return extras or NOTHING


def splice_request(source: JsonObject, *, upstream_model: str, max_output_tokens: int | None) -> EncodedRequest:
    """The caller's own body with another model name, stream usage asked for, and the output limit lowered."""
    body: dict[str, Any] = dict(source)
    body["model"] = upstream_model
    if body.get("stream") is True:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if max_output_tokens is not None:
        _lower_limit(body, max_output_tokens, upstream_model)
    return EncodedRequest(path=PATH, body=dump(body))


def _lower_limit(body: dict[str, Any], limit: int, upstream_model: str) -> None:
    set_by_caller = False
    for name in ("max_completion_tokens", "max_tokens"):
        own = fields.integer(body, name, least=1)
        if own is not None:
            set_by_caller = True
            body[name] = min(own, limit)
    if not set_by_caller:
        body[limit_field(upstream_model)] = limit
