"""Token counts of Gemini: cached tokens inside the prompt, thoughts beside the candidates, tool use beside both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import NOTHING
from gateway.protocol.counts import Counts
from gateway.protocol.gemini_generate.names import listed, string
from gateway.protocol.reply import UsageReport

_COUNTS = (
    "promptTokenCount",
    "candidatesTokenCount",
    "thoughtsTokenCount",
    "toolUsePromptTokenCount",
    "cachedContentTokenCount",
    "totalTokenCount",
)


def read_usage(value: Any, searches: int = 0) -> UsageReport | None:
    """The report in ``usageMetadata``; None when it holds no counts at all. ``searches``: queries that were run."""
    counts = Counts(value)
    if not counts.has(*_COUNTS):
        return None
    prompt, tools = counts.first("promptTokenCount"), counts.first("toolUsePromptTokenCount")
    candidates, thoughts = counts.first("candidatesTokenCount"), counts.first("thoughtsTokenCount")
    total = counts.first("totalTokenCount")
    if total and total != prompt + tools + candidates + thoughts:
        counts.flag("total_mismatch")
    fresh, cached = counts.split(prompt, counts.first("cachedContentTokenCount"))
    cached, cached_audio = counts.split(cached, _of_modality(value, "cacheTokensDetails", "AUDIO"))
    # The prompt's details count cached audio too.
    audio = max(0, _of_modality(value, "promptTokensDetails", "AUDIO") - cached_audio)
    fresh, audio = counts.split(fresh, audio)
    tools, tool_audio = counts.split(tools, _of_modality(value, "toolUsePromptTokensDetails", "AUDIO"))
    output, spoken, drawn = counts.split(
        candidates,
        _of_modality(value, "candidatesTokensDetails", "AUDIO"),
        _of_modality(value, "candidatesTokensDetails", "IMAGE"),
    )
    usage = TokenUsage(
        input=fresh + tools,
        input_audio=audio + tool_audio,
        cache_read=cached,
        cache_read_audio=cached_audio,
        output=output,
        reasoning=thoughts,
        output_audio=spoken,
        output_image=drawn,
        web_search=searches,
    )
    return UsageReport(usage=usage, flags=counts.flags)


def with_searches(report: UsageReport, searches: int) -> UsageReport:
    return report._replace(usage=report.usage._replace(web_search=searches)) if searches else report


def tier_of(value: Any) -> str | None:
    """The service tier that was charged, in lower case."""
    return string(value, "serviceTier").lower() or None


def _of_modality(value: Any, name: str, modality: str) -> int:
    return sum(Counts(item).first("tokenCount") for item in listed(value, name) if string(item, "modality") == modality)


def write_usage(usage: TokenUsage, extra: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """``usageMetadata`` in Google's own convention."""
    body: dict[str, Any] = {
        "promptTokenCount": usage.prompt_size,
        "candidatesTokenCount": usage.output_size - usage.reasoning,
        "totalTokenCount": usage.prompt_size + usage.output_size,
    }
    if usage.reasoning:
        body["thoughtsTokenCount"] = usage.reasoning
    if usage.cache_read + usage.cache_read_audio:
        body["cachedContentTokenCount"] = usage.cache_read + usage.cache_read_audio
    heard = usage.input_audio + usage.cache_read_audio
    if heard:
        body["promptTokensDetails"] = _details(TEXT=usage.prompt_size - heard, AUDIO=heard)
    if usage.cache_read_audio:
        body["cacheTokensDetails"] = _details(TEXT=usage.cache_read, AUDIO=usage.cache_read_audio)
    if usage.output_audio or usage.output_image:
        body["candidatesTokensDetails"] = _details(
            TEXT=usage.output, AUDIO=usage.output_audio, IMAGE=usage.output_image
        )
    return {**body, **extra}


def _details(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name, "tokenCount": count} for name, count in counts.items() if count]
