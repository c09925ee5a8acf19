"""Perplexity (api.perplexity.ai). Searches by itself; messages must take turns and there are no tools of the caller."""

from __future__ import annotations

from gateway.protocol.quirks.quirks import Quirks

PERPLEXITY = Quirks(
    name="perplexity",
    developer_role=False,
    system_place="start",
    alternating=True,
    reasoning_field="",
    formats=frozenset(("text", "json_schema")),
    ignored=frozenset(
        ("tools", "tool_choice", "parallel_tool_calls", "seed", "n", "verbosity", "service_tier", "prompt_cache_key")
    ),
    usage_unasked=True,
)
