"""Recorded responses: their bytes, cut in several ways, and what is to be read out of them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gateway.protocol.codec import Codec, Passed
from gateway.protocol.reply import StreamEvent

WIRE = Path(__file__).resolve().parents[2] / "wire" / "exchanges"


def load(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def response_bytes(exchange: Mapping[str, Any]) -> bytes:
    response = exchange["response"]
    if "sse" in response:
        return str(response["sse"]).encode()
    if "text" in response:
        return str(response["text"]).encode()
    return json.dumps(response["body"], ensure_ascii=False, separators=(",", ":")).encode()


def _lines(body: bytes) -> list[bytes]:
    return re.findall(rb"[^\n]*\n|[^\n]+", body)


def _pieces(body: bytes) -> list[bytes]:
    dice = random.Random(7)
    pieces = []
    while body:
        size = dice.randint(1, 60)
        pieces.append(body[:size])
        body = body[size:]
    return pieces


CUTS: Mapping[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda body: [body],
    "lines": _lines,
    "bytes": lambda body: [body[at : at + 1] for at in range(len(body))],
    "pieces": _pieces,
}


def decode_stream(codec: Codec, chunks: Iterable[bytes], *, include_usage: bool = True) -> tuple[list[Passed], bool]:
    decoder = codec.stream_decoder(include_usage=include_usage)
    passed = [item for chunk in chunks for item in decoder.feed(chunk)]
    passed += decoder.end()
    return passed, decoder.complete


def events_of(passed: Iterable[Passed]) -> list[StreamEvent]:
    return [event for item in passed for event in item.events]


def differences(got: Mapping[str, Any], expect: Mapping[str, Any]) -> list[str]:
    """What was read otherwise than expected; arguments that are JSON are compared as JSON."""
    found = []
    if len(got["choices"]) != len(expect["choices"]):
        found.append(f"choices: {len(got['choices'])} != {len(expect['choices'])}")
    for mine, theirs in zip(got["choices"], expect["choices"], strict=False):
        for name in ("text", "reasoning", "refusal", "finish"):
            if name == "refusal" and mine["finish"] == "refusal":
                # Anthropic tells why in a place that the recordings' own reader does not look at.
                continue
            if (mine[name] or "") != (theirs[name] or ""):
                found.append(f"{name}: {mine[name]!r} != {theirs[name]!r}")
        if _calls(mine) != _calls(theirs):
            found.append(f"tool calls: {_calls(mine)} != {_calls(theirs)}")
    usage = {name: value for name, value in (expect.get("usage") or {}).items() if name != "note"}
    if (got["usage"] or {}) != usage:
        found.append(f"usage: {got['usage']} != {usage}")
    if got["error"] != bool(expect.get("error")):
        found.append(f"error: {got['error']}")
    return found


def _calls(choice: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(call["id"], call["name"], _parsed(call["arguments"])) for call in choice["tool_calls"]]


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
