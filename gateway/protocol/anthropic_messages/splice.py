"""A body for an upstream of this dialect from the caller's own: all that nobody has to change stays as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.protocol import fields
from gateway.protocol.anthropic_messages import host
from gateway.protocol.anthropic_messages.seals import open_seals
from gateway.protocol.codec import EncodedRequest
from gateway.protocol.conversation import ROUTER_FIELDS, JsonObject
from gateway.protocol.json_text import dump
from gateway.protocol.quirks.messages import MessagesQuirks

PATH = "/messages"
VERSION = "2023-06-01"
LEAST_THINKING = 1024


def passed_headers(client_headers: Mapping[str, str]) -> dict[str, str]:
    """Version and betas as the caller wrote them; our version where it wrote none."""
    headers = {"anthropic-version": client_headers.get("anthropic-version") or VERSION}
    if client_headers.get("anthropic-beta"):
        headers["anthropic-beta"] = client_headers["anthropic-beta"]
    return headers


def splice_request(
    source: JsonObject,
    *,
    upstream_model: str,
    max_output_tokens: int | None,
    client_headers: Mapping[str, str],
    quirks: MessagesQuirks,
) -> EncodedRequest:
    """The caller's own body with another model name, the output limit lowered, our seals opened and our fields out."""
    body: dict[str, Any] = {name: value for name, value in source.items() if name not in ROUTER_FIELDS}
    body["model"] = upstream_model
    dropped: list[str] = []
    if open_seals(body, keep_text=not quirks.checks_signatures):
        _stop_thinking(body, dropped)
    own = fields.integer(body, "max_tokens", least=1)
    if max_output_tokens is not None and (own is None or own > max_output_tokens):
        body["max_tokens"] = max_output_tokens
        _fit_thinking(body, max_output_tokens, dropped)
    host.adapt(body, quirks, dropped)
    return EncodedRequest(
        path=PATH, body=dump(body), headers=passed_headers(client_headers), dropped=tuple(dict.fromkeys(dropped))
    )


def _fit_thinking(body: dict[str, Any], limit: int, dropped: list[str]) -> None:
    """The thinking budget must stay below the limit, and has a least value of its own."""
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if not isinstance(thinking, dict) or type(budget) is not int or budget < limit:
        return
    if limit <= LEAST_THINKING:
        del body["thinking"]
        dropped.append("thinking")
        return
    body["thinking"] = {**thinking, "budget_tokens": limit - 1}
    dropped.append("thinking.budget_tokens")


def _stop_thinking(body: dict[str, Any], dropped: list[str]) -> None:
    """With a budget, thinking needs its signed blocks back while tools run; adaptive thinking does without."""
    thinking = body.get("thinking")
    if not isinstance(thinking, dict) or thinking.get("type") != "enabled" or not _runs_tools(body):
        return
    body["thinking"] = {"type": "disabled"}
    dropped.append("thinking")


def _runs_tools(body: Mapping[str, Any]) -> bool:
    """Whether the last turn answers tool calls whose own turn has no thinking any more."""
    for message in reversed(body["messages"]):
        content = message.get("content") if isinstance(message, Mapping) else None
        kinds = (
            {block.get("type") for block in content if isinstance(block, Mapping)} if type(content) is list else set()
        )
        if not isinstance(message, Mapping) or message.get("role") == "system":
            continue
        if message.get("role") == "assistant":
            return "tool_use" in kinds and not kinds & {"thinking", "redacted_thinking"}
        if "tool_result" not in kinds:
            return False
    return False
