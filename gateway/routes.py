"""Every public API path, in one table. A path picks the dialect, nothing else."""

from __future__ import annotations

# path -> the client's dialect of a POST to it
ENDPOINTS: dict[str, str] = {
    "/v1/chat/completions": "openai_chat",
}
MODELS = "/v1/models"
PREFIX = "/v1/"


def is_api_path(path: str) -> bool:
    """True for what the gateway answers itself, unknown paths below /v1/ included."""
    return path.startswith(PREFIX)


def model_in(path: str) -> str | None:
    """The model id of /v1/models/{id}; ids hold slashes. None for any other path."""
    if path.startswith(MODELS + "/") and len(path) > len(MODELS) + 1:
        return path[len(MODELS) + 1 :]
    return None
