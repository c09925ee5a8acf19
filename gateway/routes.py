"""Every public API path, in one place. The path picks the endpoint; in Gemini's dialect it names the model too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.protocol.codec import NO_TARGET, Target

View = Literal["serve", "count_tokens", "models", "generation", "key", "credits"]


@dataclass(frozen=True, slots=True)
class Route:
    """What a path means. `dialect` is a name in CLIENT_CODECS, `methods` what may be sent there."""

    view: View
    dialect: str
    target: Target = NO_TARGET
    model: str | None = None  # of GET /v1/models/{id}
    methods: tuple[str, ...] = ("POST",)


_POSTS: Mapping[str, Route] = {
    "/chat/completions": Route("serve", "openai_chat"),
    "/responses": Route("serve", "openai_responses"),
    "/messages": Route("serve", "anthropic_messages"),
    "/messages/count_tokens": Route("count_tokens", "anthropic_messages"),
    "/embeddings": Route("serve", "openai_embeddings"),
    "/completions": Route("serve", "openai_completions"),
}
_GEMINI = re.compile(r"/v1(?:beta|alpha)?/models/(.+):(generateContent|streamGenerateContent|countTokens)")
_USUAL: Mapping[str, Route] = {"/v1" + path: route for path, route in _POSTS.items()}
_PREFIXES = ("/v1", "/v1beta", "/v1alpha")
MODELS = "/models"
_QUESTIONS: Mapping[str, View] = {"/generation": "generation", "/key": "key", "/credits": "credits"}


def is_api_path(path: str, headers: Mapping[bytes, bytes]) -> bool:
    """True for what the gateway answers itself: all below /v1, and the same paths on the bare host.

    `/models` on the bare host is a page for people and a list for whoever sends a key.
    """
    if path in _USUAL or path in _PREFIXES or path.startswith(tuple(prefix + "/" for prefix in _PREFIXES)):
        return True
    bare = path.rstrip("/")
    if bare in _POSTS:
        return True
    has_key = b"authorization" in headers or b"x-api-key" in headers
    return has_key and (bare == MODELS or bare.startswith(MODELS + "/"))


def find(path: str, dialect: str) -> Route | None:
    """The route of a path; `dialect` is that of the caller's headers, for paths that several dialects share."""
    usual = _USUAL.get(path)
    if usual is not None:
        return usual
    path = path.rstrip("/")
    while path.startswith("/v1/v1/"):  # a base URL that ends in /v1, given to a client that adds it
        path = path[3:]
    gemini = _GEMINI.fullmatch(path)
    if gemini is not None:
        return _gemini_route(gemini.group(1), gemini.group(2))
    path = path.removeprefix("/v1beta") if path.startswith("/v1beta/") else path
    path = path.removeprefix("/v1") if path.startswith("/v1/") else path
    if path == MODELS:
        return Route("models", dialect, methods=("GET", "HEAD"))
    if path.startswith(MODELS + "/"):
        return Route("models", dialect, model=path[len(MODELS) + 1 :], methods=("GET", "HEAD"))
    if path in _QUESTIONS:
        return Route(_QUESTIONS[path], dialect, methods=("GET", "HEAD"))
    return _POSTS.get(path)


def _gemini_route(model: str, verb: str) -> Route:
    view: View = "count_tokens" if verb == "countTokens" else "serve"
    return Route(view, "gemini_generate", Target(model, verb == "streamGenerateContent"))


def dialect_of(path: str, headers: Mapping[bytes, bytes]) -> str:
    """The dialect in which a caller is told that a path does not exist."""
    if path.startswith(("/v1beta", "/v1alpha")) or b"x-goog-api-key" in headers:
        return "gemini_generate"
    if b"anthropic-version" in headers:
        return "anthropic_messages"
    return "openai_chat"
