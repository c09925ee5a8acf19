"""Chat requests: body to conversation, and a body for a chat upstream from its own text."""

from __future__ import annotations

import re
from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS, Conversation, JsonObject, Sampling
from gateway.protocol.envelope import is_sealed
from gateway.protocol.json_text import dump, load_request
from gateway.protocol.openai_chat.host import fit_body, fit_history
from gateway.protocol.openai_chat.messages import DIALECT, decode_messages
from gateway.protocol.openai_chat.reasoning import read_controls
from gateway.protocol.openai_chat.tools import decode_choice, decode_format, decode_tools, is_foreign_choice
from gateway.protocol.problem import invalid
from gateway.protocol.quirks.quirks import STANDARD, Quirks

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
        "prompt_cache_key",
        "service_tier",
        "verbosity",
        *ROUTER_FIELDS,
    ]
)

# OpenAI's own models from o1 on take only the newer name; most other makers know only the older one, and some
# ignore a name that they do not know, which would leave the answer without a limit.
_NEWER_LIMIT = re.compile(r"(?:^|/)(?:gpt-(?!oss)|chatgpt|codex|o\d)", re.IGNORECASE)


def limit_field(upstream_model: str, quirks: Quirks = STANDARD) -> str:
    """The field in which this model takes its output limit."""
    if quirks.limit_field:
        return quirks.limit_field
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
        cache_key=fields.text(source, "prompt_cache_key"),
        service_tier=fields.text(source, "service_tier"),
        verbosity=fields.text(source, "verbosity"),
        routing={name: source[name] for name in ROUTER_FIELDS & source.keys()} or NOTHING,
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
    if is_foreign_choice(source):
        extras["tool_choice"] = source["tool_choice"]
    wish = source.get("response_format")
    if isinstance(wish, dict) and wish.get("type") not in ("text", "json_object", "json_schema"):
        extras["response_format"] = wish
    return extras or NOTHING


def splice_request(
    source: JsonObject, *, upstream_model: str, max_output_tokens: int | None, quirks: Quirks = STANDARD
) -> EncodedRequest:
    """The caller's own body with another model name, stream usage asked for, the output limit lowered, and without
    what is ours or what the host refuses."""
    dropped: list[str] = []
    body: dict[str, Any] = {name: value for name, value in source.items() if name not in ROUTER_FIELDS}
    body["model"] = upstream_model
    if body.get("stream") is True and not quirks.usage_unasked:
        options = body.get("stream_options")
        body["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if max_output_tokens is not None:
        _lower_limit(body, max_output_tokens, limit_field(upstream_model, quirks))
    if isinstance(body.get("messages"), list):
        body["messages"] = [_unsealed(message) for message in body["messages"]]
    fit_body(body, quirks, upstream_model, dropped)
    fit_history(body, quirks, upstream_model, dropped)
    return EncodedRequest(path=PATH, body=dump(body), dropped=tuple(dict.fromkeys(dropped)))


def _unsealed(message: Any) -> Any:
    """The message without seals: chat has none of its own, so one that a caller carried over is of no use here."""
    details = message.get("reasoning_details") if isinstance(message, dict) else None
    if not isinstance(details, list) or not any(_has_seal(entry) for entry in details):
        return message
    kept = [entry for entry in details if not _has_seal(entry)]
    bare = {name: value for name, value in message.items() if name != "reasoning_details"}
    return {**bare, "reasoning_details": kept} if kept else bare


def _has_seal(entry: Any) -> bool:
    return isinstance(entry, dict) and (is_sealed(entry.get("signature")) or is_sealed(entry.get("data")))


def _lower_limit(body: dict[str, Any], limit: int, name_at_host: str) -> None:
    set_by_caller = False
    for name in ("max_completion_tokens", "max_tokens"):
        own = fields.integer(body, name, least=1)
        if own is not None:
            set_by_caller = True
            body[name] = min(own, limit)
    if not set_by_caller:
        body[name_at_host] = limit
