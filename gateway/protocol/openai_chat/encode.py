"""A conversation of any dialect as a chat request."""

from __future__ import annotations

from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages.dropped_names import in_words_of
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import Conversation, ResponseFormat
from gateway.protocol.json_text import dump, dump_text
from gateway.protocol.openai_chat.host import fit_body, fit_history, leave_ignored
from gateway.protocol.openai_chat.host_messages import text_of
from gateway.protocol.openai_chat.messages import DIALECT
from gateway.protocol.openai_chat.reasoning import write_controls
from gateway.protocol.openai_chat.request import PATH, limit_field
from gateway.protocol.openai_chat.tools import encode_choice, encode_format, encode_tools
from gateway.protocol.openai_chat.turns import encode_turns
from gateway.protocol.quirks.controls import CONTROL_FIELDS
from gateway.protocol.quirks.quirks import STANDARD, Quirks
from gateway.protocol.untranslatable import refuse_untranslatable

_TIERS = frozenset(("auto", "default", "flex", "priority", "scale"))
# What a caller calls its wish for reasoning and for a form of the answer.
_REASONING_WORDS = {
    "anthropic_messages": "thinking",
    "openai_responses": "reasoning",
    "gemini_generate": "thinkingConfig",
}
_FORMAT_WORDS = {
    "anthropic_messages": "output_config.format",
    "openai_responses": "text.format",
    "gemini_generate": "responseSchema",
}
_FORM = "Answer with nothing but JSON that fits this schema:"


def encode_request(
    conversation: Conversation, *, upstream_model: str, max_output_tokens: int | None, quirks: Quirks = STANDARD
) -> EncodedRequest:
    """The body always asks for usage in a stream; what chat or this host cannot carry is named in ``dropped``."""
    refuse_untranslatable(conversation, DIALECT)
    own = conversation.dialect in ("", DIALECT)
    dropped: list[str] = []
    body: dict[str, Any] = {"model": upstream_model, "messages": encode_turns(conversation, dropped, quirks)}
    body.update(_encode_sampling(conversation, own, quirks, dropped))
    limit = max_output_tokens if max_output_tokens is not None else conversation.max_output_tokens
    if limit is not None:
        body[limit_field(upstream_model, quirks)] = limit
    body.update(_encode_tools(conversation, quirks, dropped))
    _encode_format(body, conversation, quirks, dropped)
    body.update(_encode_reasoning(conversation, own, upstream_model, quirks, dropped))
    body.update(_encode_wishes(conversation, own, dropped))
    if conversation.stream:
        body["stream"] = True
        if not quirks.usage_unasked:
            body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}
    leave_ignored(body, quirks, dropped)
    fit_body(body, quirks, upstream_model, dropped)
    fit_history(body, quirks, upstream_model, dropped)
    _mark_prefill(body, quirks)
    return EncodedRequest(path=PATH, body=dump(body), dropped=_in_words_of_caller(conversation, own, dropped))


def _in_words_of_caller(conversation: Conversation, own: bool, dropped: list[str]) -> tuple[str, ...]:
    """A host's own word for reasoning says nothing to a caller of another dialect."""
    plain = dropped if own else ["reasoning_effort" if name in CONTROL_FIELDS else name for name in dropped]
    return in_words_of(conversation.dialect, plain)


def _encode_sampling(conversation: Conversation, own: bool, quirks: Quirks, dropped: list[str]) -> dict[str, Any]:
    sampling = conversation.sampling
    stop = sampling.stop
    if len(stop) > quirks.most_stops and not (own and quirks is STANDARD):
        stop = stop[: quirks.most_stops]
        dropped.append("stop")
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


def _encode_tools(conversation: Conversation, quirks: Quirks, dropped: list[str]) -> dict[str, Any]:
    choice = conversation.tool_choice
    narrowed = choice.allowed if choice is not None and not quirks.allowed_tools else ()
    own = conversation.dialect in ("", DIALECT)
    tools = encode_tools(conversation.tools, dropped, quirks, narrowed, own=own)
    if not tools:
        return {}
    body: dict[str, Any] = {"tools": tools}
    if choice is not None:
        body["tool_choice"] = encode_choice(choice, conversation.tools, quirks)
    if conversation.parallel_tools is not None:
        body["parallel_tool_calls"] = conversation.parallel_tools
    return body


def _encode_format(body: dict[str, Any], conversation: Conversation, quirks: Quirks, dropped: list[str]) -> None:
    """A form that the host does not take is asked for in words, and as plain JSON where it takes that."""
    wish = conversation.response_format
    if wish is None:
        return
    if wish.kind in quirks.formats:
        body["response_format"] = encode_format(wish)
        return
    dropped.append(_FORMAT_WORDS.get(conversation.dialect, "response_format"))
    if "json_object" in quirks.formats:
        body["response_format"] = {"type": "json_object"}
    body["messages"] = _with_instruction(body["messages"], _form_in_words(wish))


def _form_in_words(wish: ResponseFormat) -> str:
    if wish.schema is None:
        return "Answer with nothing but one JSON object."
    return f"{_FORM}\n{dump_text(wish.schema)}"


def _with_instruction(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The text at the end of the first system message, or as one."""
    first = messages[0] if messages else {}
    if first.get("role") not in ("system", "developer"):
        return [{"role": "system", "content": text}, *messages]
    whole = "\n\n".join(piece for piece in (text_of(first.get("content")), text) if piece)
    return [{**first, "content": whole}, *messages[1:]]


def _encode_reasoning(
    conversation: Conversation, own: bool, model: str, quirks: Quirks, dropped: list[str]
) -> dict[str, Any]:
    written, told = write_controls(conversation.reasoning, own=own, quirks=quirks, model=model)
    if not told:
        dropped.append(_REASONING_WORDS.get(conversation.dialect, "reasoning_effort"))
    return written


def _encode_wishes(conversation: Conversation, own: bool, dropped: list[str]) -> dict[str, Any]:
    body = fields.without_none(
        user=conversation.user, prompt_cache_key=conversation.cache_key, verbosity=conversation.verbosity
    )
    tier = conversation.service_tier
    if tier is not None and (own or tier in _TIERS):
        body["service_tier"] = tier
    elif tier is not None:
        dropped.append("service_tier")
    if not own:
        dropped.extend(conversation.extras)
        dropped.extend(f"thinking.{name}" for name in conversation.reasoning.extras)
        return body
    if conversation.metadata:
        body["metadata"] = dict(conversation.metadata)
    return {**body, **conversation.extras}


def _mark_prefill(body: dict[str, Any], quirks: Quirks) -> None:
    """A last message of the assistant is the beginning of the answer, for hosts that want to be told."""
    messages = body["messages"]
    if not quirks.prefill_field or not messages:
        return
    last = messages[-1]
    if last.get("role") == "assistant" and not last.get("tool_calls"):
        messages[-1] = {**last, quirks.prefill_field: True}
