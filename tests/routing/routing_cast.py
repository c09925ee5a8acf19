"""What the pages of routing are sent."""

from __future__ import annotations

from typing import Any


def settings_form(**values: Any) -> dict[str, Any]:
    """As the page sends it with everything left as it is by default."""
    plain = {
        "preset": "balanced",
        "latency_weight": 35,
        "cost_weight": 35,
        "quality_weight": 30,
        "larger_context_fallback": "on",
        "cache_affinity": "on",
        "exploration": "on",
        "hedge": "",
        "stream_failure": "error",
    }
    return {**plain, **values}


def rule_form(**values: Any) -> dict[str, Any]:
    return {"name": "long prompts", "enabled": "on", "models": "acme/one", **values}
