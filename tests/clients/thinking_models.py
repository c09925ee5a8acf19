"""Models of this test alone: the sandbox's caller of tools, which thinks first and wants its signed thoughts back."""

from __future__ import annotations

import json
from pathlib import Path

# What a provider's model speaks, by the end of our name for it.
PROTOCOLS = {
    "": "openai_chat",
    "-anthropic": "anthropic_messages",
    "-responses": "openai_responses",
    "-gemini": "gemini_generate",
}
NAME = "sandbox/thinking-tools"


def write_catalogue(folder: Path) -> None:
    """A folder for `manage.py load_catalogue`. The provider itself is there already."""
    folder.mkdir()
    models = [_model(suffix, protocol) for suffix, protocol in PROTOCOLS.items()]
    (folder / "providers.json").write_text(json.dumps({"providers": []}))
    (folder / "models.json").write_text(json.dumps({"models": models}))


def _model(suffix: str, protocol: str) -> dict[str, object]:
    offering = {
        "provider": "sandbox",
        "upstream_id": "sandbox-tools;reasoning=12",
        "protocol": protocol,
        "currency": "USD",
        "price_cards": [{"rates": {"input": "0.20", "output": "0.80"}}],
    }
    return {
        "slug": NAME + suffix,
        "name": f"Thinking Tools ({protocol})",
        "author": "sandbox",
        "status": "active",
        "context_length": 128000,
        "max_output_tokens": 16384,
        "input_modalities": ["text"],
        "output_modalities": ["text"],
        "capabilities": {"tools": True, "parallel_tools": True, "reasoning": True, "reasoning_controls": ["effort"]},
        "offerings": [offering],
    }
