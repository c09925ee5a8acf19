"""Short ways to ask the codec of the Responses dialect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.protocol.codec import EncodedRequest, ReplyContext
from gateway.protocol.conversation import NOTHING, Conversation, Part
from gateway.protocol.openai_responses.codec import OpenAIResponses
from gateway.protocol.reply import StreamEvent

CODEC = OpenAIResponses()
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")


def decode(**body: Any) -> Conversation:
    return CODEC.decode_request(json.dumps({"model": "m", "input": "Hi", **body}).encode())


def parts_of(item: Mapping[str, Any]) -> tuple[Part, ...]:
    (turn,) = decode(input=[item]).turns
    return turn.parts


def splice(
    *, limit: int | None = None, headers: Mapping[str, str] = NOTHING, **body: Any
) -> tuple[dict[str, Any], EncodedRequest]:
    encoded = CODEC.splice_request(
        json.dumps({"model": "m", "input": "Hi", **body}).encode(),
        upstream_model="up",
        max_output_tokens=limit,
        client_headers=headers,
    )
    return json.loads(encoded.body), encoded


def encode(
    conversation: Conversation, *, model: str = "gpt-5.5", limit: int | None = None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    encoded = CODEC.encode_request(conversation, upstream_model=model, max_output_tokens=limit)
    return json.loads(encoded.body), encoded.dropped


def events_in(written: bytes) -> list[dict[str, Any]]:
    """The payloads of a stream; the event line must name the type of each."""
    found = []
    for block in written.decode().split("\n\n"):
        if not block or block.startswith(":"):
            continue
        name, data = block.split("\n")
        value = json.loads(data.removeprefix("data: "))
        assert name == f"event: {value['type']}"
        found.append(value)
    return found


def stream(events: Iterable[StreamEvent], context: ReplyContext = CONTEXT) -> list[dict[str, Any]]:
    encoder = CODEC.stream_encoder(context)
    return events_in(b"".join([encoder.encode(event) for event in events]) + encoder.end())
