"""Responses at a glance: requests and replies of the usual kinds without a conversation being made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.protocol.codec import NO_TARGET, Target
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS
from gateway.protocol.estimate import PromptSize
from gateway.protocol.glance import Asked, CodecGlance, Seen, seen_in
from gateway.protocol.json_text import load_reply, load_request
from gateway.protocol.openai_responses.codec import OpenAIResponses
from gateway.protocol.openai_responses.glance_items import add_input, add_tools
from gateway.protocol.openai_responses.usage import count_searches, read_usage
from gateway.protocol.openai_responses.words import native_finish, read_finish
from gateway.protocol.plain_fields import (
    FLAG,
    INTEGER,
    LIST,
    NUMBER,
    OBJECT,
    TEXT,
    Kinds,
    are_of,
    in_range,
    is_texts,
)

_UNSTORED = frozenset((bool, type(None)))
_KINDS: Kinds = {
    "instructions": TEXT,
    "tools": LIST,
    "parallel_tool_calls": FLAG,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "max_output_tokens": INTEGER,
    "text": OBJECT,
    "reasoning": OBJECT,
    "stream": FLAG,
    "user": TEXT,
    "safety_identifier": TEXT,
    "metadata": OBJECT,
    "prompt_cache_key": TEXT,
    "service_tier": TEXT,
}
_STORED = ("previous_response_id", "conversation", "prompt", "background")
_TEXT_WISHES: Kinds = {"verbosity": TEXT, "format": OBJECT}
_REASONING: Kinds = {"effort": TEXT, "enabled": FLAG, "max_tokens": INTEGER}
_CHOICES = frozenset(("auto", "none", "required"))
_PLAIN_FORMATS = frozenset(("text", "json_object"))


class ResponsesGlance(CodecGlance):
    def __init__(self) -> None:
        super().__init__(OpenAIResponses())

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        source = load_request(body)
        model, size = source.get("model"), PromptSize()
        if type(model) is not str or not are_of(source, _KINDS) or not _are_usual(source):
            return None
        tools, instructions = source.get("tools"), source.get("instructions")
        if not add_input(source.get("input"), size) or (tools and not add_tools(tools, size)):
            return None
        if instructions:
            size.turns += 1
            size.texts.append(instructions)
        routing = {name: source[name] for name in ROUTER_FIELDS if source.get(name) is not None}
        limit = source.get("max_output_tokens")
        stream = source.get("stream") or False
        return Asked(model, stream, True, limit, 1, size.upper(), source, routing or NOTHING, size.images)

    def glance_reply(self, body: bytes) -> Seen:
        source = load_reply(body)
        output, status = source.get("output"), source.get("status")
        if type(output) is not list or status == "failed" or not all(map(_is_usual_item, output)):
            return seen_in(self.codec.decode_reply(body))
        usage = read_usage(source.get("usage"), count_searches(output))
        if usage is None:
            return seen_in(self.codec.decode_reply(body))
        native, tier = native_finish(source), source.get("service_tier")
        has_calls = any(item["type"] == "function_call" for item in output)
        return Seen(
            usage=usage,
            service_tier=tier if type(tier) is str else "",
            finish_reason=read_finish(native, has_calls=has_calls, has_refusal=False).value if native else "",
            content=bool(output),
            complete=True,
        )

    def plain_deltas(self, seen: Seen) -> Callable[[bytes], bool]:
        return _are_deltas


def _is_usual_item(item: Any) -> bool:
    """A call, or a message of nothing but text."""
    kind = item.get("type") if type(item) is dict else None
    if kind == "function_call":
        return True
    content = item.get("content") if kind == "message" else None
    return (
        type(content) is list
        and bool(content)
        and all(
            type(part) is dict and part.get("type") == "output_text" and type(part.get("text")) is str
            for part in content
        )
    )


def _are_deltas(chunk: bytes) -> bool:
    """Whether a chunk of whole events holds nothing but deltas of texts and arguments, each framed as OpenAI does it.

    Deltas of refusals are read: that there was one is part of how the answer has finished.
    """
    events = chunk.count(b'.delta\ndata: {"type":"response.')
    return (
        events > 0
        and chunk.count(b"\n") == 3 * events == 3 * chunk.count(b"}\n\n")
        and chunk.startswith(b"event: response.")
        and b": response.refusal" not in chunk
        and b"\r" not in chunk
    )


def _are_usual(source: Mapping[str, Any]) -> bool:
    for name in _STORED:
        if source.get(name) not in (None, False) or type(source.get(name)) not in _UNSTORED:
            return False
    wishes, reasoning = source.get("text") or NOTHING, source.get("reasoning") or NOTHING
    return (
        in_range(source.get("max_output_tokens"), 1)
        and is_texts(source.get("include"))
        and are_of(wishes, _TEXT_WISHES)
        and (wishes.get("format") is None or _is_plain_format(wishes["format"].get("type")))
        and are_of(reasoning, _REASONING)
        and in_range(reasoning.get("max_tokens"), 0)
        and _is_usual_choice(source.get("tool_choice"))
    )


def _is_plain_format(kind: Any) -> bool:
    return type(kind) is str and kind in _PLAIN_FORMATS


def _is_usual_choice(choice: Any) -> bool:
    if type(choice) is dict:
        return choice.get("type") == "function" and type(choice.get("name")) is str
    return choice is None or (type(choice) is str and choice in _CHOICES)
