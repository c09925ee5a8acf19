"""Messages at a glance: requests and replies of the usual kinds without a conversation being made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.protocol.anthropic_messages.codec import AnthropicMessages
from gateway.protocol.anthropic_messages.glance_blocks import add_blocks, add_messages, add_tools
from gateway.protocol.anthropic_messages.host import is_billing
from gateway.protocol.anthropic_messages.reply import explanation_of, tier_of
from gateway.protocol.anthropic_messages.usage import read_usage
from gateway.protocol.anthropic_messages.words import read_finish
from gateway.protocol.codec import NO_TARGET, Target
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS
from gateway.protocol.estimate import PromptSize
from gateway.protocol.glance import Asked, CodecGlance, Seen, seen_in
from gateway.protocol.json_text import load_reply, load_request
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

_KINDS: Kinds = {
    "messages": frozenset((list,)),
    "max_tokens": frozenset((int,)),
    "stream": FLAG,
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": INTEGER,
    "tools": LIST,
    "tool_choice": OBJECT,
    "metadata": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
    "output_format": NOTHING_ELSE,
    "service_tier": TEXT,
}
_CHOICE: Kinds = {"type": frozenset((str,)), "disable_parallel_tool_use": FLAG}
_CHOICES = frozenset(("auto", "none", "any"))
_THINKING: Kinds = {"type": TEXT, "budget_tokens": INTEGER}
_CONFIG: Kinds = {"effort": TEXT, "format": NOTHING_ELSE}
_DELTA = b"event: content_block_delta\ndata: {"


class MessagesGlance(CodecGlance):
    def __init__(self) -> None:
        super().__init__(AnthropicMessages())

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        source = load_request(body)
        model, limit = source.get("model"), source.get("max_tokens")
        if type(model) is not str or not are_of(source, _KINDS) or limit is None or not _are_usual(source):
            return None
        size = PromptSize()
        tools = source.get("tools")
        if not _add_system(source.get("system"), size) or not add_messages(source.get("messages"), size):
            return None
        if tools and not add_tools(tools, size):
            return None
        routing = {name: source[name] for name in ROUTER_FIELDS if name in source}
        stream = source.get("stream") or False
        return Asked(model, stream, True, limit, 1, size.upper(), source, routing or NOTHING, size.images)

    def glance_reply(self, body: bytes) -> Seen:
        source = load_reply(body)
        content, usage = source.get("content"), read_usage(source.get("usage"))
        native = source.get("stop_reason")
        if type(content) is not list or usage is None or type(native) is not str or explanation_of(source):
            return seen_in(self.codec.decode_reply(body))
        blocks = [block for block in content if type(block) is dict]
        has_calls = any(block.get("type") == "tool_use" for block in blocks)
        return Seen(
            usage=usage,
            service_tier=tier_of(source.get("usage")) or "",
            finish_reason=read_finish(native, has_calls=has_calls).value if native else "",
            content=bool(blocks),
            complete=True,
        )

    def plain_deltas(self, seen: Seen) -> Callable[[bytes], bool]:
        return _are_deltas


def _are_deltas(chunk: bytes) -> bool:
    """Whether a chunk of whole events holds nothing but deltas, each framed as Anthropic does it."""
    events = chunk.count(_DELTA)
    return (
        events > 0
        and chunk.count(b"\n") == 3 * events == 3 * chunk.count(b"}\n\n")
        and b'"error"' not in chunk
        and b"\r" not in chunk
    )


def _are_usual(source: Mapping[str, Any]) -> bool:
    if not in_range(source["max_tokens"], 1) or not in_range(source.get("top_k"), 0):
        return False
    metadata, thinking = source.get("metadata") or NOTHING, source.get("thinking") or NOTHING
    return (
        type(metadata.get("user_id")) in TEXT
        and is_texts(source.get("stop_sequences"))
        and are_of(thinking, _THINKING)
        and in_range(thinking.get("budget_tokens"), 0)
        and are_of(source.get("output_config") or NOTHING, _CONFIG)
        and _is_usual_choice(source.get("tool_choice"))
    )


def _is_usual_choice(choice: Any) -> bool:
    if choice is None:
        return True
    if not are_of(choice, _CHOICE):
        return False
    kind = choice.get("type")
    return kind in _CHOICES or (kind == "tool" and type(choice.get("name")) is str)


def _add_system(system: Any, size: PromptSize) -> bool:
    if system is None:
        return True
    size.turns += 1
    if type(system) is str:
        size.texts.append("" if is_billing(system) else system)
        return True
    return type(system) is list and add_blocks(system, size)
