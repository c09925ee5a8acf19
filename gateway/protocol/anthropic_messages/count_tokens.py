"""Counting the tokens of a request before it is sent: a question to the provider, and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol.anthropic_messages.seals import open_seals
from gateway.protocol.anthropic_messages.splice import passed_headers
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import JsonObject
from gateway.protocol.json_text import dump, load_lenient

PATH = "/messages/count_tokens"

# What the endpoint takes, betas included (read in the official client's types, November 2026). It refuses others.
_FIELDS = frozenset(
    [
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "cache_control",
        "output_config",
        "speed",
        "context_management",
        "mcp_servers",
        "compaction",
        "billing_policy",
    ]
)


def splice_count(body: JsonObject, upstream_model: str, client_headers: Mapping[str, str]) -> EncodedRequest:
    """The caller's question for an upstream of this dialect; raises nothing for a body that was decoded before."""
    kept: dict[str, Any] = {name: value for name, value in body.items() if name in _FIELDS}
    open_seals(kept)
    kept["model"] = upstream_model
    return EncodedRequest(path=PATH, body=dump(kept), headers=passed_headers(client_headers))


def decode_count(body: bytes) -> int | None:
    """The provider's count; None for a body that holds none."""
    value = load_lenient(body)
    tokens = value.get("input_tokens") if isinstance(value, dict) else None
    return tokens if type(tokens) is int and tokens >= 0 else None


def encode_token_count(tokens: int) -> bytes:
    return dump({"input_tokens": tokens})
