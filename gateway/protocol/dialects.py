"""The table of codecs, by dialect name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.anthropic_messages.codec import AnthropicMessages
from gateway.protocol.codec import Codec
from gateway.protocol.openai_chat.codec import OpenAIChat

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "openai_chat": OpenAIChat(),
        "anthropic_messages": AnthropicMessages(),
    }
)


def codec_of(dialect: str) -> Codec:
    """The codec of a dialect by its name; KeyError for a name that is not in the table."""
    return CODECS[dialect]
