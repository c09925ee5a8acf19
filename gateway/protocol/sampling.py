"""Sampling wishes for models that take none: reasoning models refuse a request for any temperature but their own."""

from __future__ import annotations

from dataclasses import replace

from gateway.protocol.conversation import Conversation

# field of Sampling -> what it is called by Gemini's callers; all others use the name of the field
_GEMINI_NAMES = {
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "presence_penalty": "generationConfig.presencePenalty",
}
# A wish for the default is no wish.
_DEFAULTS = {"temperature": 1, "top_p": 1, "frequency_penalty": 0, "presence_penalty": 0}


def without_sampling(conversation: Conversation) -> tuple[Conversation, tuple[str, ...]]:
    """The conversation without its sampling wishes, and the names of those, in the caller's words."""
    sampling = conversation.sampling
    wished = [name for name in _GEMINI_NAMES if getattr(sampling, name) is not None]
    if not wished:
        return conversation, ()
    bare = replace(sampling, temperature=None, top_p=None, top_k=None, frequency_penalty=None, presence_penalty=None)
    lost = [name for name in wished if getattr(sampling, name) != _DEFAULTS.get(name)]
    if conversation.dialect == "gemini_generate":
        lost = [_GEMINI_NAMES[name] for name in lost]
    return replace(conversation, sampling=bare), tuple(lost)
