"""Chat at a glance: requests and replies of the plain kind without a conversation being made of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.protocol.codec import NO_TARGET, EncodedRequest, Target
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS
from gateway.protocol.estimate import json_tokens_upper, messages_tokens_upper, text_tokens_upper
from gateway.protocol.glance import Asked, CodecGlance, Seen, seen_in
from gateway.protocol.json_text import load_reply, load_request
from gateway.protocol.openai_chat.codec import OpenAIChat
from gateway.protocol.openai_chat.request import MOST_CHOICES, PATH
from gateway.protocol.openai_chat.usage import usage_in_body
from gateway.protocol.openai_chat.words import read_finish
from gateway.protocol.quirks.quirks import STANDARD, Quirks

_UNUSUAL = (
    b'"finish_reason":"',
    b'"finish_reason": "',
    b'"usage":{',
    b'"usage": {',
    b'"error"',
    b"[DONE]",
    b'"tool_calls"',
    b"event:",
    b"\n:",
    b"\r",
)
_ROLES = frozenset(("system", "developer", "user", "assistant", "tool"))
# Fields whose value is a number, or text, in whatever a glance takes; others are decoded.
_NUMBERS = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_TEXTS = ("user", "service_tier", "prompt_cache_key", "verbosity", "reasoning_effort")
_NEAR = 4096
_NESTED = re.compile(rb"[{}\[\]]")
# Regular expressions find these several times faster than bytes.find does, which stumbles over every quotation mark.
_MODEL_KEY = re.compile(rb'"model"')
_ESCAPED = re.compile(rb"\\u00")  # a letter of a key can be written so
_USAGE_WANTED = b',"stream_options":{"include_usage":true}}'


class ChatGlance(CodecGlance):
    def __init__(self) -> None:
        super().__init__(OpenAIChat(), _UNUSUAL)

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        source = load_request(body)
        model, stream = source.get("model"), source.get("stream", False)
        options, choices = source.get("stream_options") or {}, source.get("n", 1)
        if type(model) is not str or not model.strip() or type(stream) is not bool or type(options) is not dict:
            return None
        wants_usage = options.get("include_usage", False)
        limit = source.get("max_completion_tokens", source.get("max_tokens"))
        prompt = _prompt_tokens(source)
        if (
            prompt is None
            or type(wants_usage) is not bool
            or type(choices) is not int
            or not 1 <= choices <= MOST_CHOICES
            or not _are_plain(source)
        ):
            return None
        routing = {name: source[name] for name in ROUTER_FIELDS if name in source}
        return Asked(model, stream, wants_usage, limit, choices, prompt, source, routing or NOTHING)

    def splice(
        self,
        body: bytes,
        asked: Asked,
        *,
        upstream_model: str,
        max_output_tokens: int | None,
        quirks: Quirks = STANDARD,
        client_headers: Mapping[str, str] = NOTHING,
    ) -> EncodedRequest:
        if max_output_tokens is None and quirks is STANDARD and not asked.routing:
            spliced = _with_model(body, asked, upstream_model)
            if spliced is not None:
                return EncodedRequest(PATH, spliced)
        return super().splice(
            body,
            asked,
            upstream_model=upstream_model,
            max_output_tokens=max_output_tokens,
            quirks=quirks,
            client_headers=client_headers,
        )

    def glance_reply(self, body: bytes) -> Seen:
        source = load_reply(body)
        choices = source.get("choices")
        usage = usage_in_body(source)
        if type(choices) is not list or len(choices) != 1 or usage is None:
            return seen_in(self.codec.decode_reply(body))
        choice = choices[0]
        message = choice.get("message") if type(choice) is dict else None
        native = choice.get("finish_reason") if type(choice) is dict else None
        if type(message) is not dict or type(native) is not str or not native:
            return seen_in(self.codec.decode_reply(body))
        content, tier = message.get("content"), source.get("service_tier")
        if type(content) is not str or not _says_only_text(message):
            return seen_in(self.codec.decode_reply(body))
        return Seen(
            usage=usage,
            service_tier=tier if type(tier) is str else "",
            finish_reason=read_finish(native, has_calls=False).value,
            content=bool(content),
            complete=True,
        )


_TEXT_MESSAGE = frozenset(("role", "content"))
_EMPTY_IN_TEXT = frozenset(("refusal", "annotations", "tool_calls", "function_call", "audio"))


def _says_only_text(message: Mapping[str, Any]) -> bool:
    for name, value in message.items():
        if name not in _TEXT_MESSAGE and (value or name not in _EMPTY_IN_TEXT):
            return False
    return True


def _are_plain(source: Mapping[str, Any]) -> bool:
    """Whether the small fields are of the kinds that the codec takes as they are."""
    for name in _NUMBERS:
        value = source.get(name)
        if value is not None and type(value) is not int and type(value) is not float:
            return False
    for name in _TEXTS:
        value = source.get(name)
        if value is not None and type(value) is not str:
            return False
    for name in ("max_tokens", "max_completion_tokens"):
        value = source.get(name)
        if name in source and (type(value) is not int or value < 1):
            return False
    stop, seed, choice = source.get("stop"), source.get("seed"), source.get("tool_choice")
    return (
        (stop is None or type(stop) is str)
        and (seed is None or (type(seed) is int and -(2**63) <= seed < 2**63))
        and (choice is None or choice in ("auto", "none", "required"))
        and not source.keys() & _DECODED
    )


# Their shapes have many forms; whoever sends them can wait for the codec.
_DECODED = frozenset(
    ("functions", "function_call", "response_format", "reasoning", "metadata", "top_k", "parallel_tool_calls")
)


def _prompt_tokens(source: Mapping[str, Any]) -> int | None:
    """The upper estimate; None for messages that are not of the plain kind."""
    messages, tools = source.get("messages"), source.get("tools")
    if type(messages) is not list or not messages:
        return None
    total = 0
    for message in messages:
        tokens = _message_tokens(message) if type(message) is dict else None
        if tokens is None:
            return None
        total += tokens
    if tools is not None and not (type(tools) is list and all(_is_function(tool) for tool in tools)):
        return None
    return messages_tokens_upper(total, len(messages)) + (json_tokens_upper(tools) if tools else 0)


def _message_tokens(message: Mapping[str, Any]) -> int | None:
    content, role = message.get("content"), message.get("role")
    if type(role) is not str or role not in _ROLES:
        return None
    if type(content) is str:
        if len(message) == 2:
            return text_tokens_upper(content)
        if role == "tool" and message.keys() == _RESULT and type(message["tool_call_id"]) is str:
            return text_tokens_upper(content)
        return None
    if type(content) is list and len(message) == 2:
        total = 0
        for part in content:
            text = part.get("text") if type(part) is dict and part.get("type") == "text" else None
            if type(text) is not str:
                return None
            total += text_tokens_upper(text)
        return total if content else None
    return None


_RESULT = frozenset(("role", "content", "tool_call_id"))


def _is_function(tool: Any) -> bool:
    if type(tool) is not dict or tool.get("type") != "function":
        return False
    function = tool.get("function")
    return (
        type(function) is dict
        and type(function.get("name")) is str
        and bool(function["name"])
        and type(function.get("parameters", NOTHING)) in (dict, type(NOTHING))
        and type(function.get("description", "")) is str
        and type(function.get("strict", False)) is bool
        and len(tool) == 2
    )


def _with_model(body: bytes, asked: Asked, upstream_model: str) -> bytes | None:
    """The body with only the model's name replaced, and usage asked for in a stream; None where it isn't certain that
    the name stands where it seems to."""
    name = f'"{asked.model}"'.encode()
    found = _MODEL_KEY.search(body)
    if found is None or '"' in upstream_model or "\\" in upstream_model:
        return None
    start = found.start()
    for shape in (b'"model":', b'"model": '):
        if body.startswith(shape + name, start):
            break
    else:
        return None
    after = start + len(shape) + len(name)
    if not _is_at_top(body, start, after) or _MODEL_KEY.search(body, after) or _ESCAPED.search(body):
        return None
    ending = body[after:]
    if asked.stream and not asked.include_usage:
        if "stream_options" in asked.source or not ending.endswith(b"}"):
            return None
        ending = ending[:-1] + _USAGE_WANTED
    return b"".join((body[: start + len(shape)], f'"{upstream_model}"'.encode(), ending))


def _is_at_top(body: bytes, start: int, after: int) -> bool:
    """Whether the field is the object's own: first in it, or followed by nothing nested."""
    if start < _NEAR and body[:start].strip() == b"{":
        return True
    if len(body) - after > _NEAR:
        return False
    ending = body[after:].rstrip()
    return ending.endswith(b"}") and _NESTED.search(ending[:-1]) is None
