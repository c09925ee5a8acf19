"""Token counts before, or without, a provider's own.

Three estimates for three uses. The upper one is for holds, where too little would let a wallet go negative; the
middle one is for billing an answer whose usage never came; both go by the size of the text and kinds of characters,
since they are made for every request. ``count_tokens`` is for callers who ask for a count: it uses a vocabulary.
Factors come from measuring English, Chinese, Python, JSON and chat texts against the vocabularies of the large
makers; the upper ones include the makers who count most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from gateway.protocol import tokenizer
from gateway.protocol.conversation import (
    Audio,
    Conversation,
    File,
    ForeignTool,
    Image,
    Opaque,
    Part,
    Reasoning,
    Tool,
    ToolCall,
    ToolResult,
)
from gateway.protocol.token_families import OTHERS, family_of

# Tokens a byte. UTF-8 has two bytes a character for most alphabets, three for Chinese, Japanese and Korean, four for
# emoji; so bytes beyond ASCII measure all of them with one factor.
_UPPER_ASCII = 1 / 3.2
_UPPER_OTHER = 0.45
_UPPER_JSON = 1 / 2.4
_MIDDLE_ASCII = 1 / 4.2
_MIDDLE_OTHER = 0.27

_PER_REQUEST = 16
_PER_TURN = 8
_PER_CALL = 16
_WITH_TOOLS = 500
# Tool schemas are written out to the model in a longer form than JSON.
_SCHEMA_FRAMING = 1.1
_PER_IMAGE = 1600
_PER_FILE = 1600
# Of base64 text: a page of PDF has some 50 kB and up to 3,000 tokens; a second of audio 8 to 32 kB and 32 tokens.
_FILE_PER_BYTE = 0.06
_AUDIO_PER_BYTE = 0.004


def text_tokens(text: str) -> int:
    """The likely number of tokens of delivered text, at least 1 for any text."""
    return _tokens(text, _MIDDLE_ASCII, _MIDDLE_OTHER)


def likely_tokens(text: str) -> float:
    """The same for a piece of a text, so that the pieces of a stream add up to what the whole would be."""
    if text.isascii():
        return len(text) * _MIDDLE_ASCII
    size = len(text.encode("utf-8", "replace"))
    plain = len(text.encode("ascii", "ignore"))
    return plain * _MIDDLE_ASCII + (size - plain) * _MIDDLE_OTHER


def text_tokens_upper(text: str) -> int:
    """A number of tokens that this text will hardly exceed."""
    return _upper(text)


def prompt_tokens_upper(conversation: Conversation, model: str = "") -> int:
    """A number of prompt tokens that the request will hardly exceed at this model, public or upstream id."""
    total = _PER_REQUEST
    for turn in conversation.turns:
        total += _PER_TURN + _parts_upper(turn.parts)
    for tool in conversation.tools:
        total += _PER_CALL + _tool_upper(tool)
    if conversation.tools:
        total += _WITH_TOOLS
    wish = conversation.response_format
    if wish is not None and wish.schema is not None:
        total += _json_upper(wish.schema)
    return for_model(total, model)


class PromptSize:
    """The parts of a request that was not decoded, for the same upper estimate.

    ``arguments`` are texts of JSON, ``values`` JSON that is not written yet; the rest are counts.
    """

    __slots__ = ("arguments", "calls", "images", "texts", "tools", "turns", "values")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.arguments: list[str] = []
        self.values: list[Any] = []
        self.turns = 0
        self.calls = 0  # of tools, and their results
        self.images = 0
        self.tools = 0

    def upper(self) -> int:
        total = _PER_REQUEST + _PER_TURN * self.turns + _PER_CALL * (self.calls + self.tools) + _PER_IMAGE * self.images
        if self.tools:
            total += _WITH_TOOLS
        if all(map(str.isascii, self.texts)):
            total += int(sum(map(len, self.texts)) * _UPPER_ASCII) + len(self.texts)
        else:
            total += sum(map(_upper, self.texts))
        if self.arguments:
            total += sum(_tokens(text, _UPPER_JSON, _UPPER_OTHER) for text in self.arguments)
        return total + (_json_upper(self.values) if self.values else 0)


def for_model(tokens: int, model: str) -> int:
    """The upper estimate for a model whose maker counts more than the factors of this module allow for."""
    return math.ceil(tokens * _family_factor(model))


@lru_cache(maxsize=4096)
def _family_factor(model: str) -> float:
    return max(1.0, family_of(model).upper / OTHERS.upper)


def count_tokens(conversation: Conversation, model: str) -> int:
    """The likely number of prompt tokens at this model, public or upstream id: for callers who ask, never for money.

    Within some 15 % for text; images and files have a flat price.
    """
    family = family_of(model)
    pieces: list[str] = []
    media = 0
    for turn in conversation.turns:
        media += _collect(turn.parts, pieces)
    schemas = "\n".join(_tool_text(tool) for tool in conversation.tools)
    wish = conversation.response_format
    if wish is not None and wish.schema is not None:
        pieces.append(_json_text(wish.schema))
    tokens = _vocabulary_tokens("\n".join(pieces)) + _SCHEMA_FRAMING * _vocabulary_tokens(schemas)
    framing = family.per_request + family.per_turn * len(conversation.turns)
    if conversation.tools:
        framing += family.with_tools
    return math.ceil(tokens * family.middle) + media + framing


def _vocabulary_tokens(text: str) -> int:
    """By the vocabulary; by the size where there is none."""
    counted = tokenizer.count(text) if text else 0
    return text_tokens(text) if counted is None else counted


def _collect(parts: Iterable[Part], pieces: list[str]) -> int:
    """Adds the texts of the parts; returns the tokens of what is no text."""
    media = 0
    for part in parts:
        if isinstance(part, Image | Audio) or (isinstance(part, File) and part.text is None):
            media += _part_upper(part)
        elif isinstance(part, ToolResult):
            media += _collect(part.parts, pieces)
        elif isinstance(part, ToolCall):
            pieces += (part.name, part.arguments)
        elif isinstance(part, Opaque):
            pieces.append(_json_text(part.value))
        else:
            pieces.append(part.text or "")
    return media


def _tool_text(tool: Tool | ForeignTool) -> str:
    if isinstance(tool, ForeignTool):
        return _json_text(tool.value)
    return f"{tool.name}\n{tool.description or ''}\n{_json_text(tool.parameters or {})}"


def _json_text(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return ""


def _tokens(text: str, per_ascii: float, per_other: float) -> int:
    if not text:
        return 0
    if text.isascii():
        return int(len(text) * per_ascii) + 1
    # Lone surrogates cannot be encoded; each counts as one "?".
    size = len(text.encode("utf-8", "replace"))
    plain = len(text.encode("ascii", "ignore"))
    return int(plain * per_ascii + (size - plain) * per_other) + 1


def _upper(text: str) -> int:
    return _tokens(text, _UPPER_ASCII, _UPPER_OTHER)


def _parts_upper(parts: Iterable[Part]) -> int:
    return sum(_part_upper(part) for part in parts)


def _part_upper(part: Part) -> int:
    if isinstance(part, Image):
        return _PER_IMAGE
    if isinstance(part, File):
        return _file_upper(part)
    if isinstance(part, Audio):
        return int(len(part.data) * _AUDIO_PER_BYTE) + 1
    if isinstance(part, ToolCall):
        return _PER_CALL + _upper(part.name) + _tokens(part.arguments, _UPPER_JSON, _UPPER_OTHER)
    if isinstance(part, ToolResult):
        return _PER_CALL + _parts_upper(part.parts)
    if isinstance(part, Reasoning):
        return _upper(part.text) + _upper(part.redacted or "")
    if isinstance(part, Opaque):
        return _json_upper(part.value)
    return _upper(part.text)


def _file_upper(part: File) -> int:
    if part.text is not None:
        return _upper(part.text)
    return _PER_FILE + int(len(part.data or "") * _FILE_PER_BYTE)


def _tool_upper(tool: Tool | ForeignTool) -> int:
    if isinstance(tool, ForeignTool):
        return _json_upper(tool.value)
    return _upper(tool.name) + _upper(tool.description or "") + _json_upper(tool.parameters or {})


def _json_upper(value: object) -> int:
    """Too deeply nested values cannot be written again; the request fails later, with a message."""
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        return _PER_FILE
    return int(size * _UPPER_JSON) + 1
