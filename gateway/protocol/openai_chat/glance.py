"""Chat at a glance: requests and replies of the usual kinds without a conversation being made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.protocol.codec import NO_TARGET, EncodedRequest, Target
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS
from gateway.protocol.estimate import PromptSize
from gateway.protocol.glance import Asked, CodecGlance, Seen, seen_in
from gateway.protocol.json_text import load_reply, load_request
from gateway.protocol.openai_chat.codec import OpenAIChat
from gateway.protocol.openai_chat.glance_messages import add_messages, add_tools
from gateway.protocol.openai_chat.plain_deltas import PlainDeltas
from gateway.protocol.openai_chat.request import MOST_CHOICES, PATH
from gateway.protocol.openai_chat.usage import usage_in_body
from gateway.protocol.openai_chat.words import read_finish
from gateway.protocol.plain_fields import (
    FLAG,
    INTEGER,
    LIST,
    NOTHING_ELSE,
    NUMBER,
    OBJECT,
    TEXT,
    Kinds,
    are_of,
    in_range,
    is_texts,
)
from gateway.protocol.quirks.quirks import STANDARD, Quirks

_KINDS: Kinds = {
    "messages": frozenset((list,)),
    "stream": FLAG,
    "stream_options": OBJECT,
    "tools": LIST,
    "n": INTEGER,
    "max_tokens": INTEGER,
    "max_completion_tokens": INTEGER,
    "seed": INTEGER,
    "top_k": INTEGER,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "frequency_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "parallel_tool_calls": FLAG,
    "user": TEXT,
    "metadata": OBJECT,
    "service_tier": TEXT,
    "prompt_cache_key": TEXT,
    "verbosity": TEXT,
    "reasoning_effort": TEXT,
    "functions": NOTHING_ELSE,
    "function_call": NOTHING_ELSE,
    "reasoning": NOTHING_ELSE,
}
_BOUNDS = {
    "n": (1, MOST_CHOICES),
    "max_tokens": (1, 2**31 - 1),
    "max_completion_tokens": (1, 2**31 - 1),
    "seed": (-(2**63), 2**63 - 1),
    "top_k": (0, 2**31 - 1),
}
_ANY = (0, 0)
_CHOICES = frozenset(("auto", "none", "required", "any"))
_LOOKED_AT = frozenset(("tool_choice", "stop", *_BOUNDS))

_MOST_SPLICED = 8192  # a larger body is written again as fast as it is searched
_NESTED = re.compile(rb"[{}\[\]]")
_USAGE_WANTED = b',"stream_options":{"include_usage":true}}'


class ChatGlance(CodecGlance):
    def __init__(self) -> None:
        super().__init__(OpenAIChat())

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        source = load_request(body)
        model, options = source.get("model"), source.get("stream_options") or NOTHING
        if type(model) is not str or not are_of(source, _KINDS) or not _are_usual(source):
            return None
        wants_usage = options.get("include_usage")
        size = PromptSize()
        if type(wants_usage) not in FLAG or not add_messages(source.get("messages"), size):
            return None
        tools = source.get("tools")
        if (tools and not add_tools(tools, size)) or not _add_format(source.get("response_format"), size):
            return None
        limit = source.get("max_completion_tokens")
        routing = NOTHING
        if not ROUTER_FIELDS.isdisjoint(source):
            routing = {name: source[name] for name in ROUTER_FIELDS if name in source}
        return Asked(
            model,
            source.get("stream") or False,
            wants_usage or False,
            source.get("max_tokens") if limit is None else limit,
            source.get("n") or 1,
            size.upper(),
            source,
            routing,
            size.images,
        )

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
        if max_output_tokens is None and quirks is STANDARD and not asked.routing and len(body) < _MOST_SPLICED:
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
        seen = self._seen(body, source)
        if "cost" in source:
            seen.own_costs = True
        return seen

    def _seen(self, body: bytes, source: Mapping[str, Any]) -> Seen:
        choices, usage = source.get("choices"), usage_in_body(source)
        choice = choices[0] if type(choices) is list and len(choices) == 1 else None
        choice = choice if type(choice) is dict else NOTHING
        message = choice.get("message")
        if usage is None or type(message) is not dict or not _is_usual_message(message):
            return seen_in(self.codec.decode_reply(body))
        content, calls, native = message.get("content"), message.get("tool_calls"), choice.get("finish_reason")
        if type(native) is not str or type(content) not in TEXT or not (calls is None or _are_calls(calls)):
            return seen_in(self.codec.decode_reply(body))
        tier = source.get("service_tier")
        finish = "stop" if native == "stop" and not calls else ""
        if native and not finish:
            finish = read_finish(native, has_calls=bool(calls)).value
        return Seen(usage, tier if type(tier) is str else "", finish, bool(content or calls), True)

    def plain_deltas(self, seen: Seen) -> Callable[[bytes], bool]:
        return PlainDeltas(seen)


_USUAL = frozenset(("role", "content", "tool_calls"))


def _is_usual_message(message: Mapping[str, Any]) -> bool:
    return _USUAL.issuperset(message) or not any(map(message.get, message.keys() - _USUAL))


def _are_calls(calls: Any) -> bool:
    return type(calls) is list and all(type(call) is dict and type(call.get("function")) is dict for call in calls)


def _are_usual(source: Mapping[str, Any]) -> bool:
    looked_at = _LOOKED_AT.intersection(source)
    for name in looked_at:
        least, most = _BOUNDS.get(name, _ANY)
        if most and not in_range(source[name], least, most):
            return False
    return _is_usual_choice(source.get("tool_choice")) and is_texts(source.get("stop"))


def _is_usual_choice(choice: Any) -> bool:
    if type(choice) is dict:
        function = choice.get("function")
        return choice.get("type") == "function" and type(function) is dict and type(function.get("name")) is str
    return choice is None or (type(choice) is str and choice in _CHOICES)


def _add_format(wish: Any, size: PromptSize) -> bool:
    if wish is None:
        return True
    kind = wish.get("type") if type(wish) is dict else None
    if kind != "json_schema":
        return type(kind) is str
    inner = wish.get("json_schema")
    if type(inner) is not dict or type(inner.get("schema")) is not dict or not are_of(inner, _FORMAT):
        return False
    size.values.append(inner["schema"])
    return True


_FORMAT: Kinds = {"name": TEXT, "strict": FLAG, "description": TEXT}


def _with_model(body: bytes, asked: Asked, upstream_model: str) -> bytes | None:
    """The body with only the model's name replaced, and usage asked for in a stream; None where it isn't certain that
    the name stands where it seems to."""
    name = f'"{asked.model}"'.encode()
    start = body.find(b'"model"')
    if start < 0 or '"' in upstream_model or "\\" in upstream_model:
        return None
    for shape in (b'"model":', b'"model": '):
        if body.startswith(shape + name, start):
            break
    else:
        return None
    after = start + len(shape) + len(name)
    # A letter of a name can be written as its number.
    if not _is_at_top(body, start, after) or body.find(b'"model"', after) >= 0 or b"\\u00" in body:
        return None
    ending = body[after:]
    if asked.stream and not asked.include_usage:
        if "stream_options" in asked.source or not ending.endswith(b"}"):
            return None
        ending = ending[:-1] + _USAGE_WANTED
    return b"".join((body[: start + len(shape)], f'"{upstream_model}"'.encode(), ending))


def _is_at_top(body: bytes, start: int, after: int) -> bool:
    """Whether the field is the object's own: first in it, or followed by nothing nested."""
    if body[:start].strip() == b"{":
        return True
    ending = body[after:].rstrip()
    return ending.endswith(b"}") and _NESTED.search(ending[:-1]) is None
