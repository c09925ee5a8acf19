"""Token counts of the Responses dialect: cached tokens lie inside the input, reasoning inside the output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from billing.pricing.usage import TokenUsage
from gateway.protocol.conversation import NOTHING
from gateway.protocol.counts import Counts
from gateway.protocol.openai_chat import usage as chat_usage
from gateway.protocol.reply import UsageReport

SEARCH = "web_search_call"


def read_usage(value: Any, searches: int = 0) -> UsageReport | None:
    """The report in a usage object; None when it holds no counts at all. ``searches`` are counted in the output.

    Some hosts answer this dialect with the names of chat, so those are read as well.
    """
    report = chat_usage.read_usage(value)
    if report is None:
        return None
    details = Counts(value).inside("input_tokens_details").inside("cache_write_tokens_details")
    written = report.usage.cache_write
    long_lived = min(details.first("ttl_12h_tokens"), written)
    usage = report.usage._replace(
        cache_write=written - long_lived,
        cache_write_long=long_lived,
        web_search=max(searches, report.usage.web_search),
    )
    return UsageReport(usage=usage, flags=report.flags)


def count_searches(items: Iterable[Any]) -> int:
    return sum(1 for item in items if isinstance(item, Mapping) and item.get("type") == SEARCH)


def write_usage(usage: TokenUsage, extra: Mapping[str, Any] = NOTHING) -> dict[str, Any]:
    """The usage object in OpenAI's own convention."""
    given: dict[str, Any] = {
        "cached_tokens": usage.cache_read + usage.cache_read_audio,
        "cache_write_tokens": usage.cache_write + usage.cache_write_long,
    }
    if usage.cache_write_long:
        given["cache_write_tokens_details"] = {
            "ttl_30m_tokens": usage.cache_write,
            "ttl_12h_tokens": usage.cache_write_long,
        }
    return {
        "input_tokens": usage.prompt_size,
        "input_tokens_details": given,
        "output_tokens": usage.output_size,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt_size + usage.output_size,
        **extra,
    }
