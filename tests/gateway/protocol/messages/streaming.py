"""What a client of the official package makes of our stream."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

from gateway.protocol.reply import StreamEvent
from tests.gateway.protocol.messages.asking import CONTEXT, MESSAGES

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def events_out(events: Iterable[StreamEvent]) -> list[dict[str, Any]]:
    """Each event was named, and is one that the official package knows."""
    encoder = MESSAGES.stream_encoder(CONTEXT)
    raw = b"".join(encoder.encode(event) for event in events) + encoder.end()
    found = []
    for block in raw.decode().strip().split("\n\n"):
        name, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        EVENT.validate_python(value)
        found.append(value)
    return found


def collected(events: Iterable[StreamEvent]) -> dict[str, Any]:
    """The whole message; every block was opened and closed, one after the other."""
    message: dict[str, Any] = {}
    open_block = -1
    for value in events_out(events):
        kind = value["type"]
        if kind == "message_start":
            message = dict(value["message"])
        elif kind == "content_block_start":
            assert open_block == -1
            assert value["index"] == len(message["content"])
            open_block = value["index"]
            message["content"].append(dict(value["content_block"]))
        elif kind == "content_block_delta":
            assert value["index"] == open_block
            _add(message["content"][open_block], value["delta"])
        elif kind == "content_block_stop":
            assert value["index"] == open_block
            open_block = -1
        elif kind == "message_delta":
            message.update(value["delta"], usage={**message["usage"], **value["usage"]})
    assert open_block == -1
    return message


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    kind = delta["type"]
    if kind == "text_delta":
        block["text"] += delta["text"]
    elif kind == "thinking_delta":
        block["thinking"] += delta["thinking"]
    elif kind == "signature_delta":
        block["signature"] = delta["signature"]
    elif kind == "citations_delta":
        block.setdefault("citations", []).append(delta["citation"])
    elif kind == "input_json_delta":
        block["partial"] = block.get("partial", "") + delta["partial_json"]
        block["input"] = json.loads(block.pop("partial")) if block["partial"].endswith("}") else block["input"]
