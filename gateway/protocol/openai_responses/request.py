"""Responses requests: body to conversation, and a body for an upstream of this dialect from its own text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.protocol import fields
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import (
    NOTHING,
    ROUTER_FIELDS,
    Conversation,
    JsonObject,
    Sampling,
    Text,
    Turn,
)
from gateway.protocol.json_text import dump, load_request
from gateway.protocol.openai_responses.choice import decode_choice, decode_format, is_foreign_choice
from gateway.protocol.openai_responses.content import DIALECT
from gateway.protocol.openai_responses.items import decode_input
from gateway.protocol.openai_responses.reasoning import native_item, read_controls
from gateway.protocol.openai_responses.stored import is_reference, refuse_stored, unresolvable
from gateway.protocol.openai_responses.tools import decode_tools

PATH = "/responses"
ENCRYPTED = "reasoning.encrypted_content"

_KNOWN = ROUTER_FIELDS | frozenset(
    [
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "temperature",
        "top_p",
        "max_output_tokens",
        "text",
        "reasoning",
        "stream",
        "user",
        "safety_identifier",
        "metadata",
        "prompt_cache_key",
        "service_tier",
        # Refused where they ask for anything (stored.py).
        "previous_response_id",
        "conversation",
        "prompt",
        "background",
        # Without effect on an answer that is translated: nothing is stored, the form of a stream is ours, and a
        # cache is kept or not as the upstream does it.
        "store",
        "stream_options",
        "client_metadata",
        "prompt_cache_retention",
        "prompt_cache_options",
    ]
)
# What the field says where it is left out: saying so asks for nothing.
_DEFAULTS: Mapping[str, Any] = {"truncation": "disabled", "top_logprobs": 0}


def decode_request(body: bytes) -> Conversation:
    """Raises ProtocolError (invalid_request) for anything that is not a Responses request that can be served."""
    source = load_request(body)
    model = fields.required_text(source, "model")
    refuse_stored(source)
    tools = decode_tools(source)
    wishes = fields.obj(source, "text") or NOTHING
    user = fields.text(source, "user")
    return Conversation(
        model=model,
        turns=_decode_turns(source),
        tools=tools,
        tool_choice=decode_choice(source, tools),
        parallel_tools=fields.flag(source, "parallel_tool_calls"),
        sampling=Sampling(
            temperature=fields.number(source, "temperature"),
            top_p=fields.number(source, "top_p"),
            max_output_tokens=fields.integer(source, "max_output_tokens", least=1),
        ),
        response_format=decode_format(source),
        reasoning=read_controls(source),
        stream=fields.flag(source, "stream") or False,
        include_usage=True,
        user=fields.text(source, "safety_identifier") or user,
        metadata=fields.obj(source, "metadata") or NOTHING,
        cache_key=fields.text(source, "prompt_cache_key"),
        service_tier=fields.text(source, "service_tier"),
        verbosity=fields.text(wishes, "verbosity", "text."),
        routing={name: source[name] for name in ROUTER_FIELDS if source.get(name) is not None},
        extras=_extras(source, wishes),
        dialect=DIALECT,
        source=source,
    )


def _decode_turns(source: JsonObject) -> tuple[Turn, ...]:
    instructions = fields.text(source, "instructions")
    turns = decode_input(source)
    return (Turn(role="system", parts=(Text(instructions),)), *turns) if instructions else turns


def _extras(source: JsonObject, wishes: JsonObject) -> JsonObject:
    """Fields without a canonical name that change the answer."""
    extras = dict(fields.rest(source, _KNOWN))
    extras = {name: value for name, value in extras.items() if value != _DEFAULTS.get(name)}
    # Encrypted reasoning is always asked for and always given.
    included = [word for word in fields.texts(source, "include") if word != ENCRYPTED]
    extras.pop("include", None)
    if included:
        extras["include"] = included
    if is_foreign_choice(source):
        extras["tool_choice"] = source["tool_choice"]
    further = fields.rest(wishes, ("format", "verbosity"))
    if further:
        extras["text"] = further
    return extras or NOTHING


def splice_request(
    source: JsonObject,
    *,
    upstream_model: str,
    max_output_tokens: int | None,
    client_headers: Mapping[str, str],
) -> EncodedRequest:
    """The caller's own body with another model name, the output limit lowered, and nothing stored.

    ``store`` is always false: left out it means true, and providers shall not keep what callers send.
    """
    body = {name: value for name, value in source.items() if name not in ROUTER_FIELDS}
    body["model"] = upstream_model
    body["store"] = False
    limit = fields.integer(body, "max_output_tokens", least=1)
    if max_output_tokens is not None and (limit is None or limit > max_output_tokens):
        body["max_output_tokens"] = max_output_tokens
    if isinstance(body.get("input"), list):
        body["input"] = list(_native_input(body["input"]))
    beta = client_headers.get("openai-beta")
    return EncodedRequest(path=PATH, body=dump(body), headers={"openai-beta": beta} if beta else {})


def _native_input(items: list[Any]) -> Iterator[Any]:
    """The input without reasoning of other makers, and their own in the form that they gave it."""
    for index, item in enumerate(items):
        if isinstance(item, dict) and is_reference(item):
            raise unresolvable(f"input[{index}]")
        if isinstance(item, dict) and item.get("type") == "reasoning":
            native = native_item(item)
            if native is not None:
                yield native
        else:
            yield item
