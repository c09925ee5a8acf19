"""Fireworks AI: open models, close to OpenAI."""

from __future__ import annotations

from gateway.protocol.quirks.quirks import Quirks

FIREWORKS = Quirks(
    name="fireworks",
    developer_role=False,
    ignored=frozenset(("verbosity", "prompt_cache_key")),
)
