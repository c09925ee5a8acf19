"""Which dialect a path speaks, and what the path itself asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.sandbox import (
    anthropic_request,
    anthropic_wire,
    embeddings_wire,
    gemini_request,
    gemini_wire,
    openai_wire,
    responses_wire,
)
from gateway.sandbox.question import Json, Question
from gateway.sandbox.wire import Wire

_GEMINI = "/v1beta/models/"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`read` takes the body; `asked` is what stands in the path and not in the body.

    Where `counts` is set, the answer is only the number of the prompt's tokens, in the body that it makes.
    """

    wire: Wire
    read: Callable[[Json], Question]
    asked: dict[str, Any] = field(default_factory=dict)
    counts: Callable[[int], dict[str, Any]] | None = None


_ENDPOINTS = {
    "/v1/chat/completions": Endpoint(openai_wire, openai_wire.read),
    "/v1/responses": Endpoint(responses_wire, responses_wire.read),
    "/v1/embeddings": Endpoint(embeddings_wire, embeddings_wire.read),
    "/v1/messages": Endpoint(anthropic_wire, anthropic_wire.read),
    "/v1/messages/count_tokens": Endpoint(
        anthropic_wire, anthropic_request.read_prompt, counts=lambda tokens: {"input_tokens": tokens}
    ),
}


def find_endpoint(path: str) -> Endpoint | None:
    """The endpoint of a POST, or None."""
    if path.startswith(_GEMINI):
        model, _, method = path.removeprefix(_GEMINI).rpartition(":")
        return _gemini(model, method)
    return _ENDPOINTS.get(path)


def _gemini(model: str, method: str) -> Endpoint | None:
    if method in ("generateContent", "streamGenerateContent"):
        asked = {"model": model, "stream": method == "streamGenerateContent"}
        return Endpoint(gemini_wire, gemini_wire.read, asked)
    if method == "countTokens":
        return Endpoint(gemini_wire, gemini_request.read_prompt, {"model": model}, _gemini_count)
    return None


def _gemini_count(tokens: int) -> dict[str, Any]:
    return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}
