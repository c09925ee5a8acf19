"""Prompt-cache breakpoints: the caller's own, or made for callers whose own maker caches by itself.

An agent sends the same long text with every step. OpenAI caches it unasked; Anthropic does only up to a breakpoint,
and without one every step of a long run would pay its whole prompt again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.protocol.conversation import Conversation

MOST_BREAKPOINTS = 4
_BREAKPOINT = {"type": "ephemeral"}
# Blocks that may not carry a breakpoint.
_BARE = frozenset(("thinking", "redacted_thinking"))


def set_breakpoints(body: dict[str, Any], conversation: Conversation) -> None:
    """``body`` was made by the encoder and may be changed. At most four breakpoints are left in it, the last ones."""
    marked = [block for block in _blocks(body) if "cache_control" in block]
    if marked:
        for block in marked[:-MOST_BREAKPOINTS]:
            del block["cache_control"]
        return
    if conversation.cache_key is None and conversation.dialect != "openai_responses":
        return
    for last in (_last(body.get("tools")), _last(body.get("system")), _last_of_the_user(body["messages"])):
        if last is not None:
            last["cache_control"] = dict(_BREAKPOINT)


def _blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """In the order of the cache: tools, system, messages."""
    yield from body.get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        yield from message["content"]


def _last(blocks: list[dict[str, Any]] | None) -> dict[str, Any] | None:
    return blocks[-1] if blocks else None


def _last_of_the_user(messages: list[dict[str, Any]]) -> dict[str, Any] | None:
    for message in reversed(messages):
        if message["role"] == "user":
            return next((block for block in reversed(message["content"]) if block["type"] not in _BARE), None)
    return None
