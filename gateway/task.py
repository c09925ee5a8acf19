"""What kind of task a request looks like: a guess from its shape and its last message, of which nothing is kept."""

from __future__ import annotations

from typing import Any, Final

from gateway.protocol.conversation import JsonObject

LONG_TOKENS: Final = 40_000
_AGENTS_TOOLS: Final = 5  # so many are what coding agents bring
_LOOKED_AT: Final = 3_000  # characters at the end of a text
_LAST_PARTS: Final = 4
_LAST_TURNS: Final = 4
_CODE: Final = ("Traceback (most recent call last)", "\ndef ", "\nimport ")


def task_of(source: JsonObject, prompt_tokens: int, tools: int, *, structured: bool) -> str:
    """data (an answer in a given shape), code, long (mostly reading) or chat. Never raises."""
    if structured:
        return "data"
    if tools >= _AGENTS_TOOLS:
        return "code"
    for text in _last_said(source):
        if _has_code(text):
            return "code"
    return "long" if prompt_tokens >= LONG_TOKENS else "chat"


def _has_code(text: str) -> bool:
    size = len(text)
    start = size - _LOOKED_AT if size > _LOOKED_AT else 0
    if text.find("```", start) >= 0:
        return True
    if text.find("\n", start) < 0:  # most short messages are one line
        return False
    return any(text.find(mark, start) >= 0 for mark in _CODE)


def _last_said(source: JsonObject) -> list[str]:
    """The texts of the last turn of the user, in whichever dialect."""
    turns = source.get("messages") or source.get("input") or source.get("contents") or source.get("prompt")
    if type(turns) is not list:
        return [turns] if type(turns) is str else []
    for turn in turns[: -_LAST_TURNS - 1 : -1]:
        if type(turn) is dict and turn.get("role", "user") == "user":
            return _texts(turn.get("content") or turn.get("parts"))
    return []


def _texts(content: Any) -> list[str]:
    if type(content) is str:
        return [content]
    if type(content) is not list:
        return []
    return [part["text"] for part in content[-_LAST_PARTS:] if type(part) is dict and type(part.get("text")) is str]
