"""A conversation of any dialect as a Messages request."""

from __future__ import annotations

from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.blocks import DIALECT
from gateway.protocol.anthropic_messages.caching import set_breakpoints
from gateway.protocol.anthropic_messages.dropped_names import in_words_of
from gateway.protocol.anthropic_messages.formats import encode_format, holds_to_schemas
from gateway.protocol.anthropic_messages.host import instruct
from gateway.protocol.anthropic_messages.splice import PATH, VERSION
from gateway.protocol.anthropic_messages.thinking import claude_version, encode_thinking, refuses_sampling
from gateway.protocol.anthropic_messages.tools import encode_tools
from gateway.protocol.anthropic_messages.turns import encode_turns
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation
from gateway.protocol.json_text import dump
from gateway.protocol.quirks.messages import MessagesQuirks
from gateway.protocol.untranslatable import refuse_untranslatable

# The dialect requires a limit; this one is sent when neither the caller nor the gateway has one.
DEFAULT_MAX_TOKENS = 4096

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


def encode_request(
    conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None, quirks: MessagesQuirks
) -> EncodedRequest:
    """What Messages cannot carry is named in ``dropped``. Raises ProtocolError for what must not be left out."""
    refuse_untranslatable(conversation, DIALECT)
    own = conversation.dialect == DIALECT
    dropped: list[str] = []
    limit = max_output_tokens or conversation.max_output_tokens or DEFAULT_MAX_TOKENS
    system, messages = encode_turns(conversation, quirks, dropped)
    body: dict[str, Any] = {"model": upstream_model, "max_tokens": limit, "messages": messages}
    if system:
        body["system"] = system
    body.update(encode_tools(conversation, dropped, takes_strict=holds_to_schemas(upstream_model, quirks)))
    body.update(_encode_output(conversation, upstream_model, limit, quirks, dropped))
    words = body.pop("words")
    if words:
        instruct(body, words)
    body.update(_encode_sampling(conversation, upstream_model, "thinking" in body and not own, dropped))
    body.update(_encode_wishes(conversation, own, dropped))
    for name in quirks.without & body.keys():
        del body[name]
        dropped.append("stop" if name == "stop_sequences" else name)
    if not own:
        set_breakpoints(body, conversation)
    if conversation.stream:
        body["stream"] = True
    return EncodedRequest(
        path=PATH,
        body=dump(body),
        headers={"anthropic-version": VERSION},
        dropped=in_words_of(conversation.dialect, dropped),
    )


def _encode_output(
    conversation: Conversation, upstream_model: str, limit: int, quirks: MessagesQuirks, dropped: list[str]
) -> dict[str, Any]:
    """``thinking`` and ``output_config``; and under "words" what the system text has to say instead."""
    own = conversation.dialect == DIALECT
    config: dict[str, Any] = dict(conversation.extras.get("output_config", {})) if own else {}
    wishes = encode_thinking(conversation, upstream_model, limit, quirks, dropped)
    if "effort" in wishes:
        config["effort"] = wishes["effort"]
    form, words = encode_format(conversation.response_format, upstream_model, quirks, own=own, dropped=dropped)
    if form is not None:
        config["format"] = form
    if conversation.verbosity is not None and not own:
        dropped.append("verbosity")
    body: dict[str, Any] = {"words": words}
    if "thinking" in wishes:
        body["thinking"] = wishes["thinking"]
    if config:
        body["output_config"] = config
    return body


def _encode_sampling(
    conversation: Conversation, upstream_model: str, is_thinking: bool, dropped: list[str]
) -> dict[str, Any]:
    sampling = conversation.sampling
    chosen = _encode_randomness(conversation, upstream_model, is_thinking, dropped)
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) < len(sampling.stop):
        dropped.append("stop")
    for name in ("seed", "frequency_penalty", "presence_penalty"):
        if getattr(sampling, name):
            dropped.append(name)
    if sampling.n > 1:
        dropped.append("n")
    return {**chosen, **fields.without_none(stop_sequences=stop or None)}


def _encode_randomness(
    conversation: Conversation, upstream_model: str, is_thinking: bool, dropped: list[str]
) -> dict[str, Any]:
    """Temperature, top_p and top_k. Thinking refuses some, new models all, and Claude temperature beside top_p."""
    sampling = conversation.sampling
    temperature, top_p, top_k = sampling.temperature, sampling.top_p, sampling.top_k
    if conversation.dialect == DIALECT:
        return fields.without_none(temperature=temperature, top_p=top_p, top_k=top_k)
    if refuses_sampling(upstream_model):
        dropped.extend(
            name
            for name, is_lost in (
                ("temperature", temperature not in (None, 1)),
                ("top_p", top_p not in (None, 1)),
                ("top_k", top_k is not None),
            )
            if is_lost
        )
        return {}
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
    if temperature is not None and top_p is not None and claude_version(upstream_model) is not None:
        if top_p != 1:
            dropped.append("top_p")
        top_p = None
    return fields.without_none(temperature=temperature, top_p=top_p, top_k=top_k)


def _encode_wishes(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    metadata = dict(conversation.metadata) if own else {}
    if conversation.user is not None:
        metadata["user_id"] = _own_user(conversation) or conversation.user
    if metadata:
        body["metadata"] = metadata
    if own:
        if conversation.service_tier is not None:
            body["service_tier"] = "auto" if conversation.service_tier == "auto" else "standard_only"
        return {**body, **{name: value for name, value in conversation.extras.items() if name != "output_config"}}
    dropped.extend(name for name in conversation.extras if name not in _SILENT)
    return body


def _own_user(conversation: Conversation) -> str | None:
    """The id as the caller of this dialect wrote it, before it was made short for others."""
    metadata = conversation.source.get("metadata") if conversation.dialect == DIALECT else None
    return metadata.get("user_id") if isinstance(metadata, dict) else None
