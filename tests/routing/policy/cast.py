"""Deployments and models for tests of policy, good for everything unless told otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from routing.policy.candidate import DeploymentInfo, ModelInfo

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday
ABLE = {
    "tools": True,
    "parallel_tools": True,
    "structured_output": True,
    "reasoning": True,
    "vision": True,
    "audio_input": True,
    "web_search": True,
    "sampling_params": True,
}
ALL_KINDS = ("text", "image", "audio", "video", "pdf")


def deployment(id: int = 1, **changes: Any) -> DeploymentInfo:
    fields: dict[str, Any] = {
        "id": id, "provider": f"p{id}", "provider_name": f"P{id}", "model": "acme/one", "upstream_id": "one",
        "dialect": "openai_chat", "other_dialects": (), "base_urls": {"openai_chat": "https://x.test"},
        "auth": "bearer", "secret": "s3cret", "extra_headers": {}, "on_client_leave": "stop",
        "context_length": None, "max_output_tokens": None, "status": "active", "retires_on": None,
        "currency": "USD", "priority": 100, "price_cards": (), "region": "EU", "trains_on_data": False,
        "zero_retention": True,
    }  # fmt: skip
    return DeploymentInfo(**{**fields, **changes})


def model(slug: str = "acme/one", *deployments: DeploymentInfo, **changes: Any) -> ModelInfo:
    fields: dict[str, Any] = {
        "slug": slug, "name": slug, "author": slug.partition("/")[0], "description": "", "released": None,
        "context_length": 100_000, "max_output_tokens": 10_000, "input_modalities": ALL_KINDS,
        "output_modalities": ("text",), "capabilities": ABLE, "quality_index": 70.0, "status": "active",
        "deployments": deployments or (deployment(),),
    }  # fmt: skip
    return ModelInfo(**{**fields, **changes})


def without(*names: str) -> dict[str, bool]:
    """Capabilities that the catalogue denies."""
    return {**ABLE, **dict.fromkeys(names, False)}
