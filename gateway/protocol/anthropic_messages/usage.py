"""Token counts of the Messages dialect: cached tokens lie outside ``input_tokens``, thinking inside the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import NOTHING
from gateway.protocol.counts import Counts
from gateway.protocol.reply import UsageReport

# The counts of ``message_start``: input is a first guess, output a placeholder that must not be added to anything.
OPENING = "opening"


def read_usage(value: Any) -> UsageReport | None:
    """The report in a usage object; None when it holds no counts at all."""
    counts = Counts(value)
    if not counts.has("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"):
        return None
    lifetimes = counts.inside("cache_creation")
    long_lived = lifetimes.first("ephemeral_1h_input_tokens")
    short_lived = lifetimes.first("ephemeral_5m_input_tokens")
    # The sum of both lifetimes; MiniMax and old recordings have only the sum, some relays only the parts.
    written = counts.first("cache_creation_input_tokens") or short_lived + long_lived
    short_lived, long_lived = counts.split(written, long_lived)
    output, thinking = counts.split(
        counts.first("output_tokens"), counts.inside("output_tokens_details").first("thinking_tokens")
    )
    usage = TokenUsage(
        input=counts.first("input_tokens"),
        cache_read=counts.first("cache_read_input_tokens"),
        cache_write=short_lived,
        cache_write_long=long_lived,
        output=output,
        reasoning=thinking,
        web_search=counts.inside("server_tool_use").first("web_search_requests"),
    )
    return UsageReport(usage=usage, flags=counts.flags)


def overlay(earlier: Mapping[str, Any], later: Any) -> dict[str, Any]:
    """Running totals: a later count replaces an earlier one, a null or missing one leaves it."""
    merged = dict(earlier)
    if isinstance(later, Mapping):
        merged.update((name, value) for name, value in later.items() if value is not None)
    return merged


def opening_report(value: Any) -> UsageReport | None:
    """The input side of ``message_start``."""
    if not isinstance(value, Mapping):
        return None
    report = read_usage({**value, "output_tokens": None, "output_tokens_details": None})
    return None if report is None else UsageReport(usage=report.usage, flags=(*report.flags, OPENING))


def write_usage(usage: TokenUsage, extra: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """The usage object in Anthropic's own convention."""
    body: dict[str, Any] = {
        "input_tokens": usage.input + usage.input_audio,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_long,
        "cache_read_input_tokens": usage.cache_read + usage.cache_read_audio,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_long,
        },
        "output_tokens": usage.output_size,
    }
    if usage.reasoning:
        body["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if usage.web_search:
        body["server_tool_use"] = {"web_search_requests": usage.web_search, "web_fetch_requests": 0}
    return {**body, **extra}
