"""The tables of codecs, by dialect name.

``CODECS`` are the dialects of conversations, each of which can be translated to every other. Callers speak those of
``CLIENT_CODECS``, providers are called in those of ``UPSTREAM_CODECS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.protocol.anthropic_messages.codec import AnthropicMessages
from gateway.protocol.anthropic_messages.glance import MessagesGlance
from gateway.protocol.codec import ClientCodec, Codec
from gateway.protocol.embeddings.codec import Embeddings
from gateway.protocol.gemini_generate.codec import GeminiGenerate
from gateway.protocol.gemini_generate.glance import GeminiGlance
from gateway.protocol.glance import Glance
from gateway.protocol.openai_chat.codec import OpenAIChat
from gateway.protocol.openai_chat.glance import ChatGlance
from gateway.protocol.openai_completions.codec import OpenAICompletions
from gateway.protocol.openai_responses.codec import OpenAIResponses
from gateway.protocol.openai_responses.glance import ResponsesGlance

CODECS: Mapping[str, Codec] = MappingProxyType(
    {
        "openai_chat": OpenAIChat(),
        "anthropic_messages": AnthropicMessages(),
        "openai_responses": OpenAIResponses(),
        "gemini_generate": GeminiGenerate(),
    }
)

# What providers are called in: embeddings too, which are never translated.
UPSTREAM_CODECS: Mapping[str, Codec] = MappingProxyType({**CODECS, "openai_embeddings": Embeddings()})

CLIENT_CODECS: Mapping[str, ClientCodec] = MappingProxyType(
    {**UPSTREAM_CODECS, "openai_completions": OpenAICompletions()}
)

# How bytes of the same dialect are watched on both sides.
GLANCES: Mapping[str, Glance] = MappingProxyType(
    {
        "openai_chat": ChatGlance(),
        "anthropic_messages": MessagesGlance(),
        "openai_responses": ResponsesGlance(),
        "gemini_generate": GeminiGlance(),
    }
)


def codec_of(dialect: str) -> Codec:
    """The codec of a dialect by its name; KeyError for a name that is not in the table."""
    return CODECS[dialect]
