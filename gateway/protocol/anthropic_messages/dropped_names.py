"""What could not be carried, in the words of the caller's dialect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

# Encoders write chat's words, which most callers use.
_WORDS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "openai_responses": {
            "reasoning_effort": "reasoning.effort",
            "response_format": "text.format",
            "verbosity": "text.verbosity",
        },
        "gemini_generate": {
            "reasoning_effort": "generationConfig.thinkingConfig",
            "response_format": "generationConfig.responseSchema",
            "stop": "generationConfig.stopSequences",
            "temperature": "generationConfig.temperature",
            "top_p": "generationConfig.topP",
            "top_k": "generationConfig.topK",
            "n": "generationConfig.candidateCount",
            "service_tier": "serviceTier",
            "seed": "generationConfig.seed",
            "frequency_penalty": "generationConfig.frequencyPenalty",
            "presence_penalty": "generationConfig.presencePenalty",
        },
        "anthropic_messages": {
            "reasoning_effort": "thinking",
            "response_format": "output_config.format",
            "stop": "stop_sequences",
            "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
        },
    }
)


def in_words_of(dialect: str, names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in the order in which they came."""
    words = _WORDS.get(dialect, {})
    return tuple(dict.fromkeys(words.get(name, name) for name in names))
