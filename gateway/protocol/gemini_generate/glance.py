"""Gemini at a glance: requests and replies of the usual kinds without a conversation being made of them.

Every event of a stream has a usage that counts if it is the last, so all of them are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.codec import NO_TARGET, Target
from gateway.protocol.conversation import NOTHING, ROUTER_FIELDS
from gateway.protocol.estimate import PromptSize
from gateway.protocol.gemini_generate.codec import GeminiGenerate
from gateway.protocol.gemini_generate.glance_contents import add_contents, add_instruction, add_tools
from gateway.protocol.gemini_generate.usage import read_usage, tier_of
from gateway.protocol.gemini_generate.words import read_finish
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

# A body with other names is decoded: Google takes each of them with underscores too.
_NAMES = frozenset(
    (
        "model",
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "cachedContent",
        "serviceTier",
        "labels",
        *ROUTER_FIELDS,
    )
)
_KINDS: Kinds = {
    "model": TEXT,
    "tools": LIST,
    "toolConfig": NOTHING_ELSE,
    "generationConfig": OBJECT,
    "serviceTier": TEXT,
}
_CONFIG: Kinds = {
    "temperature": NUMBER,
    "topP": NUMBER,
    "topK": INTEGER,
    "maxOutputTokens": INTEGER,
    "candidateCount": INTEGER,
    "seed": INTEGER,
    "frequencyPenalty": NUMBER,
    "presencePenalty": NUMBER,
    "responseMimeType": TEXT,
    "thinkingConfig": OBJECT,
}
_CONFIG_NAMES = frozenset((*_CONFIG, "stopSequences", "responseModalities"))
_BOUNDS = (("maxOutputTokens", 1), ("topK", 0), ("seed", -(2**31)))
_THINKING: Kinds = {"thinkingLevel": TEXT, "thinkingBudget": INTEGER, "includeThoughts": FLAG}
_MOST_CHOICES = 128


class GeminiGlance(CodecGlance):
    def __init__(self) -> None:
        super().__init__(GeminiGenerate())

    def glance_request(self, body: bytes, target: Target = NO_TARGET) -> Asked | None:
        source = load_request(body)
        if not target.model or not _NAMES.issuperset(source) or not are_of(source, _KINDS):
            return None
        config, tools, size = source.get("generationConfig") or NOTHING, source.get("tools"), PromptSize()
        if not _is_usual_config(config) or not add_instruction(source.get("systemInstruction"), size):
            return None
        if not add_contents(source.get("contents"), size) or (tools and not add_tools(tools, size)):
            return None
        routing = {name: source[name] for name in ROUTER_FIELDS if name in source}
        return Asked(
            target.model.removeprefix("models/"),
            bool(target.stream),
            True,
            config.get("maxOutputTokens"),
            config.get("candidateCount") or 1,
            size.upper(),
            source,
            routing or NOTHING,
            size.images,
        )

    def glance_reply(self, body: bytes) -> Seen:
        source = load_reply(body)
        candidates = source.get("candidates")
        candidate = candidates[0] if type(candidates) is list and len(candidates) == 1 else None
        usage = read_usage(source.get("usageMetadata"))
        if usage is None or not _is_plain_answer(candidate):
            return seen_in(self.codec.decode_reply(body))
        assert candidate is not None
        return Seen(
            usage=usage,
            service_tier=tier_of(source.get("usageMetadata")) or "",
            finish_reason=read_finish(candidate["finishReason"], has_calls=False).value,
            content=True,
            complete=True,
        )


_TEXT_PART = frozenset(("text", "thoughtSignature"))


def _is_plain_answer(candidate: Any) -> bool:
    """Nothing but text, without sources."""
    if type(candidate) is not dict or "groundingMetadata" in candidate or "citationMetadata" in candidate:
        return False
    content, native = candidate.get("content"), candidate.get("finishReason")
    parts = content.get("parts") if type(content) is dict else None
    return (
        type(native) is str
        and bool(native)
        and type(parts) is list
        and bool(parts)
        and all(
            type(part) is dict and _TEXT_PART.issuperset(part) and type(part.get("text")) is str and bool(part["text"])
            for part in parts
        )
    )


def _is_usual_config(config: Mapping[str, Any]) -> bool:
    if not _CONFIG_NAMES.issuperset(config) or not are_of(config, _CONFIG):
        return False
    thinking = config.get("thinkingConfig") or NOTHING
    return (
        all(in_range(config.get(name), least) for name, least in _BOUNDS)
        and in_range(config.get("candidateCount"), 1, _MOST_CHOICES)
        and is_texts(config.get("stopSequences"))
        and are_of(thinking, _THINKING)
        and not any("_" in name for name in thinking)
        and in_range(thinking.get("thinkingBudget"), -1)
    )
