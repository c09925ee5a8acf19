"""Together AI: open models, close to OpenAI."""

from __future__ import annotations

from gateway.protocol.quirks.quirks import Quirks

TOGETHER = Quirks(
    name="together",
    developer_role=False,
    ignored=frozenset(("verbosity", "service_tier", "prompt_cache_key")),
)
