"""The list of the sandbox's models, in the dialect of each vendor. Pure."""

from __future__ import annotations

from typing import Any

from gateway.sandbox.script import MODELS, UnknownModel, read_script

CREATED = 1767225600
CONTEXT = 1_000_000
MAX_OUTPUT = 1_000_000


def openai_models(name: str) -> dict[str, Any] | None:
    """The whole list, or one model if `name` is not empty; None if there is no such model."""
    if name:
        return _openai_model(name) if _exists(name) else None
    return {"object": "list", "data": [_openai_model(one) for one in MODELS]}


def anthropic_models(name: str) -> dict[str, Any] | None:
    """The same in the Anthropic dialect; it has one page."""
    if name:
        return _anthropic_model(name) if _exists(name) else None
    names = list(MODELS)
    return {
        "data": [_anthropic_model(one) for one in names],
        "has_more": False,
        "first_id": names[0],
        "last_id": names[-1],
    }


def gemini_models() -> dict[str, Any]:
    """The same in the Gemini dialect; it has one page, without the model for embeddings."""
    return {"models": [_gemini_model(one) for one, (behaviour, _) in MODELS.items() if behaviour != "embedding"]}


def _exists(name: str) -> bool:
    try:
        read_script(name.partition(";")[0])
    except UnknownModel:
        return False
    return True


def _openai_model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "router-one-sandbox"}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name.replace("-", " ").title(),
        "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": CONTEXT,
        "max_tokens": MAX_OUTPUT,
    }


def _gemini_model(name: str) -> dict[str, Any]:
    return {
        "name": f"models/{name}",
        "version": "1",
        "displayName": name.replace("-", " ").title(),
        "inputTokenLimit": CONTEXT,
        "outputTokenLimit": MAX_OUTPUT,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
