"""Token counts of the OpenAI chat family, in both directions.

Providers differ in what the totals include. ``total_tokens`` settles it: reasoning that the total has beside prompt
and completion lies outside the completion count (xAI, Gemini's OpenAI surface), else inside (OpenAI and most others).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import NOTHING
from gateway.protocol.counts import MOST_TOKENS, Counts
from gateway.protocol.reply import UsageReport


def read_usage(value: Any) -> UsageReport | None:
    """The report in a usage object; None when it holds no counts at all."""
    if type(value) is not dict:
        return None
    return _read_plain(value) or _read_any(value)


_PLAIN = frozenset(
    ("prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details")
)


def _read_plain(value: Mapping[str, Any]) -> UsageReport | None:
    """What most providers send, read without asking twice; None for all else."""
    prompt, completion = value.get("prompt_tokens"), value.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int or value.get("total_tokens") != prompt + completion:
        return None
    if not (0 < prompt <= MOST_TOKENS and 0 <= completion <= MOST_TOKENS) or not _PLAIN.issuperset(value):
        return None
    cached = _only(value.get("prompt_tokens_details"), "cached_tokens", prompt)
    reasoning = _only(value.get("completion_tokens_details"), "reasoning_tokens", completion)
    if cached is None or reasoning is None:
        return None
    return UsageReport(TokenUsage.of_text(prompt - cached, cached, completion - reasoning, reasoning))


def _only(details: Any, name: str, most: int) -> int | None:
    """The one count in these details that is not zero; None where there is another one, or something odd."""
    if not details:
        return 0 if details is None else None
    if type(details) is not dict:
        return None
    count = details.get(name, 0)
    if type(count) is not int or not 0 <= count <= most:
        return None
    for other, value in details.items():
        if other != name and (type(value) is not int or value):
            return None
    return count


def _read_any(value: Mapping[str, Any]) -> UsageReport | None:
    counts = Counts(value)
    if not counts.has("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"):
        return None
    prompt = counts.first("prompt_tokens", "input_tokens")
    completion = counts.first("completion_tokens", "output_tokens")
    given = counts.inside("prompt_tokens_details", "input_tokens_details")
    made = counts.inside("completion_tokens_details", "output_tokens_details")
    audio_in = given.first("audio_tokens")
    reasoning = made.first("reasoning_tokens") or counts.first("reasoning_tokens")
    total = counts.first("total_tokens")
    gap = total - prompt - completion if total else 0
    if gap and gap == audio_in:
        prompt += audio_in
    elif gap and reasoning in (0, gap) and gap > 0:
        # xAI reports the reasoning that is outside; Gemini's OpenAI surface leaves it to be found in the total.
        completion += gap
        reasoning = gap
    elif gap:
        counts.flag("total_mismatch")
    cached = max(given.first("cached_tokens"), counts.first("cached_tokens"), counts.first("prompt_cache_hit_tokens"))
    written = max(
        given.first("cache_write_tokens"),
        given.first("cache_creation_input_tokens"),
        given.first("cache_creation_tokens"),
        counts.first("cache_write_tokens"),
    )
    input_parts = counts.split(prompt, cached, written, audio_in)
    output_parts = counts.split(completion, reasoning, made.first("audio_tokens"), made.first("image_tokens"))
    searches = counts.inside("server_tool_use").first("web_search_requests") or counts.first("num_search_queries")
    usage = TokenUsage(
        input=input_parts[0],
        cache_read=input_parts[1],
        cache_write=input_parts[2],
        input_audio=input_parts[3],
        output=output_parts[0],
        reasoning=output_parts[1],
        output_audio=output_parts[2],
        output_image=output_parts[3],
        web_search=searches,
    )
    return UsageReport(usage=usage, flags=counts.flags)


def usage_in_body(body: Mapping[str, Any]) -> UsageReport | None:
    """From wherever a reply or chunk has it: top level, ``x_groq.usage`` (Groq), ``choices[0].usage`` (Kimi)."""
    report = read_usage(body.get("usage"))
    if report is not None:
        return report
    groq = body.get("x_groq")
    if isinstance(groq, Mapping):
        report = read_usage(groq.get("usage"))
        if report is not None:
            return report
    choices = body.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        return read_usage(choices[0].get("usage"))
    return None


def write_usage(usage: TokenUsage, extra: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """The usage object in OpenAI's own convention: cached inside prompt, reasoning inside completion."""
    return {
        "prompt_tokens": usage.prompt_size,
        "completion_tokens": usage.output_size,
        "total_tokens": usage.prompt_size + usage.output_size,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read + usage.cache_read_audio,
            "cache_write_tokens": usage.cache_write + usage.cache_write_long,
            "audio_tokens": usage.input_audio,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.output_audio,
        },
        **extra,
    }
