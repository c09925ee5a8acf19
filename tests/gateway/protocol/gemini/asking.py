"""Short ways to ask the codec of the Gemini dialect."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gateway.protocol.codec import EncodedRequest, ReplyContext, Target
from gateway.protocol.conversation import Conversation
from gateway.protocol.gemini_generate.codec import GeminiGenerate
from gateway.protocol.reply import StreamEvent

CODEC = GeminiGenerate()
CONTEXT = ReplyContext(response_id="gen-1", created=1_700_000_000, model="some/model")
TARGET = Target("m", False)
HI = [{"role": "user", "parts": [{"text": "Hi"}]}]


def decode(target: Target = TARGET, **body: Any) -> Conversation:
    return CODEC.decode_request(json.dumps({"contents": HI, **body}).encode(), target)


def encode(
    conversation: Conversation, *, model: str = "gemini-3-flash", limit: int | None = None
) -> tuple[dict[str, Any], EncodedRequest]:
    encoded = CODEC.encode_request(conversation, upstream_model=model, max_output_tokens=limit)
    return json.loads(encoded.body), encoded


def splice(
    *, model: str = "gemini-3-flash", limit: int | None = None, target: Target = TARGET, **body: Any
) -> tuple[dict[str, Any], EncodedRequest]:
    encoded = CODEC.splice_request(
        json.dumps({"contents": HI, **body}).encode(), upstream_model=model, max_output_tokens=limit, target=target
    )
    return json.loads(encoded.body), encoded


def chunks_in(written: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.removeprefix("data: ")) for block in written.decode().split("\n\n") if block]


def stream(events: Iterable[StreamEvent], context: ReplyContext = CONTEXT) -> list[dict[str, Any]]:
    encoder = CODEC.stream_encoder(context)
    return chunks_in(b"".join(encoder.encode(event) for event in events) + encoder.end())
